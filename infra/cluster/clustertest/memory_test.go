package clustertest

import (
	"context"
	"testing"
	"time"
)

// container is a running container and its memory, the working set, in bytes.
type container struct {
	namespace, pod, name string
	memory               int64
}

// containers asks the nodes for their containers. Who may not ask is told so, and measures nothing.
func (a api) containers(t *testing.T) []container {
	t.Helper()
	var nodes struct {
		Items []struct {
			Metadata struct {
				Name string `json:"name"`
			} `json:"metadata"`
		} `json:"items"`
	}
	if err := a.get(t.Context(), "/api/v1/nodes", &nodes); err != nil {
		if t.Context().Err() == nil {
			t.Logf("memory is not measured: %v", err)
		}
		return nil
	}
	var found []container
	for _, node := range nodes.Items {
		var summary struct {
			Pods []struct {
				PodRef struct {
					Name      string `json:"name"`
					Namespace string `json:"namespace"`
				} `json:"podRef"`
				Containers []struct {
					Name   string `json:"name"`
					Memory struct {
						WorkingSetBytes int64 `json:"workingSetBytes"`
					} `json:"memory"`
				} `json:"containers"`
			} `json:"pods"`
		}
		if err := a.get(t.Context(), "/api/v1/nodes/"+node.Metadata.Name+"/proxy/stats/summary", &summary); err != nil {
			if t.Context().Err() == nil {
				t.Logf("memory is not measured on %s: %v", node.Metadata.Name, err)
			}
			continue
		}
		for _, p := range summary.Pods {
			for _, c := range p.Containers {
				found = append(found, container{p.PodRef.Namespace, p.PodRef.Name, c.Name, c.Memory.WorkingSetBytes})
			}
		}
	}
	return found
}

// load is the memory of the biggest container of a name, in bytes, and the pods that have one.
type load struct {
	memory int64
	pods   int
}

func mib(bytes int64) float64 { return float64(bytes) / mebibyte }

// loads sums up the containers, without queue-proxy, which is Knative's.
func loads(list []container) map[string]load {
	out := map[string]load{}
	for _, c := range list {
		if c.name == "queue-proxy" {
			continue
		}
		l := out[c.name]
		out[c.name] = load{max(l.memory, c.memory), l.pods + 1}
	}
	return out
}

// measure looks at all containers again and again, until the returned function is called, which says the most that was seen.
func (a api) measure(t *testing.T) func() map[string]load {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	most, ended := map[string]load{}, make(chan struct{})
	look := func() {
		for name, l := range loads(a.containers(t)) {
			m := most[name]
			most[name] = load{max(m.memory, l.memory), max(m.pods, l.pods)}
		}
	}
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			look()
			select {
			case <-ctx.Done():
			case <-time.After(2 * time.Second): // nodes measure every few seconds only
			}
		}
	}()
	stop := func() { cancel(); <-ended }
	t.Cleanup(stop)
	return func() map[string]load { stop(); return most }
}
