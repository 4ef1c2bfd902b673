package acceptance

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/tidegate/tidegate/infra/internal/demo"
	"github.com/tidegate/tidegate/infra/internal/local"
	"github.com/tidegate/tidegate/infra/internal/supervisor"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/management"
)

// TestASubscriptionMayHaveItsDataPushed has the consumer subscribe by push, and kills the pusher and the gateway, hard, in the middle
// of a large file.
func TestASubscriptionMayHaveItsDataPushed(t *testing.T) {
	layout := newLayout(t)
	if _, err := local.Prepare(layout, binDir(t)); err != nil {
		t.Fatal(err)
	}
	document := filepath.Join(layout.Tenants(), "consumer.yaml")
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	changed := bytes.Replace(text, []byte("    sink: inbox\n"), []byte("    sink: inbox\n    direction: push\n"), 1)
	if bytes.Equal(changed, text) {
		t.Fatal("the consumer's document has no such subscription")
	}
	if err := os.WriteFile(document, changed, 0o600); err != nil {
		t.Fatal(err)
	}
	h := start(t, layout)
	rnd := rand.NewChaCha8([32]byte{2})
	content := func(n int) []byte {
		b := make([]byte, n)
		_, _ = rnd.Read(b)
		return b
	}
	const large = 256 << 20
	files := []demo.File{h.write(t, "large.bin", content(large)), h.write(t, "empty.csv", nil)}
	for i := range 20 {
		files = append(files, h.write(t, fmt.Sprintf("folder/small %03d.csv", i), content(1000+i)))
	}
	for i, name := range []string{"transfer-pusher", "dps-gateway"} {
		eventually(t, 2*time.Minute, func() string {
			if n := partial(layout.Inbox); n < int64(i+1)*large/5 {
				return fmt.Sprintf("%d bytes of the large file have come", n)
			}
			return ""
		})
		before := partial(layout.Inbox)
		at := slices.IndexFunc(h.Processes(), func(p *supervisor.Process) bool { return p.Name == name })
		if err := h.Processes()[at].Kill(); err != nil {
			t.Error(err)
		}
		t.Logf("killed %s at byte %d", name, before)
	}
	eventually(t, 2*time.Minute, h.arrived(files))
	eventually(t, time.Minute, h.settled(t))
	h.once(t, files)
	for tp, err := range h.controlPlane(t, "consumer").QueryTransfers(t.Context(), management.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		if tp.TransferType != dps.ProfileHTTPPush {
			t.Errorf("transfer %s is by %s", tp.ID, tp.TransferType)
		}
	}
}

// partial is the size of the largest file in a folder that is not finished.
func partial(dir string) (size int64) {
	entries, err := os.ReadDir(filepath.Join(dir, ".tidegate"))
	if err != nil {
		return 0
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			size = max(size, info.Size())
		}
	}
	return size
}
