package clustertest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/infra/internal/demo"
)

// bytesPerSecond is the provider's bandwidth where a chapter limits it.
const bytesPerSecond = 8 << 20

// rollingUpdate replaces every pod of the gateway while another participant reads a dataset and signals come, and asserts that the stream
// was not cut: its reader takes little until the pod that it comes from has been told to end, and then all.
func (w *world) rollingUpdate(t *testing.T) { //nolint:thelper // a chapter of the test, no helper
	flow := w.opened(t)
	old := w.gateways(t)
	res, err := flow.get(t.Context(), forward(t, namespace, "dps-gateway-public", 80), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	digest := sha256.New()
	read := int64(0)
	take := func(n int64) error {
		got, err := io.CopyN(digest, res.Body, n)
		read += got
		return err
	}
	if err := take(1); err != nil {
		t.Fatalf("the stream did not begin (%s): %v", res.Status, err)
	}

	defer w.broker.supply(t, "")()
	began := time.Now()
	w.kubectl(t, "rollout", "restart", "deployment/dps-gateway")
	var files []demo.File
	for i := range 4 {
		files = append(files, w.putBytes(t, fmt.Sprintf("rolling/%d.bin", i), 100_000+i))
	}
	eventually(t, arrival, func() error {
		if err := take(64 << 10); err != nil {
			t.Fatalf("after %d bytes, before the pod was told to end: %v", read, err)
		}
		for _, name := range w.gateways(t) {
			if slices.Contains(old, name) {
				return fmt.Errorf("the gateway's pod %s is not told to end", name)
			}
		}
		return nil
	})
	told := time.Now()
	time.Sleep(8 * time.Second) // the pause before SIGTERM, and DRAIN_DELAY: now the listeners are closed, and the stream goes on
	if err := take(flow.file.Size - read); err != nil {
		t.Errorf("the stream was cut after %d of %d bytes, %v after its pod was told to end: %v", read, flow.file.Size, time.Since(told).Round(time.Second), err)
	}
	if sum := hex.EncodeToString(digest.Sum(nil)); !t.Failed() && sum != flow.file.SHA256 {
		t.Errorf("the stream had digest %s, not %s", sum, flow.file.SHA256)
	}
	t.Logf("pod told to end %v after the roll-out began, stream done %v later", told.Sub(began).Round(time.Second), time.Since(told).Round(time.Second))
	w.kubectl(t, "rollout", "status", "deployment/dps-gateway", "--timeout=300s")
	w.allArrive(t, files, arrival)
	w.once(t, files)
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
		w.kubectl(t, "rollout", "status", "deployment/dps-gateway", "--timeout=300s")
	}
	set(fmt.Sprintf("%s\nlimits:\n  bytesPerSecond: %d\n", original, bytesPerSecond))
	return func() { set(original) }
}
