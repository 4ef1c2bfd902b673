package signaling_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/dps-gateway/internal/flowstore/flowstoretest"
	"github.com/tidegate/tidegate/dps-gateway/internal/redistest"
	"github.com/tidegate/tidegate/dps-gateway/internal/signaling"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
)

var update = flag.Bool("update", false, "write the golden files anew")

// classes are the CloudEvents types of the files in binary mode.
var classes = map[string]string{
	"negotiation-requested": "org.eclipse.edc.connector.controlplane.contract.spi.event.contractnegotiation.ContractNegotiationRequested",
	"transfer-terminated":   "org.eclipse.edc.connector.controlplane.transfer.spi.event.TransferProcessTerminated",
}

func (w *world) event(operation, name string, body []byte) *answer {
	w.tb.Helper()
	path := "/controlplane/" + theKey + "/" + operation
	if base, ok := strings.CutSuffix(name, ".binary"); ok {
		return w.send(http.MethodPost, path, "", string(body), "Ce-Specversion", "1.0", "Ce-Id", "id-"+base, "Ce-Source", "localhost",
			"Ce-Type", classes[base], "Ce-Time", "2026-11-24T07:00:00Z", "Content-Type", "application/json")
	}
	return w.send(http.MethodPost, path, "", string(body))
}

// TestIntake puts each event of EDC through and compares what stands in the outbox with the golden file; an empty one says
// that the event is acknowledged and dropped.
func TestIntake(t *testing.T) {
	files, err := filepath.Glob("testdata/intake/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		t.Run(name, func(t *testing.T) {
			rdb, _ := redistest.Mini(t)
			w := newWorld(t, rdb)
			body, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			for range 2 { // the same event twice has the same id twice
				if a := w.event("events", name, body); a.code != http.StatusNoContent {
					t.Fatalf("%d %s", a.code, a.body)
				}
			}
			for _, pc := range []string{"consumer", "provider", "stranger"} {
				entries := flowstoretest.Entries(t.Context(), t, rdb, pc)
				for i, e := range entries {
					if i > 0 {
						if d := cmp.Diff(entries[0].Event, e.Event); d != "" {
							t.Errorf("the second is another: %s", d)
						}
						continue
					}
					if e.Subject == "" || e.Kind == "" {
						t.Errorf("no subject or kind: %+v", e)
					}
					if err := json.Indent(&got, e.Event, "", "  "); err != nil {
						t.Fatal(err)
					}
					got.WriteByte('\n')
				}
			}
			golden := "testdata/intake/" + name + ".golden"
			if *update {
				if err := os.WriteFile(golden, got.Bytes(), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), got.String()); d != "" {
				t.Error(d)
			}
			for _, secret := range []string{"the-token", "secret"} {
				if strings.Contains(got.String(), secret) {
					t.Errorf("a secret is passed on")
				}
			}
		})
	}
}

func TestIntakeRefuses(t *testing.T) {
	rdb, m := redistest.Mini(t)
	w := newWorld(t, rdb)
	good, err := os.ReadFile("testdata/intake/negotiation-finalized.envelope.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, path, body string
		code             int
	}{
		{"a wrong key", "/controlplane/0123456789abcdef-kez/events", string(good), 404},
		{"no key", "/controlplane//events", string(good), 404},
		{"a wrong key for a veto", "/controlplane/x/veto", string(good), 404},
		{"no JSON", "/controlplane/" + theKey + "/events", `<x/>`, 400},
		{"no id", "/controlplane/" + theKey + "/events", strings.Replace(string(good), `"id": "3c1f", `, "", 1), 400},
		{"no tenant", "/controlplane/" + theKey + "/events", strings.Replace(string(good), `"participantContextId": "provider",`, "", 1), 400},
		{"an id of another type", "/controlplane/" + theKey + "/events", strings.Replace(string(good), `"neg-1"`, "{}", 1), 400},
		{"an id that is too long", "/controlplane/" + theKey + "/events", strings.Replace(string(good), `neg-1`, strings.Repeat("n", 600), 1), 400},
		{"a body that is too large", "/controlplane/" + theKey + "/events", strings.Repeat(" ", 2<<20), 413},
	} {
		a := w.send(http.MethodPost, c.path, "", c.body)
		if a.code != c.code {
			t.Errorf("%s: %d %s, want %d", c.name, a.code, a.body, c.code)
		}
	}
	wrong := w.send(http.MethodPost, "/controlplane/x/events", "", string(good)).problem(t)
	none := w.send(http.MethodPost, "/nothing", "", "").problem(t)
	wrong.ID, none.ID = "", ""
	if wrong != none {
		t.Errorf("a wrong key is told from a missing route: %+v %+v", wrong, none)
	}
	m.Close()
	if a := w.event("events", "x", good); a.code != http.StatusServiceUnavailable {
		t.Errorf("an event that could not be kept was acknowledged: %d", a.code)
	}
}

