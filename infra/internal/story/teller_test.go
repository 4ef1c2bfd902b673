package story

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/tidegate/tidegate/eventing/catalogue"
)

func TestTheStoryOfAFile(t *testing.T) {
	var out bytes.Buffer
	teller := NewTeller(&out, nil)
	digest := strings.Repeat("ab", 32)
	for _, e := range []*event.Event{
		newEvent(t, "provider", catalogue.DatasetPublished, "ds", catalogue.Dataset{DatasetID: "ds", Key: "ä b.csv", Size: 2048, SHA256: digest}),
		newEvent(t, "consumer", catalogue.NegotiationInitiated, "n1", catalogue.Negotiation{NegotiationID: "n1", DatasetID: "ds"}),
		newEvent(t, "provider", catalogue.NegotiationDecided, "n2", catalogue.Decided{NegotiationID: "n2", DatasetID: "ds", Verdict: "approved", Rule: "partners"}),
		newEvent(t, "provider", catalogue.NegotiationFinalized, "n2", catalogue.Negotiation{NegotiationID: "n2", AgreementID: "theirs"}),
		newEvent(t, "consumer", catalogue.NegotiationFinalized, "n1", catalogue.Negotiation{NegotiationID: "n1", AgreementID: "a1"}),
		newEvent(t, "provider", catalogue.DataFlowStarted, "p1", catalogue.DataFlow{DataFlowID: "p1", DatasetID: "ds", Role: "PROVIDER"}),
		newEvent(t, "consumer", catalogue.DataFlowStarted, "f1", catalogue.DataFlow{DataFlowID: "f1", DatasetID: "ds", Role: "CONSUMER"}),
		newEvent(t, "consumer", catalogue.ObjectDelivered, "inbox/ä b.csv", catalogue.Delivered{DataFlowID: "f1", DatasetID: "ds", Key: "ä b.csv", Size: 2048, SHA256: digest}),
	} {
		teller.Tell(e)
		teller.Tell(e) // told twice, heard once
	}
	var steps []string
	for line := range strings.Lines(out.String()) {
		steps = append(steps, strings.Fields(line)[1])
		if !strings.Contains(line, "ä b.csv") {
			t.Errorf("the line %q does not name the file", line)
		}
	}
	if got, want := strings.Join(steps, " "), "published offered decided agreed started delivered"; got != want {
		t.Errorf("steps = %s\nwant    %s", got, want)
	}
	tr := teller.Tracks()["ds"]
	if tr.Deliveries != 1 || tr.GotSHA256 != digest || tr.Rule != "partners" || tr.FlowID != "f1" {
		t.Errorf("track = %+v", tr)
	}
	if !strings.Contains(out.String(), "equal") {
		t.Error("the story does not say that the digests are equal")
	}
}

func TestOnlyTheBrokerTellsStories(t *testing.T) {
	srv := httptest.NewServer(NewTeller(io.Discard, func(token string) bool { return token == "good" }))
	defer srv.Close()
	for token, want := range map[string]int{"good": http.StatusNoContent, "bad": http.StatusUnauthorized, "": http.StatusUnauthorized} {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL, strings.NewReader("{}"))
		for k, v := range map[string]string{"Ce-Id": "1", "Ce-Type": "x", "Ce-Source": "s", "Ce-Specversion": "1.0", "Content-Type": "application/json", "Authorization": "Bearer " + token} {
			req.Header.Set(k, v)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("token %q: %d, want %d", token, res.StatusCode, want)
		}
	}
}

func TestBytes(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 256 << 20: "256.0 MiB", 1 << 40: "1.0 TiB"} {
		if got := Bytes(n); got != want {
			t.Errorf("Bytes(%d) = %s, want %s", n, got, want)
		}
	}
}

func newEvent(t *testing.T, pc, typ, subject string, data any) *event.Event {
	t.Helper()
	e, err := catalogue.New("test", pc, typ, subject, data)
	if err != nil {
		t.Fatal(err)
	}
	return e
}
