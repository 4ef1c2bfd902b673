package clustertest

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/infra/internal/demo"
)

// The big file takes longer than the new pods need to take over and less than the drain time of the overlay (30 s).
const (
	bytesPerSecond = 8 << 20
	streamed       = 144 << 20
)

// rollingUpdate replaces every pod of the gateway while a stream is open and signals come, and asserts that the stream was not cut.
func (w *world) rollingUpdate(t *testing.T) { //nolint:thelper // a chapter of the test, no helper
	defer w.limitProvider(t)()
	big := w.putBytes(t, "rolling/big.bin", streamed)
	eventually(t, arrival, func() error {
		r, err := w.records(t.Context())
		if err == nil && len(r.deliveries[big.Name]) == 0 {
			err = fmt.Errorf("the stream of %s is not open", big.Name)
		}
		return err
	})
	began := time.Now()
	w.kubectl(t, "rollout", "restart", "deployment/dps-gateway")
	files := []demo.File{big}
	for i := range 4 {
		files = append(files, w.putBytes(t, fmt.Sprintf("rolling/%d.bin", i), 100_000+i))
	}
	w.kubectl(t, "rollout", "status", "deployment/dps-gateway", "--timeout=150s")
	t.Logf("rolled out after %v", time.Since(began).Round(time.Second))
	w.allArrive(t, files, arrival)
	r := w.once(t, files)
	for _, d := range r.deliveries[big.Name] {
		t.Logf("delivery of %s: slices %d, attempts %d, resumed %t, done %v after the roll-out began",
			big.Name, d.Slices, d.Attempts, d.Resumed, d.UpdatedAt.Sub(began).Round(time.Second))
		if d.Attempts > 0 || d.Resumed || d.Slices > 1 {
			t.Errorf("the stream of %s was cut by the update", big.Name)
		}
		if d.UpdatedAt.Before(began) {
			t.Errorf("the stream of %s had ended before the update began: nothing was tested", big.Name)
		}
	}
}

// limitProvider gives the provider a bandwidth, and the gateway's pods the document with it at once.
func (w *world) limitProvider(t *testing.T) (lift func()) {
	t.Helper()
	out := w.kubectl(t, "get", "configmap", "tenants", "-o", "json")
	var cm struct{ Data map[string]string }
	if err := json.Unmarshal([]byte(out), &cm); err != nil {
		t.Fatal(err)
	}
	original := cm.Data["provider.yaml"]
	if strings.Contains(original, "\nlimits:") {
		t.Fatal("the provider's document has limits already")
	}
	set := func(doc string) {
		patch, err := json.Marshal(map[string]any{"data": map[string]string{"provider.yaml": doc}})
		if err != nil {
			t.Fatal(err)
		}
		w.kubectl(t, "patch", "configmap", "tenants", "--type=merge", "-p", string(patch))
		w.kubectl(t, "rollout", "restart", "deployment/dps-gateway")
		w.kubectl(t, "rollout", "status", "deployment/dps-gateway", "--timeout=150s")
	}
	set(fmt.Sprintf("%s\nlimits:\n  bytesPerSecond: %d\n", original, bytesPerSecond))
	return func() { set(original) }
}