func TestVeto(t *testing.T) {
	rdb, m := redistest.Mini(t)
	w := newWorld(t, rdb)
	requested := func(pc, asset string) []byte {
		return []byte(`{"id":"e1","at":1,"type":"ContractNegotiationRequested","payload":{"contractNegotiationId":"neg-1","counterPartyId":"them-id",` +
			`"counterPartyAddress":"http://them","participantContextId":"` + pc + `","contractOffers":[{"id":"o1","assetId":"` + asset + `","policy":{"p":1}}]}}`)
	}
	w.dataset("provider", "asset-1")
	w.dataset("suspended", "asset-1")
	for _, c := range []struct {
		name  string
		body  []byte
		err   error
		code  int
		asked int
	}{
		{"the approver lets it pass", requested("provider", "asset-1"), nil, 204, 1},
		{"the approver says no", requested("provider", "asset-1"), problem.New(problem.Forbidden, "not with them"), 403, 1},
		{"the approver can't be reached", requested("provider", "asset-1"), problem.New(problem.Unavailable, "away"), 503, 1},
		{"the approver does not understand", requested("provider", "asset-1"), problem.New(problem.Invalid, "what"), 503, 1},
		{"the consumer's side", requested("consumer", "asset-1"), problem.New(problem.Forbidden, "no"), 204, 0},
		{"a participant context that is not ours", requested("stranger", "asset-1"), problem.New(problem.Forbidden, "no"), 204, 0},
		{"a tenant of ours that is not in force", requested("suspended", "asset-1"), nil, 503, 0},
		{"its consumer's side", requested("suspended", "asset-2"), nil, 204, 0},
		{"another event", []byte(`{"id":"e","at":1,"type":"ContractNegotiationAgreed","payload":{}}`), problem.New(problem.Forbidden, "no"), 204, 0},
	} {
		w.vetoer.asked, w.vetoer.err = nil, c.err
		a := w.event("veto", "envelope", c.body)
		if a.code != c.code || len(w.vetoer.asked) != c.asked {
			t.Errorf("%s: %d %s, asked %d times", c.name, a.code, a.body, len(w.vetoer.asked))
		}
		if c.code == http.StatusForbidden && a.problem(t).Detail != "not with them" {
			t.Errorf("%s: %s", c.name, a.body)
		}
	}
	w.event("veto", "envelope", requested("provider", "asset-1"))
	if d := cmp.Diff(gatewayapi.VetoRequest{
		ParticipantContextID: "provider", NegotiationID: "neg-1", CounterPartyID: "them-id", CounterPartyAddress: "http://them",
		Offers: []gatewayapi.VetoOffer{{ID: "o1", AssetID: "asset-1", Policy: map[string]any{"p": 1.0}}},
	}, w.vetoer.asked[0]); d != "" {
		t.Error(d)
	}
	m.Close()
	w.vetoer.err = nil
	if a := w.event("veto", "envelope", requested("provider", "asset-1")); a.code != http.StatusServiceUnavailable {
		t.Errorf("a veto without a look at the datasets: %d", a.code)
	}
}

// TestAVetoWaitsForAnApproverThatWaitsForRedis: the approver reaches what Redis keeps by us, so it fails while Redis is away. An approver that
// fails while Redis is there is not waited for.
func TestAVetoWaitsForAnApproverThatWaitsForRedis(t *testing.T) {
	rdb, _ := redistest.Mini(t)
	w := newWorld(t, rdb)
	w.dataset("provider", "asset-1")
	body := []byte(`{"id":"e1","at":1,"type":"ContractNegotiationRequested","payload":{"contractNegotiationId":"neg-1","counterPartyId":"them-id",` +
		`"participantContextId":"provider","contractOffers":[{"id":"o1","assetId":"asset-1","policy":{}}]}}`)
	probes := 0
	w.deps.Patience = signaling.NewPatience(time.Minute, 1, func(context.Context, int) error {
		if probes++; probes < 3 {
			return io.EOF // a connection that breaks
		}
		w.vetoer.err = nil
		return nil
	})
	w.serve()
	w.vetoer.err = problem.New(problem.Unavailable, "the records can't be reached")
	if a := w.event("veto", "envelope", body); a.code != http.StatusNoContent || len(w.vetoer.asked) != 2 {
		t.Errorf("%d %s, asked %d times", a.code, a.body, len(w.vetoer.asked))
	}
	w.deps.Patience = signaling.NewPatience(time.Minute, 1, func(context.Context, int) error { return nil })
	w.serve()
	w.vetoer.err, w.vetoer.asked = problem.New(problem.Unavailable, "it does not answer"), nil
	if a := w.event("veto", "envelope", body); a.code != http.StatusServiceUnavailable || len(w.vetoer.asked) != 1 {
		t.Errorf("%d %s, asked %d times", a.code, a.body, len(w.vetoer.asked))
	}
}
