package acceptance

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/infra/internal/demo"
	"github.com/tidegate/tidegate/shared/management"
	"github.com/tidegate/tidegate/shared/tenant"
)

// offered returns the names in the provider's catalog, as the consumer sees it.
func (h *house) offered(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	cp := tenant.CounterParty{ID: "did:web:provider.example", Address: h.layout.SandboxURL() + "/protocol/provider/http-dsp-profile-2025-1"}
	for d, err := range h.controlPlane(t, "consumer").Catalog(t.Context(), cp, management.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		name, _ := d.Properties["name"].(string)
		names[name] = true
	}
	return names
}

func TestANewVersionIsDeliveredAndARemovedFileIsWithdrawn(t *testing.T) {
	h := start(t, newLayout(t))
	first := h.write(t, "report.csv", []byte("version 1"))
	eventually(t, time.Minute, h.arrived([]demo.File{first}))
	second := h.write(t, "report.csv", []byte("version 2, which is longer"))
	eventually(t, time.Minute, h.arrived([]demo.File{second}))
	back := h.write(t, "report.csv", []byte("version 1"))
	eventually(t, time.Minute, h.arrived([]demo.File{back}))

	if err := os.Remove(filepath.Join(h.layout.Outbox, "report.csv")); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, func() string {
		if h.offered(t)["report.csv"] {
			return "the offer is still there"
		}
		return ""
	})
	again := h.write(t, "report.csv", []byte("version 3"))
	eventually(t, time.Minute, h.arrived([]demo.File{again}))

	agreements := 0
	for _, err := range h.controlPlane(t, "provider").QueryAgreements(t.Context(), management.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		agreements++
	}
	if agreements != 1 {
		t.Errorf("%d agreements for the versions of one file, want 1", agreements)
	}
}

func TestAFileThatIsWrittenSlowlyArrivesWhole(t *testing.T) {
	h := start(t, newLayout(t))
	f, err := os.Create(filepath.Join(h.layout.Outbox, "slow.log"))
	if err != nil {
		t.Fatal(err)
	}
	for range 12 {
		if _, err := f.WriteString(strings.Repeat("line\n", 1000)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(200 * time.Millisecond) // a slow writer
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	size, sum, err := demo.Digest(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, h.arrived([]demo.File{{Name: "slow.log", Size: size, SHA256: sum}}))
	eventually(t, time.Minute, h.told(map[string]bool{"slow.log": true}))
	for _, tr := range h.teller.Tracks() {
		if tr.Name == "slow.log" && tr.Deliveries != 1 {
			t.Errorf("it was delivered %d times, want once, as a whole", tr.Deliveries)
		}
	}
}

// TestItGoesOnWhereItWas stops everything, changes the bucket meanwhile, and starts again.
func TestItGoesOnWhereItWas(t *testing.T) {
	layout := newLayout(t)
	h := start(t, layout)
	kept := h.write(t, "kept.csv", []byte("kept"))
	changed := h.write(t, "changed.csv", []byte("before"))
	removed := h.write(t, "removed.csv", []byte("removed"))
	eventually(t, time.Minute, h.arrived([]demo.File{kept, changed, removed}))
	eventually(t, time.Minute, h.settled(t))
	began := time.Now()
	h.stop(t)
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("the stop took %v, more than 5 s", d)
	}

	changed = h.write(t, "changed.csv", []byte("after"))
	added := h.write(t, "added.csv", []byte("added"))
	if err := os.Remove(filepath.Join(layout.Outbox, "removed.csv")); err != nil {
		t.Fatal(err)
	}

	h = start(t, layout)
	eventually(t, time.Minute, h.arrived([]demo.File{kept, changed, added}))
	eventually(t, time.Minute, func() string {
		if h.offered(t)["removed.csv"] {
			return "the offer of a file that was removed meanwhile is still there"
		}
		return ""
	})
	eventually(t, time.Minute, h.settled(t))
	for _, tr := range h.teller.Tracks() {
		if tr.Name == "kept.csv" && (!tr.Published.IsZero() || tr.Deliveries > 0) {
			t.Errorf("kept.csv was published or delivered again: %+v", tr)
		}
	}
}
