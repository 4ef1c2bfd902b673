// Package clustertest holds the test of Tidegate on a real cluster: 'make cluster-test' installs the overlay dev, has files go from
// the provider's bucket to the consumer's through the real Broker, Triggers, activator and autoscaler, and then makes trouble. It
// runs on the one-machine cluster of package cluster, or on any cluster with Knative that KUBECONFIG leads to, see docs/cluster.md.
//
// It talks to the cluster as a person does, by kubectl, and asks for nothing that a namespace's administrator may not do, but for
// the memory of pods, which it reads from the nodes where it may.
package clustertest
