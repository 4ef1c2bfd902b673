package clustertest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/shared/auth"
	"github.com/tidegate/tidegate/shared/eventsig"
)

const (
	rounds       = 4   // each function starts this often
	coldStartBar = 1.5 // times what hello takes
	mebibyte     = 1 << 20
)

// starter wakes one function by one event that asks for next to nothing.
type starter struct {
	function string
	memory   int64 // the bar, bytes
	event    func(n int) (*event.Event, error)
}

// helloType is the type that only hello's Trigger takes.
const helloType = "io.tidegate.test.hello"

var starters = []starter{
	{"hello", 0, func(n int) (*event.Event, error) { return ping(n, helloType, "") }},
	{"bucket-events", 40 * mebibyte, func(n int) (*event.Event, error) { return ping(n, catalogue.Schedule, "sweep") }},
	{"asset-publisher", 40 * mebibyte, func(n int) (*event.Event, error) {
		return catalogue.New("cluster-test", "provider", catalogue.ObjectRemoved, "outbox/never-there", catalogue.Object{Bucket: "outbox", Key: "never-there"}, fmt.Sprint(n))
	}},
	{approver, 24 * mebibyte, func(n int) (*event.Event, error) { return ping(n, catalogue.Schedule, "reconcile") }},
	{"subscription-manager", 24 * mebibyte, func(n int) (*event.Event, error) { return ping(n, catalogue.Schedule, "supply") }},
	{"transfer-puller", 40 * mebibyte, func(n int) (*event.Event, error) { return started(n, "consumer", "CONSUMER", "PULL") }},
	{"transfer-pusher", 40 * mebibyte, func(n int) (*event.Event, error) { return started(n, "provider", "PROVIDER", "PUSH") }},
}

// ping is what a PingSource sends.
func ping(n int, eventType, schedule string) (*event.Event, error) {
	e := event.New()
	e.SetID(fmt.Sprintf("cluster-test-%s-%d-%d", schedule, n, time.Now().UnixNano()))
	e.SetType(eventType)
	e.SetSource("/cluster-test")
	if schedule != "" {
		e.SetExtension("schedule", schedule)
	}
	err := e.SetData(event.ApplicationJSON, json.RawMessage(`{}`))
	return &e, err
}

// started tells of a flow that nobody knows: what there is to do is to find that out.
func started(n int, pc, role, direction string) (*event.Event, error) {
	id := fmt.Sprintf("%s-never-there-%d", pc, n)
	return catalogue.New("cluster-test", pc, catalogue.DataFlowStarted, id, catalogue.DataFlow{
		DataFlowID: id, State: "STARTED", Role: role, Direction: direction, Profile: "http-pull", Revision: 1,
	}, fmt.Sprint(time.Now().UnixNano()))
}

// coldStarts measures the time from an event that the Broker takes to the answer of the function that is woken by it, which the
// in-memory Broker waits for before it answers itself; beside that of hello, on the same cluster in the same minutes.
func (w *world) coldStarts(t *testing.T) { //nolint:thelper // a chapter of the test, no helper
	w.installHello(t)
	w.kubectl(t, "delete", "pingsource", "--all") // the schedules are sent by hand now
	broker := "http://" + forward(t, "knative-eventing", "broker-ingress", 80) + "/" + namespace + "/default"
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(secret(t, "internal-token", "internal-token")), 0o600); err != nil {
		t.Fatal(err)
	}
	shared, err := auth.NewSharedSecret(token)
	if err != nil {
		t.Fatal(err)
	}
	times := map[string][]time.Duration{}
	memory := map[string]int64{}
	for round := range rounds {
		atZero(t)
		for _, s := range starters {
			e, err := s.event(round)
			if err != nil {
				t.Fatal(err)
			}
			eventsig.Sign(shared, e)
			took, status := send(t, broker, e)
			t.Logf("round %d: %s answered after %v (%d)", round, s.function, took.Round(time.Millisecond), status)
			times[s.function] = append(times[s.function], took)
			for name, bytes := range w.memory(t) {
				memory[name] = max(memory[name], bytes)
			}
		}
	}
	judge(t, times, memory)
}

