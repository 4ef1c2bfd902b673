// Package cluster runs a real Kubernetes with Knative Serving and Eventing on one Linux machine: etcd, API server, controllers,
// scheduler, kube-proxy and kubelet, containerd, Broker, activator and autoscaler, each the program that runs in a production
// cluster, built from published Go modules (mod/, pinned) or installed from the distribution's packages. No container engine, no
// registry and no download of images is needed.
//
// All of it lives in one network namespace and one mount namespace: it neither takes a port of the machine nor can be reached from
// outside. Exec runs a command inside. What Up changes on the machine it writes down first, and Down puts it back and proves so
// (see Host).
//
// What stands in for parts of a production cluster: an ingress of some hundred lines (mod/kn/ingress), since those of the field are
// no Go programs; a DNS server for Services (mod/kn/dns); the bridge plug-in as the network, which enforces no NetworkPolicy; and a handful of
// folders of the node for claims of storage.
package cluster
