package sandbox_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAFileGoesFromOfferToCompletion(t *testing.T) {
	w := newWorld(t, nil)
	w.register("provider")
	w.register("consumer")
	w.publish("asset-1", map[string]any{"permission": []any{map[string]any{"action": "use"}}})
	agreement := w.agree("asset-1")
	id := w.transfer(agreement, "http-pull")
	w.reach("consumer", "transferprocesses", id, "STARTED")
	provider := w.other("transferprocesses", id)
	w.reach("provider", "transferprocesses", provider, "STARTED")

	if s := w.plane.notify("consumer", id, "completed", nil); s != 200 {
		t.Fatalf("completed: status %d", s)
	}
	w.reach("consumer", "transferprocesses", id, "COMPLETED")
	w.reach("provider", "transferprocesses", provider, "COMPLETED")

	want := []string{"consumer prepare", "provider start", "consumer started", "provider completed"}
	if d := cmp.Diff(want, w.plane.seen()); d != "" {
		t.Error(d)
	}
	for pc, want := range map[string][]string{
		"consumer": {"Initiated", "Requested", "Agreed", "Verified", "Finalized"},
		"provider": {"Requested", "Agreed", "Verified", "Finalized"},
	} {
		w.eventually(func() bool { return len(w.sink.classes(pc, "ContractNegotiation")) == len(want) }, func() string { return "too few events" })
		if d := cmp.Diff(want, w.sink.classes(pc, "ContractNegotiation")); d != "" {
			t.Errorf("%s: %s", pc, d)
		}
	}
	for pc, want := range map[string][]string{
		"consumer": {"Initiated", "Requested", "Started", "Completed"},
		"provider": {"Initiated", "Started", "Completed"},
	} {
		w.eventually(func() bool { return len(w.sink.classes(pc, "TransferProcess")) == len(want) }, func() string { return "too few events" })
		if d := cmp.Diff(want, w.sink.classes(pc, "TransferProcess")); d != "" {
			t.Errorf("%s: %s", pc, d)
		}
	}
	for _, e := range w.sink.all() {
		if e.header.Get("Authorization") != "" || e.header.Get("Ce-Subject") != "" || e.header.Get("Ce-Source") != "localhost" ||
			e.header.Get("Content-Type") != "application/json" || !strings.HasPrefix(e.header.Get("Ce-Type"), "org.eclipse.edc.connector.controlplane.") {
			t.Errorf("headers of an event: %v", e.header)
		}
		if strings.HasSuffix(e.header.Get("Ce-Type"), "TransferProcessStarted") {
			has := e.body["dataAddress"] != nil
			if want := e.body["type"] == "CONSUMER"; has != want {
				t.Errorf("%v started event has an address: %v", e.body["type"], has)
			}
		}
	}
}
