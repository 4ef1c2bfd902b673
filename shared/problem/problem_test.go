package problem_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/shared/problem"
)

func TestKindSurvivesWrapping(t *testing.T) {
	err := fmt.Errorf("publishing: %w", problem.New(problem.Conflict, "flow %s is %s", "f1", "TERMINATED"))
	if !problem.Is(err, problem.Conflict) {
		t.Fatalf("kind = %v, want conflict", problem.KindOf(err))
	}
	if got := problem.KindOf(io.EOF); got != problem.Internal {
		t.Errorf("kind of a plain error = %v, want internal", got)
	}
	if problem.Is(nil, problem.Internal) {
		t.Error("nil is no error of any kind")
	}
}

func TestNewKeepsTheCauseAndPrintsItOnce(t *testing.T) {
	err := problem.New(problem.Unavailable, "reading the flow: %w", io.ErrUnexpectedEOF)
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatal("the cause is lost")
	}
	if n := strings.Count(err.Error(), io.ErrUnexpectedEOF.Error()); n != 1 {
		t.Errorf("%q holds the cause %d times, want once", err.Error(), n)
	}
}

// A broker redelivers on 404, 408, 409, 429 and 5xx: what can never work must not answer with one of these.
func TestPermanentFaultsAreNotRedelivered(t *testing.T) {
	for k := problem.Internal; k <= problem.Timeout; k++ {
		code := problem.EventStatus(problem.New(k, "x"))
		redelivered := code == 404 || code == 408 || code == 409 || code == 429 || code >= 500
		if redelivered != k.Temporary() {
			t.Errorf("%v answers %d: redelivered %v, temporary %v", k, code, redelivered, k.Temporary())
		}
	}
}

func TestWriteShowsTheFaultAndHidesTheCause(t *testing.T) {
	tests := map[string]struct {
		err        error
		status     int
		detail     string
		field      string
		retryAfter string
	}{
		"a field is named":                       {problem.Field("processId", "is missing"), 400, "is missing", "processId", ""},
		"an internal failure says nothing":       {errors.New("password=hunter2"), 500, "", "", ""},
		"a cause is not shown":                   {problem.Wrap(problem.Upstream, errors.New("10.0.0.1 refused"), "the back end failed"), 502, "the back end failed", "", ""},
		"an unavailable part says when to retry": {&problem.Error{Kind: problem.Unavailable, Message: "no Redis", RetryAfter: 2500 * time.Millisecond}, 503, "no Redis", "", "3"},
		"503 always says when to retry":          {problem.New(problem.Unavailable, "no Redis"), 503, "no Redis", "", "1"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var logged strings.Builder
			log := zerolog.New(&logged)
			rec := httptest.NewRecorder()
			problem.Write(rec, &log, problem.Status(tt.err), tt.err)
			var doc problem.Document
			if err := json.Unmarshal(rec.Body.Bytes(), &doc); err != nil {
				t.Fatalf("body %q: %v", rec.Body, err)
			}
			if rec.Code != tt.status || doc.Status != tt.status || doc.Detail != tt.detail || doc.Field != tt.field {
				t.Errorf("got %d %+v, want %d %q %q", rec.Code, doc, tt.status, tt.detail, tt.field)
			}
			if got := rec.Header().Get("Retry-After"); got != tt.retryAfter {
				t.Errorf("Retry-After = %q, want %q", got, tt.retryAfter)
			}
			if strings.Contains(rec.Body.String(), "hunter2") || strings.Contains(rec.Body.String(), "10.0.0.1") {
				t.Errorf("the reply leaks the cause: %s", rec.Body)
			}
			if !strings.Contains(logged.String(), doc.ID) || doc.ID == "" {
				t.Errorf("the log line %q lacks the reply's id %q", logged.String(), doc.ID)
			}
		})
	}
}

func TestFromResponseIsTheInverseOfWrite(t *testing.T) {
	log := zerolog.Nop()
	for k := problem.Internal; k <= problem.Timeout; k++ {
		rec := httptest.NewRecorder()
		in := &problem.Error{Kind: k, Field: "f", Message: "m", RetryAfter: 7 * time.Second}
		problem.Write(rec, &log, problem.Status(in), in)
		out := problem.FromResponse(rec.Code, rec.Body.Bytes(), rec.Header().Get("Retry-After"))
		if out.Kind != k {
			t.Errorf("%v came back as %v", k, out.Kind)
		}
		if k != problem.Internal && (out.Field != "f" || out.Message != "m" || out.RetryAfter != 7*time.Second) {
			t.Errorf("%v came back as %+v", k, out)
		}
	}
	if got := problem.FromResponse(http.StatusTeapot, []byte("<html>"), ""); got.Kind != problem.Invalid || got.Message != "answered 418 I'm a teapot" {
		t.Errorf("a foreign reply became %v %q", got.Kind, got.Message)
	}
}
