package function_test

import (
	"context"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	"github.com/tidegate/tidegate/shared/auth"
	"github.com/tidegate/tidegate/shared/eventsig"
	"github.com/tidegate/tidegate/shared/function"
	"github.com/tidegate/tidegate/shared/function/functiontest"
)

// A Knative Broker passes no token on: it delivers what is signed, and the ticks of schedules, and nothing else.
func TestABrokerWithoutTheTokenDeliversOnlyWhatIsSigned(t *testing.T) {
	handled := 0
	f := functiontest.Start(t, "", "", nil, func(s *function.Service) {
		s.HandleEvents(func(context.Context, *event.Event) (*event.Event, error) { handled++; return nil, nil })
	})
	ours, err := auth.NewSharedSecret(functiontest.TokenFile(t))
	if err != nil {
		t.Fatal(err)
	}
	other := t.TempDir() + "/token"
	if err := os.WriteFile(other, []byte("another-secret-altogether"), 0o600); err != nil {
		t.Fatal(err)
	}
	theirs, err := auth.NewSharedSecret(other)
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		edit    func(*event.Event)
		status  int
		handled int
	}{
		"signed":                {func(e *event.Event) { eventsig.Sign(ours, e) }, 204, 1},
		"not signed":            {func(*event.Event) {}, 401, 0},
		"signed, then changed":  {func(e *event.Event) { eventsig.Sign(ours, e); e.SetSubject("another") }, 503, 0},
		"signed by another key": {func(e *event.Event) { eventsig.Sign(theirs, e) }, 503, 0},
		"a tick":                {func(e *event.Event) { e.SetType("dev.knative.sources.ping") }, 204, 1},
	}
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for name, tt := range tests {
		handled = 0
		e := newEvent(t, "1")
		tt.edit(e)
		req, err := cehttp.NewHTTPRequestFromEvent(t.Context(), f.URL+"/", *e)
		if err != nil {
			t.Fatal(err)
		}
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != tt.status || handled != tt.handled {
			t.Errorf("%s: answered %d and handled %d times, want %d and %d", name, res.StatusCode, handled, tt.status, tt.handled)
		}
	}
}

func TestWhatAFunctionSendsIsSigned(t *testing.T) {
	f := startEcho(t, nil)
	secret, err := auth.NewSharedSecret(functiontest.TokenFile(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, reply := f.Send(t, newEvent(t, "reply")); reply == nil || !eventsig.Check(secret, reply) {
		t.Errorf("the reply is not signed: %v", reply)
	}
	if err := f.Service.Publish(t.Context(), newEvent(t, "published")); err != nil {
		t.Fatal(err)
	}
	sent := f.Sink.Events()
	if len(sent) != 1 || !eventsig.Check(secret, &sent[0]) {
		t.Errorf("what was published is not signed: %v", sent)
	}
}
