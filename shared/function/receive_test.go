package function_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/tidegate/tidegate/shared/function"
	"github.com/tidegate/tidegate/shared/function/functiontest"
	"github.com/tidegate/tidegate/shared/problem"
)

const sigterm = syscall.SIGTERM

const created = "io.tidegate.object.created.v1"

func newEvent(t *testing.T, id string) *event.Event {
	t.Helper()
	e := event.New()
	e.SetID(id)
	e.SetType(created)
	e.SetSource("/tidegate/test/acme")
	e.SetSubject("in/a.csv")
	e.SetExtension("participantcontextid", "acme")
	if err := e.SetData(event.ApplicationJSON, map[string]string{"key": "a.csv"}); err != nil {
		t.Fatal(err)
	}
	return &e
}

// echo replies with an event about the one it got; an id that starts with a kind's name fails with that kind.
func echo(_ context.Context, e *event.Event) (*event.Event, error) {
	switch name, _, _ := strings.Cut(e.ID(), "-"); name {
	case "silent":
		return nil, nil
	case "panic":
		panic("a defect")
	case "plain":
		return nil, errors.New("a secret detail")
	case "invalid":
		return nil, problem.Field("key", "is empty")
	case "notfound":
		return nil, problem.New(problem.NotFound, "no such dataset")
	case "stale":
		return nil, problem.New(problem.Stale, "another revision")
	case "unavailable":
		return nil, &problem.Error{Kind: problem.Unavailable, Message: "later", RetryAfter: 7 * time.Second}
	case "badreply":
		out := event.New()
		return &out, nil
	}
	out := event.New()
	out.SetID("reply-to-" + e.ID())
	out.SetType("io.tidegate.dataset.published.v1")
	out.SetSource("/tidegate/echo")
	out.SetSubject(e.Subject())
	return &out, out.SetData(event.ApplicationJSON, json.RawMessage(e.Data()))
}

func startEcho(t *testing.T, edit func(*function.Config)) *functiontest.Function {
	t.Helper()
	return functiontest.Start(t, "", "", edit, func(s *function.Service) { s.HandleEvents(echo) })
}

func post(t *testing.T, f *functiontest.Function, body string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.URL+"/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res := f.Do(t, req)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(b)
}

func TestReceiveAnswersEachEncodingAndFault(t *testing.T) {
	f := startEcho(t, func(c *function.Config) { c.MaxEventBytes = 2000 })
	binary := []string{"Ce-Specversion", "1.0", "Ce-Id", "1", "Ce-Type", created, "Ce-Source", "/s", "Content-Type", "application/json"}
	one := `{"specversion":"1.0","id":"1","type":"` + created + `","source":"/s","data":{"a":1}}`
	structured := []string{"Content-Type", "application/cloudevents+json; charset=utf-8"}
	batch := []string{"Content-Type", "application/cloudevents-batch+json"}

	tests := []struct {
		name   string
		body   string
		header []string
		status int
		want   string // a part of the body
	}{
		{"binary", `{"a":1}`, binary, 200, `{"a":1}`},
		{"structured, with a parameter in the content type", one, structured, 200, `{"a":1}`},
		{"batch", "[" + one + "]", batch, 204, ""},
		{"batch with a parameter in the content type", "[" + one + "]", []string{"Content-Type", "application/cloudevents-batch+json;charset=utf-8"}, 204, ""},
		{"malformed structured JSON is never to come again", `{"specversion":`, structured, 400, "no well-formed CloudEvent"},
		{"trailing bytes after a structured event", one + "x", structured, 400, ""},
		{"malformed batch", `[{`, batch, 400, ""},
		{"batch that is an object", one, batch, 400, ""},
		{"batch with a null", `[null]`, batch, 400, ""},
		{"empty batch", `[]`, batch, 400, "empty"},
		{"batch with one event that misses its id", `[` + one + `,{"specversion":"1.0","type":"t","source":"/s"}]`, batch, 400, "event 2 of 2"},
		{"missing attributes", "", []string{"Ce-Specversion", "1.0", "Ce-Type", "t"}, 400, ""},
		{"unknown specversion", "", []string{"Ce-Specversion", "7.0", "Ce-Id", "1"}, 400, "specversion"},
		{"no CloudEvent", `{"a":1}`, []string{"Content-Type", "application/json"}, 415, "no CloudEvent"},
		{"an event format that is not JSON", "x", []string{"Content-Type", "application/cloudevents+avro"}, 415, "JSON"},
		{"over the limit, binary", strings.Repeat("x", 2001), binary, 413, "2000 bytes"},
		{"over the limit, structured", `{"specversion":"1.0","data":"` + strings.Repeat("x", 2001) + `"}`, structured, 413, "2000 bytes"},
		{"extension name with a dash", `{"specversion":"1.0","id":"1","type":"t","source":"/s","my-ext":"v"}`, structured, 400, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			res, body := post(t, f, tt.body, tt.header...)
			if res.StatusCode != tt.status || !strings.Contains(body, tt.want) {
				t.Errorf("answered %d %s, want %d with %q", res.StatusCode, body, tt.status, tt.want)
			}
			if tt.status >= 400 && res.Header.Get("Content-Type") != problem.ContentType {
				t.Errorf("the answer is %q, want a problem document", res.Header.Get("Content-Type"))
			}
		})
	}
	if n := len(f.Sink.Events()); n != 2 {
		t.Errorf("%d replies to batches were published, want 2", n)
	}
}
