package clustertest

import (
	"bufio"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/shared/gatewayapi"
)

const (
	manyLines = 100 // tenants with lines of their own that the API server must accept
	someLines = 5   // of which as many are installed, to see what one costs; CLUSTER_LINES says otherwise
	allowed   = 96 * mebibyte
)

// hundredTenants has the API server, with the webhooks of Knative, judge a hundred tenants with lines of their own, gives the gateway the
// documents of all, installs some of the lines at rest, and tells what that costs.
func (w *world) hundredTenants(t *testing.T) { //nolint:thelper // a chapter of the test, no helper
	began := time.Now()
	o := newOverlay(t)
	for i := range manyLines {
		o.addLine(t, fmt.Sprintf("t%03d", i))
	}
	shared, lines := o.render(t)
	if len(lines) != manyLines {
		t.Fatalf("%d lines are rendered, want %d", len(lines), manyLines)
	}
	names := slices.Sorted(maps.Keys(lines))
	var all strings.Builder
	for _, name := range names {
		all.WriteString(lines[name] + "\n---\n")
	}
	all.WriteString(shared)
	many := w.images(all.String())
	t.Logf("%d tenants with lines of their own: %d objects, %.1f MB, made and rendered in %v",
		manyLines, strings.Count("\n"+many, "\nkind: "), float64(len(many))/1e6, time.Since(began).Round(time.Second))
	began = time.Now()
	if _, err := tryKubectl(t.Context(), many, "apply", "--server-side", "--force-conflicts", "--dry-run=server", "-o", "name", "-f", "-"); err != nil {
		t.Fatalf("they are not accepted: %v", err)
	}
	t.Logf("accepted in %v", time.Since(began).Round(time.Second))

	w.gatewayWithTenants(t, many)
	var some []string
	for _, name := range names[:w.linesAtRest(t)] {
		some = append(some, w.images(lines[name]))
	}
	w.costAtRest(t, some)
}

// gatewayWithTenants gives the gateway the documents of all, and tells what it takes.
func (w *world) gatewayWithTenants(t *testing.T, many string) {
	t.Helper()
	before := w.gatewayMemory(t)
	var documents []string
	for doc := range strings.SplitSeq(many, "\n---\n") {
		if strings.Contains(doc, "name: tenants-of-lines\n") || strings.Contains(doc, "name: tenant-secrets-of-lines\n") {
			documents = append(documents, doc)
		}
	}
	apply(t, strings.Join(documents, "\n---\n"))
	eventually(t, arrival, func() error {
		known := 0
		for s, err := range w.gateway.Tenants(t.Context()) {
			if err != nil {
				return err
			}
			known += countTenant(s)
		}
		if known < manyLines {
			return fmt.Errorf("the gateway knows %d of %d tenants", known, manyLines)
		}
		return nil
	})
	time.Sleep(30 * time.Second) // until the node has measured again; nothing is waited for
	after := w.gatewayMemory(t)
	t.Logf("the gateway takes %.1f MiB with 2 tenants and %.1f MiB with %d more", mib(before), mib(after), manyLines)
	if after > allowed {
		t.Errorf("the gateway takes %.1f MiB with %d tenants, over the bound of %d", mib(after), manyLines, allowed/mebibyte)
	}
	apply(t, w.manifest)
}

// countTenant is 1 for the tenants with lines.
func countTenant(s gatewayapi.TenantStatus) int {
	if strings.HasPrefix(s.ParticipantContextID, "t") {
		return 1
	}
	return 0
}

func (w *world) gatewayMemory(t *testing.T) int64 {
	t.Helper()
	return loads(w.api.containers(t))["dps-gateway"].memory
}

// linesAtRest is how many lines are installed.
func (w *world) linesAtRest(t *testing.T) int {
	t.Helper()
	s := os.Getenv("CLUSTER_LINES")
	if s == "" {
		return someLines
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > manyLines {
		t.Fatalf("CLUSTER_LINES=%s: 1 to %d is expected", s, manyLines)
	}
	return n
}

// costAtRest installs lines whose functions are not woken, not even once to see whether they start, and whose schedules don't tick, and
// tells what that costs the cluster.
func (w *world) costAtRest(t *testing.T, lines []string) {
	t.Helper()
	n := len(lines)
	var atRest []string
	for doc := range strings.SplitSeq(strings.Join(lines, "\n---\n"), "\n---\n") {
		if !strings.Contains(doc, "kind: PingSource") {
			atRest = append(atRest, strings.ReplaceAll(doc, `        autoscaling.knative.dev/min-scale: "0"`,
				"        autoscaling.knative.dev/initial-scale: \"0\"\n        autoscaling.knative.dev/min-scale: \"0\""))
		}
	}
	before, calm := w.api.process(t), loads(w.api.containers(t))
	began := time.Now()
	if _, err := tryKubectl(t.Context(), strings.Join(atRest, "\n---\n"), "apply", "--server-side", "-f", "-"); err != nil {
		t.Logf("what a line costs at rest is not measured: %v", err) // a cluster that does not allow an initial scale of zero
		return
	}
	for _, kind := range []string{"ksvc", "trigger"} {
		w.kubectl(t, "wait", kind, "-l", "tidegate.io/line", "--for=condition=Ready", "--timeout=300s")
	}
	t.Logf("%d lines (%d objects) ready after %v", n, len(atRest), time.Since(began).Round(time.Second))
	list, err := w.api.pods(t.Context(), namespace, "tidegate.io/line,tidegate.io/line!=shared")
	if err != nil {
		t.Fatal(err)
	}
	if len(list) > 0 {
		t.Errorf("lines at rest have %d pods, for example %s", len(list), list[0].Metadata.Name)
	}
	time.Sleep(30 * time.Second) // until the nodes have measured again; nothing is waited for
	after, busy := w.api.process(t), loads(w.api.containers(t))
	var b strings.Builder
	_, _ = fmt.Fprintf(&b, "%-24s %10s %10s\n", "", "before", fmt.Sprintf("%d lines", n))
	for _, name := range slices.Sorted(maps.Keys(before)) {
		_, _ = fmt.Fprintf(&b, "%-24s %6.1f MiB %6.1f MiB\n", name, mib(before[name]), mib(after[name]))
	}
	for _, name := range slices.Sorted(maps.Keys(busy)) {
		_, _ = fmt.Fprintf(&b, "%-24s %6.1f MiB %6.1f MiB\n", name, mib(calm[name].memory), mib(busy[name].memory))
	}
	t.Log("\n" + b.String())
}

// process reads from the API server what it takes and what it stores, in bytes; empty where one may not ask.
func (a api) process(t *testing.T) map[string]int64 {
	t.Helper()
	out := map[string]int64{}
	r, err := a.open(t.Context(), "/metrics")
	if err != nil {
		t.Logf("the API server is not measured: %v", err)
		return out
	}
	defer func() { _ = r.Close() }()
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		metric, _, _ := strings.Cut(name, "{")
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			continue
		}
		switch metric {
		case "process_resident_memory_bytes":
			out["kube-apiserver"] = int64(v)
		case "apiserver_storage_size_bytes":
			out["etcd, on disk"] = int64(v)
		}
	}
	return out
}
