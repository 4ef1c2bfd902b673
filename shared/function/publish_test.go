package function_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/tidegate/tidegate/shared/function"
	"github.com/tidegate/tidegate/shared/function/functiontest"
	"github.com/tidegate/tidegate/shared/problem"
)

func start(t *testing.T, edit func(*function.Config)) *functiontest.Function {
	t.Helper()
	return functiontest.Start(t, "", "", edit, func(*function.Service) {})
}

func TestPublishRetriesWhatMayPass(t *testing.T) {
	for _, codes := range [][]int{{404, 408, 409}, {429, 500, 503}} {
		f := start(t, nil)
		f.Sink.Answer(codes...)
		if err := f.Service.Publish(t.Context(), newEvent(t, "1")); err != nil {
			t.Fatalf("Publish: %v", err)
		}
		if n := f.Sink.Tries(); n != len(codes)+1 {
			t.Errorf("%d tries, want %d", n, len(codes)+1)
		}
		if events := f.Sink.Events(); len(events) != 1 || events[0].ID() != "1" || events[0].Subject() != "in/a.csv" || string(events[0].Data()) != `{"key":"a.csv"}` {
			t.Errorf("the broker has %v", events)
		}
	}
}

func TestPublishGivesUpAtOnceOnARefusal(t *testing.T) {
	for code, kind := range map[int]problem.Kind{400: problem.Unprocessable, 413: problem.Unprocessable, 422: problem.Unprocessable, 401: problem.Unavailable} {
		f := start(t, nil)
		f.Sink.Answer(code)
		if err := f.Service.Publish(t.Context(), newEvent(t, "1")); !problem.Is(err, kind) {
			t.Errorf("answered %d: %v, want kind %v", code, err, kind)
		}
		if n := f.Sink.Tries(); n != 1 {
			t.Errorf("answered %d: %d tries, want 1", code, n)
		}
	}
}

func TestPublishEndsWithItsContext(t *testing.T) {
	f := start(t, func(c *function.Config) { c.Sink = "http://127.0.0.1:1/nobody" })
	ctx, cancel := context.WithTimeout(t.Context(), 250*time.Millisecond)
	defer cancel()
	if err := f.Service.Publish(ctx, newEvent(t, "1")); !problem.Is(err, problem.Unavailable) {
		t.Errorf("Publish to nobody: %v, want Unavailable", err)
	}
}

func TestPublishDoesNotChangeTheEvent(t *testing.T) {
	f := start(t, func(c *function.Config) { c.CEOverrides = `{"extensions":{"schedule":"sweep"}}` })
	e := newEvent(t, "ä%")
	before := e.String()
	if err := f.Service.Publish(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if e.String() != before {
		t.Errorf("the event became\n%s\nfrom\n%s", e, before)
	}
	got := f.Sink.Events()[0]
	if got.ID() != "ä%" || got.Extensions()["schedule"] != "sweep" {
		t.Errorf("the broker has %v", got)
	}
}

func TestPublishWithinAHandlerNamesItsParticipantContextAndTrace(t *testing.T) {
	f := functiontest.Start(t, "", "", nil, func(s *function.Service) {
		s.HandleEvents(func(ctx context.Context, _ *event.Event) (*event.Event, error) {
			out := newEvent(t, "out")
			out.SetExtension("participantcontextid", nil)
			return nil, s.Publish(ctx, out)
		})
	})
	in := newEvent(t, "in")
	in.SetExtension("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	if code, _ := f.Send(t, in); code != 204 {
		t.Fatalf("answered %d", code)
	}
	ext := f.Sink.Events()[0].Extensions()
	if tp, _ := ext["traceparent"].(string); ext["participantcontextid"] != "acme" || len(tp) != 55 || tp[3:35] != "0af7651916cd43dd8448eb211c80319c" {
		t.Errorf("published with %v", ext)
	}
}

func TestTheInternalTokenDoesNotFollowRedirects(t *testing.T) {
	leaked := make(chan string, 1)
	thief := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { leaked <- r.Header.Get("Authorization") }))
	defer thief.Close()
	sink := httptest.NewServer(http.RedirectHandler(thief.URL, http.StatusTemporaryRedirect))
	defer sink.Close()
	f := start(t, func(c *function.Config) { c.Sink = sink.URL })
	if err := f.Service.Publish(t.Context(), newEvent(t, "1")); !problem.Is(err, problem.Unprocessable) {
		t.Errorf("Publish to a redirect: %v", err)
	}
	if len(leaked) > 0 {
		t.Errorf("the token went to another host: %q", <-leaked)
	}
}
