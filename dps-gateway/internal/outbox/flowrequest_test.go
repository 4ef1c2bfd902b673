package outbox

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/shared/auth"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/eventsig"
)

// TestTheEventOfAFlowIsTheSDKsOnTheWire: what is written past the SDK is what the SDK would write.
func TestTheEventOfAFlowIsTheSDKsOnTheWire(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("0123456789abcdef0123456789abcdef"), 0o600); err != nil {
		t.Fatal(err)
	}
	secret, err := auth.NewSharedSecret(file)
	if err != nil {
		t.Fatal(err)
	}
	s := NewEventSender(secret, "http://broker.example/default", http.DefaultClient, time.Second)
	id := rapid.StringMatching(`[a-zA-Z0-9:./#?=_-]{1,40}`)
	rapid.Check(t, func(r *rapid.T) {
		e := &Entry{
			PC: rapid.StringMatching(`[a-z0-9.-]{1,20}`).Draw(r, "pc"), Lane: LaneEvent, Subject: id.Draw(r, "flow"),
			Kind:  rapid.SampledFrom([]string{catalogue.DataFlowStarted, catalogue.DataFlowTerminated}).Draw(r, "type"),
			State: dps.Started, Role: rapid.SampledFrom([]dps.Role{"", dps.Consumer, dps.Provider}).Draw(r, "role"),
			Direction: rapid.SampledFrom([]dps.Direction{"", dps.Pull, dps.Push}).Draw(r, "direction"),
			Profile:   id.Draw(r, "profile"), CounterPartyID: id.Draw(r, "counterparty"), AgreementID: id.Draw(r, "agreement"), DatasetID: id.Draw(r, "dataset"),
			Reason: rapid.OneOf(rapid.String(), rapid.Just("bad \xff <&>\u2028")).Draw(r, "reason"), Revision: rapid.Int64Range(1, 1000).Draw(r, "revision"),
			At: time.UnixMilli(rapid.Int64Range(1, 4e12).Draw(r, "at")).UTC(),
		}
		got, err := s.request(t.Context(), e)
		if err != nil {
			r.Fatal(err)
		}
		ce, err := e.CloudEvent()
		if err != nil {
			r.Fatal(err)
		}
		eventsig.Sign(secret, ce)
		want, err := cehttp.NewHTTPRequestFromEvent(t.Context(), s.sink, *ce)
		if err != nil {
			r.Fatal(err)
		}
		if d := cmp.Diff(want.Header, got.Header); d != "" {
			r.Error(d)
		}
		if d := cmp.Diff(data(r, want), data(r, got)); d != "" || got.Method != want.Method || got.URL.String() != want.URL.String() || got.ContentLength <= 0 {
			r.Errorf("%s %s, %d bytes: %s", got.Method, got.URL, got.ContentLength, d)
		}
	})
}

func data(r *rapid.T, req *http.Request) (d catalogue.DataFlow) {
	if err := json.NewDecoder(req.Body).Decode(&d); err != nil {
		r.Fatal(err)
	}
	return d
}
