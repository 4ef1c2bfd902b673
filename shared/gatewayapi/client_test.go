package gatewayapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
)

// seen is one request as the gateway gets it.
type seen struct {
	Method, Path, Query, IfMatch, IfNoneMatch, Body string
}

// gateway answers every request with one answer and notes what it was asked.
func gateway(t *testing.T, code int, header map[string]string, body string) (*gatewayapi.Client, *[]seen) {
	t.Helper()
	var log []seen
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		log = append(log, seen{r.Method, r.URL.EscapedPath(), r.URL.RawQuery, r.Header.Get("If-Match"), r.Header.Get("If-None-Match"), string(b)})
		for k, v := range header {
			w.Header().Set(k, v)
		}
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(srv.Close)
	return gatewayapi.NewClient(srv.URL+"/", srv.Client()), &log
}

func TestEveryCallHasItsRoute(t *testing.T) {
	ctx := context.Background()
	doc := map[string]string{"a": "b"}
	tests := map[string]struct {
		call func(*gatewayapi.Client) error
		want seen
	}{
		"a record is read": {
			func(c *gatewayapi.Client) error {
				var out any
				_, err := c.Get(ctx, "pc", gatewayapi.KindDecision, "agreement:a/b", &out)
				return err
			},
			seen{Method: "GET", Path: "/v1/participants/pc/decisions/agreement:a%2Fb"},
		},
		"a record is written if there is none": {
			func(c *gatewayapi.Client) error {
				_, err := c.Put(ctx, "pc", gatewayapi.KindSupply, "s", doc, gatewayapi.IfAbsent())
				return err
			},
			seen{Method: "PUT", Path: "/v1/participants/pc/supplies/s", IfNoneMatch: "*", Body: `{"a":"b"}`},
		},
		"a record is written if it is still the same": {
			func(c *gatewayapi.Client) error {
				_, err := c.Put(ctx, "pc", gatewayapi.KindSupply, "s", doc, gatewayapi.IfRevision(`"7"`))
				return err
			},
			seen{Method: "PUT", Path: "/v1/participants/pc/supplies/s", IfMatch: `"7"`, Body: `{"a":"b"}`},
		},
		"a flow is completed": {
			func(c *gatewayapi.Client) error { return c.Complete(ctx, "pc", "f") },
			seen{Method: "POST", Path: "/v1/participants/pc/dataflows/f/completed", Body: `{}`},
		},
		"a flow is given up": {
			func(c *gatewayapi.Client) error { return c.Errored(ctx, "pc", "f", "no disk") },
			seen{Method: "POST", Path: "/v1/participants/pc/dataflows/f/errored", Body: `{"reason":"no disk"}`},
		},
		"parked work is tried again": {
			func(c *gatewayapi.Client) error { return c.Redrive(ctx, "-", "p") },
			seen{Method: "POST", Path: "/v1/participants/-/parked/p/redrive", Body: `{}`},
		},
		"a person decides": {
			func(c *gatewayapi.Client) error {
				return c.GiveVerdict(ctx, "pc", "d", gatewayapi.VerdictRequest{Verdict: gatewayapi.Approved, By: "j", Reason: "ok"})
			},
			seen{Method: "POST", Path: "/v1/participants/pc/decisions/d/verdict", Body: `{"verdict":"approved","by":"j","reason":"ok"}`},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c, log := gateway(t, http.StatusOK, nil, "{}")
			if err := tt.call(c); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]seen{tt.want}, *log); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestAnswersBecomeErrorsOfTheirKind(t *testing.T) {
	for code, kind := range map[int]problem.Kind{
		400: problem.Invalid, 401: problem.Unauthenticated, 404: problem.NotFound, 409: problem.Conflict, 412: problem.Stale, 503: problem.Unavailable,
	} {
		c, _ := gateway(t, code, map[string]string{"Retry-After": "3"}, fmt.Sprintf(`{"status":%d,"detail":"why","field":"f","id":"x"}`, code))
		var out any
		_, err := c.Get(t.Context(), "pc", gatewayapi.KindDataset, "d", &out)
		if !problem.Is(err, kind) || !strings.Contains(err.Error(), "why") {
			t.Errorf("%d became %v (%v), want %v", code, problem.KindOf(err), err, kind)
		}
	}
	c, _ := gateway(t, 200, nil, `{"broken`)
	var out any
	if _, err := c.Get(t.Context(), "pc", gatewayapi.KindDataset, "d", &out); !problem.Is(err, problem.Upstream) {
		t.Errorf("an answer that is no JSON became %v", err)
	}
	c = gatewayapi.NewClient("http://127.0.0.1:1", http.DefaultClient)
	if err := c.Complete(t.Context(), "pc", "f"); !problem.Is(err, problem.Unavailable) {
		t.Errorf("a gateway that is away became %v", err)
	}
}

func TestListsAreReadPageByPageAndNoFurtherThanNeeded(t *testing.T) {
	pages := map[string]gatewayapi.Page[gatewayapi.Supply]{
		"":  {Items: []gatewayapi.Supply{{ID: "1"}, {ID: "2"}}, Next: "2"},
		"2": {Items: []gatewayapi.Supply{{ID: "3"}}, Next: "3"},
		"3": {Items: nil},
	}
	asked := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		_ = json.NewEncoder(w).Encode(pages[r.URL.Query().Get("after")])
	}))
	defer srv.Close()
	c := gatewayapi.NewClient(srv.URL, srv.Client())
	var ids []string
	for s, err := range gatewayapi.List[gatewayapi.Supply](t.Context(), c, "pc", gatewayapi.KindSupply) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, s.ID)
	}
	if got := strings.Join(ids, " "); got != "1 2 3" || asked != 3 {
		t.Errorf("got %q in %d requests, want 1 2 3 in 3", got, asked)
	}
	asked = 0
	for range gatewayapi.List[gatewayapi.Supply](t.Context(), c, "pc", gatewayapi.KindSupply) {
		break
	}
	if asked != 1 {
		t.Errorf("%d requests for the first item, want 1", asked)
	}
}