// installHello brings the yardstick: the smallest function, with the settings of the others.
func (w *world) installHello(t *testing.T) {
	t.Helper()
	apply(t, fmt.Sprintf(`
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: hello, namespace: %[1]s, labels: {networking.knative.dev/visibility: cluster-local}}
spec:
  template:
    metadata: {annotations: {autoscaling.knative.dev/min-scale: "0", autoscaling.knative.dev/window: 10s}}
    spec:
      automountServiceAccountToken: false
      enableServiceLinks: false
      containers:
        - name: hello
          image: %[2]s
          ports: [{name: http1, containerPort: 8080}]
          resources: {requests: {cpu: 50m, memory: 32Mi}, limits: {memory: 96Mi}}
          readinessProbe: {httpGet: {path: /readyz}}
          securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, runAsNonRoot: true, runAsUser: 65532, capabilities: {drop: [ALL]}, seccompProfile: {type: RuntimeDefault}}
---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: hello, namespace: %[1]s}
spec:
  broker: default
  filter: {attributes: {type: %[3]s}}
  subscriber: {ref: {apiVersion: serving.knative.dev/v1, kind: Service, name: hello}}
`, namespace, hello(), helloType))
	w.kubectl(t, "wait", "ksvc/hello", "trigger/hello", "--for=condition=Ready", "--timeout=120s")
}

// send posts an event to the Broker and returns when it has answered.
func send(t *testing.T, broker string, e *event.Event) (time.Duration, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, broker, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if err := cehttp.WriteRequest(binding.WithForceBinary(ctx), (*binding.EventMessage)(e), req); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	return time.Since(began), res.StatusCode
}

// memory reads the working set of the containers of the namespace's pods, without queue-proxy, from the nodes.
func (w *world) memory(t *testing.T) map[string]int64 {
	t.Helper()
	nodes, err := tryKubectl(t.Context(), "", "get", "nodes", "-o", "jsonpath={.items[*].metadata.name}")
	if err != nil {
		t.Logf("memory is not measured: %v", err)
		return nil
	}
	used := map[string]int64{}
	for node := range strings.FieldsSeq(nodes) {
		out, err := tryKubectl(t.Context(), "", "get", "--raw", "/api/v1/nodes/"+node+"/proxy/stats/summary")
		if err != nil {
			t.Logf("memory is not measured on %s: %v", node, err)
			continue
		}
		var summary struct {
			Pods []struct {
				PodRef     struct{ Name, Namespace string }
				Containers []struct {
					Name   string
					Memory struct{ WorkingSetBytes int64 }
				}
			}
		}
		if err := json.Unmarshal([]byte(out), &summary); err != nil {
			t.Fatal(err)
		}
		for _, p := range summary.Pods {
			for _, c := range p.Containers {
				if p.PodRef.Namespace == namespace && c.Name != "queue-proxy" {
					used[c.Name] = max(used[c.Name], c.Memory.WorkingSetBytes)
				}
			}
		}
	}
	return used
}

// judge writes the table and holds it against the bars. What is compared is the quickest start of each: the others tell of
// the machine's other work.
func judge(t *testing.T, times map[string][]time.Duration, memory map[string]int64) {
	t.Helper()
	yard := slices.Min(times["hello"])
	var b strings.Builder
	_, _ = fmt.Fprintf(&b, "%-22s %10s %10s %8s %10s\n", "function", "quickest", "median", "x hello", "memory")
	for _, s := range starters {
		ts := slices.Sorted(slices.Values(times[s.function]))
		ratio := ts[0].Seconds() / yard.Seconds()
		_, _ = fmt.Fprintf(&b, "%-22s %8d ms %6d ms %8.2f %6.1f MiB\n", s.function, ts[0].Milliseconds(), ts[len(ts)/2].Milliseconds(), ratio,
			float64(memory[s.function])/mebibyte)
		if ratio > coldStartBar {
			t.Errorf("%s starts in %.2f times what hello takes, over the bar of %.1f", s.function, ratio, coldStartBar)
		}
		if s.memory > 0 && memory[s.function] > s.memory {
			t.Errorf("%s takes %.1f MiB, over the bar of %d", s.function, float64(memory[s.function])/mebibyte, s.memory/mebibyte)
		}
	}
	for name, bytes := range memory {
		if times[name] == nil {
			_, _ = fmt.Fprintf(&b, "%-22s %10s %10s %8s %6.1f MiB\n", name, "", "", "", float64(bytes)/mebibyte)
		}
	}
	t.Log("\n" + b.String())
}
