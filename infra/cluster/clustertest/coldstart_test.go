package clustertest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/tidegate/tidegate/eventing/catalogue"
)

const (
	rounds       = 4   // each function starts this often
	moreRounds   = 8   // and those that were over the bar then, and hello, this often again at most: the machine has other work too
	coldStartBar = 1.5 // times what hello takes
	mebibyte     = 1 << 20
)

// yardstick is the function that the others are compared with: one that does nothing, deployed as they are, with a ConfigMap and two Secrets
// mounted. A kubelet looks every 300 ms whether a pod's volumes are there, so whatever mounts something starts so much later; what
// that comes to, the same function without volumes shows.
const (
	yardstick = "hello"
	bare      = "hello-bare"
)

// starter wakes one function by one event that asks for next to nothing. The one without an event is woken by a data request.
type starter struct {
	function string
	memory   int64 // the bar, bytes
	event    func(n int) (*event.Event, error)
}

// helloType and bareType are types that only the Triggers of this test take.
const (
	helloType = "io.tidegate.test.hello"
	bareType  = "io.tidegate.test.hello-bare"
)

var starters = []starter{
	{yardstick, 0, func(n int) (*event.Event, error) { return ping(n, helloType, "") }},
	{bare, 0, func(n int) (*event.Event, error) { return ping(n, bareType, "") }},
	{"bucket-events", 40 * mebibyte, func(n int) (*event.Event, error) { return ping(n, catalogue.Schedule, "sweep") }},
	{"asset-publisher", 40 * mebibyte, func(n int) (*event.Event, error) {
		return catalogue.New("cluster-test", "provider", catalogue.ObjectRemoved, "outbox/never-there", catalogue.Object{Bucket: "outbox", Key: "never-there"}, fmt.Sprint(n))
	}},
	{approver, 24 * mebibyte, func(n int) (*event.Event, error) { return ping(n, catalogue.Schedule, "reconcile") }},
	{"subscription-manager", 24 * mebibyte, func(n int) (*event.Event, error) { return ping(n, catalogue.Schedule, "supply") }},
	{"transfer-puller", 40 * mebibyte, func(n int) (*event.Event, error) { return started(n, "consumer", "CONSUMER", "PULL") }},
	{"transfer-pusher", 40 * mebibyte, func(n int) (*event.Event, error) { return started(n, "provider", "PROVIDER", "PUSH") }},
	{"data-server", 40 * mebibyte, nil},
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
	return startedEvent(pc, fmt.Sprintf("%s-never-there-%d", pc, n), role, direction)
}

// startedEvent tells of a flow that has started.
func startedEvent(pc, id, role, direction string) (*event.Event, error) {
	return catalogue.New("cluster-test", pc, catalogue.DataFlowStarted, id, catalogue.DataFlow{
		DataFlowID: id, State: "STARTED", Role: role, Direction: direction, Profile: "http-pull", Revision: 1,
	}, fmt.Sprint(time.Now().UnixNano()))
}

// coldStarts measures the time from an event that the Broker takes to the answer of the function that is woken by it, which the
// in-memory Broker waits for before it answers itself; beside that of hello, on the same cluster in the same minutes. Of data-server, which is
// no subscriber, it is the time from another participant's request at the gateway to the answer.
func (w *world) coldStarts(t *testing.T) { //nolint:thelper // a chapter of the test, no helper
	w.installHello(t, yardstick, helloType, `
      volumes:
        - {name: tenants, configMap: {name: tenants}}
        - {name: tenant-secrets, secret: {secretName: tenant-secrets}}
        - {name: internal, secret: {secretName: internal-token}}`, `
          volumeMounts:
            - {name: tenants, mountPath: /etc/tidegate/tenants, readOnly: true}
            - {name: tenant-secrets, mountPath: /etc/tidegate/secrets, readOnly: true}
            - {name: internal, mountPath: /etc/tidegate/internal, readOnly: true}`)
	w.installHello(t, bare, bareType, "", "")
	flow, through := w.opened(t), forward(t, namespace, "dps-gateway-public", 80)
	w.kubectl(t, "delete", "pingsource", "--all") // the schedules are sent by hand now
	times := map[string][]time.Duration{}
	memory := map[string]int64{}
	for round := range rounds + moreRounds {
		again := slow(times)
		if round >= rounds && len(again) == 0 {
			break
		}
		w.atZero(t)
		for _, s := range starters {
			if round >= rounds && s.function != yardstick && !slices.Contains(again, s.function) {
				continue
			}
			// A kubelet looks for what has changed once a second, and a start ends with such a look. Without a pause each start would
			// begin at the same moment after one.
			time.Sleep(rand.N(time.Second))
			took := w.start(t, s, round, flow, through)
			t.Logf("round %d: %s answered after %v", round, s.function, took.Round(time.Millisecond))
			times[s.function] = append(times[s.function], took)
			for _, c := range w.api.containers(t) {
				if c.namespace == namespace && c.name != "queue-proxy" {
					memory[c.name] = max(memory[c.name], c.memory)
				}
			}
		}
	}
	judge(t, times, memory)
}

