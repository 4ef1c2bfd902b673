// Package manifests holds the Broker, the Triggers and the PingSources of Tidegate, as kubectl applies them to Knative
// Eventing and as the local broker reads them. One file per function holds its Triggers.
//
// In a cluster the dead letters go to the Kubernetes Service dps-gateway on port 80, which must lead to the gateway's
// internal listener. No manifest names a namespace: they belong into the one that they are applied to.
package manifests

import "embed"

// Files are the manifests.
//
//go:embed *.yaml
var Files embed.FS
