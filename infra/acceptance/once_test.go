package acceptance

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/infra/internal/demo"
	"github.com/tidegate/tidegate/shared/management"
)

// once asserts that each file was published, agreed, transferred and delivered exactly once, and that nothing else was.
func (h *house) once(t *testing.T, files []demo.File) {
	t.Helper()
	names := map[string]bool{}
	for _, f := range files {
		names[f.Name] = true
	}
	eventually(t, time.Minute, h.told(names))
	h.inboxHolds(t, names)

	provider, consumer := h.controlPlane(t, "provider"), h.controlPlane(t, "consumer")
	assets := map[string]string{} // id → name
	count := map[string]int{}
	for a, err := range provider.QueryAssets(t.Context(), management.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		name, _ := a.Properties["name"].(string)
		if name == "" {
			name, _ = a.Properties["https://w3id.org/edc/v0.0.1/ns/name"].(string)
		}
		assets[a.ID] = name
		count[name]++
	}
	expectOnce(t, "asset at the provider", names, count)

	clear(count)
	for d, err := range provider.QueryContractDefinitions(t.Context(), management.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		count[d.ID]++
	}
	if len(count) != 1 || count["provider-all-files"] != 1 {
		t.Errorf("contract definitions: %v, want provider-all-files alone", count)
	}

	for side, cp := range map[string]*management.Client{"provider": provider, "consumer": consumer} {
		clear(count)
		for a, err := range cp.QueryAgreements(t.Context(), management.Query{}) {
			if err != nil {
				t.Fatal(err)
			}
			count[assets[a.AssetID]]++
		}
		expectOnce(t, "agreement at the "+side, names, count)

		clear(count)
		for tp, err := range cp.QueryTransfers(t.Context(), management.Query{}) {
			if err != nil {
				t.Fatal(err)
			}
			if tp.State == "COMPLETED" {
				count[assets[tp.AssetID]]++
			}
		}
		expectOnce(t, "completed transfer at the "+side, names, count)
	}

	clear(count)
	for _, tr := range h.teller.Tracks() {
		count[tr.Name] = tr.Deliveries
		if tr.GotSHA256 != tr.SHA256 && names[tr.Name] {
			t.Errorf("%s: delivered %s, published %s", tr.Name, tr.GotSHA256, tr.SHA256)
		}
	}
	expectOnce(t, "delivery told", names, count)
}

// told tells which deliveries nobody has told of yet: the event comes after the object.
func (h *house) told(names map[string]bool) func() string {
	return func() string {
		count := map[string]int{}
		for _, tr := range h.teller.Tracks() {
			count[tr.Name] = tr.Deliveries
		}
		for name := range names {
			if count[name] == 0 {
				return "nobody has told of the delivery of " + name
			}
		}
		return ""
	}
}

// inboxHolds asserts that the consumer's bucket holds these files and no others, finished or not.
func (h *house) inboxHolds(t *testing.T, names map[string]bool) {
	t.Helper()
	var extra []string
	err := filepath.WalkDir(h.layout.Inbox, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		rel, err := filepath.Rel(h.layout.Inbox, path)
		if name := filepath.ToSlash(rel); !names[name] {
			extra = append(extra, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(extra) > 0 {
		t.Errorf("the consumer's bucket holds more than was sent: %s", strings.Join(extra, ", "))
	}
}

func expectOnce(t *testing.T, what string, names map[string]bool, count map[string]int) {
	t.Helper()
	var faults []string
	for name := range names {
		if count[name] != 1 {
			faults = append(faults, fmt.Sprintf("%s: %d", name, count[name]))
		}
	}
	for name, n := range count {
		if !names[name] && n > 0 {
			faults = append(faults, fmt.Sprintf("%s: %d, expected none", name, n))
		}
	}
	slices.Sort(faults)
	if len(faults) > 0 {
		t.Errorf("%s, not once: %s", what, strings.Join(faults, "; "))
	}
}