// start wakes a function, and returns the time until it has answered.
func (w *world) start(t *testing.T, s starter, round int, flow *openFlow, through string) time.Duration {
	t.Helper()
	if s.event == nil {
		began := time.Now()
		if status, err := firstBytes(t.Context(), through, flow); err != nil || status != "206" {
			t.Fatalf("a data request was answered %s: %v", status, err)
		}
		return time.Since(began)
	}
	e, err := s.event(round)
	if err != nil {
		t.Fatal(err)
	}
	took, status := w.broker.send(t, e)
	if status != http.StatusAccepted {
		t.Fatalf("the Broker answered the event for %s with %d", s.function, status)
	}
	return took
}

// installHello brings the smallest function, with the settings of the others, and what volumes it is given.
func (w *world) installHello(t *testing.T, name, eventType, volumes, mounts string) {
	t.Helper()
	apply(t, fmt.Sprintf(`
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: %[3]s, namespace: %[1]s, labels: {networking.knative.dev/visibility: cluster-local}}
spec:
  template:
    metadata: {annotations: {autoscaling.knative.dev/min-scale: "0", autoscaling.knative.dev/window: 10s}}
    spec:
      automountServiceAccountToken: false
      enableServiceLinks: false%[5]s
      containers:
        - name: hello
          image: %[2]s
          ports: [{name: http1, containerPort: 8080}]%[6]s
          resources: {requests: {cpu: 50m, memory: 32Mi}, limits: {memory: 96Mi}}
          readinessProbe: {httpGet: {path: /readyz}}
          securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, runAsNonRoot: true, runAsUser: 65532, capabilities: {drop: [ALL]}, seccompProfile: {type: RuntimeDefault}}
---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: %[3]s, namespace: %[1]s}
spec:
  broker: default
  filter: {attributes: {type: %[4]s}}
  subscriber: {ref: {apiVersion: serving.knative.dev/v1, kind: Service, name: %[3]s}}
`, namespace, hello(), name, eventType, volumes, mounts))
	w.kubectl(t, "wait", "ksvc/"+name, "trigger/"+name, "--for=condition=Ready", "--timeout=120s")
}

// slow are the functions whose quickest start is over the bar.
func slow(times map[string][]time.Duration) []string {
	var names []string
	for name, ts := range times {
		if slices.Min(ts).Seconds() > coldStartBar*slices.Min(times[yardstick]).Seconds() {
			names = append(names, name)
		}
	}
	return names
}

// judge writes the table and holds it against the bars. What is compared is the quickest start of each: the others tell of
// the machine's other work.
func judge(t *testing.T, times map[string][]time.Duration, memory map[string]int64) {
	t.Helper()
	yard := slices.Min(times[yardstick])
	var b strings.Builder
	_, _ = fmt.Fprintf(&b, "%-22s %11s %9s %8s %8s %10s\n", "function", "quickest", "median", "x hello", "x bare", "memory")
	for _, s := range starters {
		ts := slices.Sorted(slices.Values(times[s.function]))
		ratio := ts[0].Seconds() / yard.Seconds()
		_, _ = fmt.Fprintf(&b, "%-22s %8d ms %6d ms %8.2f %8.2f %6.1f MiB\n", s.function, ts[0].Milliseconds(), ts[len(ts)/2].Milliseconds(), ratio,
			ts[0].Seconds()/slices.Min(times[bare]).Seconds(), float64(memory[s.function])/mebibyte)
		if ratio > coldStartBar {
			t.Errorf("%s starts in %.2f times what hello takes, over the bar of %.1f", s.function, ratio, coldStartBar)
		}
		if s.memory > 0 && memory[s.function] > s.memory {
			t.Errorf("%s takes %.1f MiB, over the bar of %d", s.function, float64(memory[s.function])/mebibyte, s.memory/mebibyte)
		}
	}
	for name, bytes := range memory {
		if times[name] == nil {
			_, _ = fmt.Fprintf(&b, "%-22s %11s %9s %8s %8s %6.1f MiB\n", name, "", "", "", "", float64(bytes)/mebibyte)
		}
	}
	t.Log("\n" + b.String())
}
