package gateway_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	"github.com/tidegate/tidegate/dps-gateway/internal/internalapi"
	"github.com/tidegate/tidegate/dps-gateway/internal/keys"
	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/eventsig"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
)

func (r *running) internalRequest(method, path, body string, headers ...string) *http.Request {
	r.w.tb.Helper()
	req, err := http.NewRequestWithContext(r.w.tb.Context(), method, "http://"+r.internal+path, strings.NewReader(body))
	if err != nil {
		r.w.tb.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+r.w.secret.Value())
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return req
}

// filled puts values into the parameters of a route's path.
func filled(path, pc string) string {
	return strings.NewReplacer("{pc}", pc, "{id}", "some-id").Replace(path)
}

func TestEveryInternalRouteRefusesAStrangerTheSameWay(t *testing.T) {
	w := newWorld(t)
	r := w.start(nil)
	g := r.startFlow("provider", r.publish("provider", "a", []byte("a")))
	want := ""
	check := func(req *http.Request) {
		t.Helper()
		got := r.do(req).uniform(t)
		if want == "" {
			want = got
		}
		if got != want || !strings.HasPrefix(got, "401 ") {
			t.Errorf("%s %s: %s", req.Method, req.URL.Path, got)
		}
	}
	for _, route := range append(internalapi.Routes(), internalapi.Route{Method: "GET", Path: "/no/such/route"}) {
		for _, secret := range []string{"", "Bearer wrong", "Bearer " + g.token, "Basic " + base64.StdEncoding.EncodeToString([]byte("a:b"))} {
			req := r.internalRequest(route.Method, filled(route.Path, "provider"), "{}")
			req.Header.Del("Authorization")
			if secret != "" {
				req.Header.Set("Authorization", secret)
			}
			check(req)
		}
	}
}

func TestEveryTenantRouteAnswersAnUnknownTenantTheSameWay(t *testing.T) {
	w := newWorld(t)
	w.tenant("asleep", "suspended: true\n")
	r := w.start(nil)
	want := ""
	for _, route := range internalapi.Routes() {
		if !strings.Contains(route.Path, "{pc}") {
			continue
		}
		for _, pc := range []string{"nobody", "asleep", "PROVIDER", "provider%2F..", strings.Repeat("x", 300), "%00", "-"} {
			if pc == "-" && strings.Contains(route.Path, "/parked") {
				continue // the operator's
			}
			got := r.do(r.internalRequest(route.Method, filled(route.Path, pc), "{}")).uniform(t)
			if want == "" {
				want = got
			}
			if got != want || !strings.HasPrefix(got, "404 ") {
				t.Errorf("%s %s of %.20q: %s", route.Method, route.Path, pc, got)
			}
		}
	}
}

// TestATenantSeesNothingOfAnother asks for what one tenant has under the name of the other.
func TestATenantSeesNothingOfAnother(t *testing.T) {
	w := newWorld(t)
	r := w.start(nil)
	ctx := t.Context()
	d := r.publish("provider", "a", []byte("a"))
	g := r.startFlow("provider", d)
	if _, err := r.api.Get(ctx, "other", gatewayapi.KindDataset, d.ID, nil); !problem.Is(err, problem.NotFound) {
		t.Errorf("dataset: %v", err)
	}
	if _, err := r.api.Flow(ctx, "other", g.flow); !problem.Is(err, problem.NotFound) {
		t.Errorf("flow: %v", err)
	}
	if err := r.api.Complete(ctx, "other", g.flow); !problem.Is(err, problem.NotFound) {
		t.Errorf("complete: %v", err)
	}
	for range gatewayapi.List[gatewayapi.Dataset](ctx, r.api, "other", gatewayapi.KindDataset) {
		t.Error("the other tenant lists a dataset")
	}
	for range r.api.Flows(ctx, "other") {
		t.Error("the other tenant lists a flow")
	}
}

func TestAFunctionsWordEndsAFlowOnce(t *testing.T) {
	w := newWorld(t)
	r := w.start(nil)
	ctx := t.Context()
	d := r.publish("provider", "a", []byte("a"))
	g := r.startFlow("provider", d)
	for range 3 {
		if err := r.api.Complete(ctx, "provider", g.flow); err != nil {
			t.Fatal(err)
		}
	}
	f, err := r.api.Flow(ctx, "provider", g.flow)
	if err != nil || f.State != dps.Completed {
		t.Errorf("%+v, %v", f, err)
	}
	if a := r.get(g); a.code != 404 {
		t.Errorf("data of a completed flow: %d", a.code)
	}
	if err := r.api.Errored(ctx, "provider", g.flow, "too late"); !problem.Is(err, problem.Conflict) {
		t.Errorf("errored after completed: %v", err)
	}

	g = r.startFlow("provider", d)
	for range 3 {
		if err := r.api.Errored(ctx, "provider", g.flow, "the disk is full"); err != nil {
			t.Fatal(err)
		}
	}
	if f, err = r.api.Flow(ctx, "provider", g.flow); err != nil || f.State != dps.Started {
		t.Errorf("errored is no transition: %+v, %v", f, err)
	}
	r.signal("provider", g.flow+"/terminate", map[string]any{"messageId": "t"})
	if err := r.api.Errored(ctx, "provider", g.flow, "again"); err != nil {
		t.Errorf("errored after terminated: %v", err)
	}
	if err := r.api.Complete(ctx, "provider", g.flow); !problem.Is(err, problem.Conflict) {
		t.Errorf("complete after terminated: %v", err)
	}
	if err := r.api.Errored(ctx, "provider", g.flow, " "); !problem.Is(err, problem.Invalid) {
		t.Errorf("without a reason: %v", err)
	}
}

func TestAVerdictIsForADecisionInReview(t *testing.T) {
	w := newWorld(t)
	r := w.start(nil)
	ctx := t.Context()
	dec := gatewayapi.Decision{
		ID: "neg-1", NegotiationID: "neg-1", DatasetID: "d", CounterPartyID: "c", Verdict: gatewayapi.Review, Rule: "default", By: "rules",
		Mode: "watch", DecidedAt: time.Now(),
	}
	put := func() {
		if _, err := r.api.Put(ctx, "provider", gatewayapi.KindDecision, dec.ID, dec, gatewayapi.Always()); err != nil {
			t.Fatal(err)
		}
	}
	put()
	for name, v := range map[string]gatewayapi.VerdictRequest{
		"no verdict": {By: "ann"}, "review": {Verdict: gatewayapi.Review, By: "ann"}, "nobody": {Verdict: gatewayapi.Approved},
	} {
		if err := r.api.GiveVerdict(ctx, "provider", dec.ID, v); !problem.Is(err, problem.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	yes := gatewayapi.VerdictRequest{Verdict: gatewayapi.Approved, By: "ann", Reason: "a friend"}
	for range 2 {
		if err := r.api.GiveVerdict(ctx, "provider", dec.ID, yes); err != nil {
			t.Fatal(err)
		}
	}
	dec.Verdict, dec.By = gatewayapi.Rejected, "bob"
	put()
	if err := r.api.GiveVerdict(ctx, "provider", dec.ID, yes); !problem.Is(err, problem.Conflict) {
		t.Errorf("after another verdict: %v", err)
	}
	if err := r.api.GiveVerdict(ctx, "provider", "unknown", yes); !problem.Is(err, problem.NotFound) {
		t.Errorf("an unknown decision: %v", err)
	}
}

// A Knative Broker delivers dead letters without the token: their signature serves, and only for them.
func TestASignedDeadLetterNeedsNoToken(t *testing.T) {
	w := newWorld(t)
	r := w.start(nil)
	send := func(edit func(*event.Event)) int {
		e := event.New()
		e.SetID("1")
		e.SetSource("/test")
		e.SetType(catalogue.ObjectCreated)
		e.SetExtension(catalogue.ExtParticipantContextID, "provider")
		if err := e.SetData("application/json", json.RawMessage(`{"bucket": "files"}`)); err != nil {
			t.Fatal(err)
		}
		eventsig.Sign(w.secret, &e)
		e.SetExtension("knativeerrorcode", "422")
		edit(&e)
		req, err := cehttp.NewHTTPRequestFromEvent(t.Context(), r.internalRequest(http.MethodPost, "/v1/parked", "").URL.String(), e)
		if err != nil {
			t.Fatal(err)
		}
		return r.do(req).code
	}
	for _, tt := range []struct {
		what string
		edit func(*event.Event)
		want int
	}{
		{"of another tenant", func(e *event.Event) { e.SetExtension(catalogue.ExtParticipantContextID, "other") }, 503},
		{"without a signature", func(e *event.Event) { e.SetExtension(eventsig.Extension, nil) }, 401},
		{"as it was signed", func(*event.Event) {}, 204},
	} {
		if got := send(tt.edit); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.what, got, tt.want)
		}
	}
	n := 0
	for _, pc := range []string{"provider", "other", keys.NoTenant} {
		for range r.api.Parked(t.Context(), pc) {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d events are parked, want the one", n)
	}
}

func TestDeadLettersArePartOfTheParkedWork(t *testing.T) {
	w := newWorld(t)
	r := w.start(nil)
	ctx := t.Context()
	event := func(id, pc string) *http.Request {
		h := []string{
			"Content-Type", "application/json", "Ce-Specversion", "1.0", "Ce-Id", id, "Ce-Type", catalogue.ObjectCreated, "Ce-Source", "/test",
			"Ce-Subject", "files/a", "Ce-Knativeerrordest", "http://asset-publisher.default", "Ce-Knativeerrorcode", "422",
			"Ce-Knativeerrordata", base64.StdEncoding.EncodeToString([]byte(`{"title":"Unprocessable Entity","status":422,"detail":"no rule","id":"x"}`)),
		}
		if pc != "" {
			h = append(h, "Ce-"+catalogue.ExtParticipantContextID, pc)
		}
		return r.internalRequest(http.MethodPost, "/v1/parked", `{"bucket":"files"}`, h...)
	}
	for _, req := range []*http.Request{event("1", "provider"), event("1", "provider"), event("2", "nobody"), event("3", "")} {
		if a := r.do(req); a.code != 204 {
			t.Fatalf("%d %s", a.code, a.body)
		}
	}
	if a := r.do(r.internalRequest(http.MethodPost, "/v1/parked", "no event")); a.code != 400 {
		t.Errorf("what is no event: %d", a.code)
	}
	var got []gatewayapi.Parked
	for p, err := range r.api.Parked(ctx, "provider") {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, p)
	}
	const why = "given up by the broker; subscriber http://asset-publisher.default; last answer 422: no rule"
	if len(got) != 1 || got[0].Reason != why || got[0].EventID != "1" || got[0].Lane != "deadletter" {
		t.Fatalf("%+v", got)
	}
	var none []string
	for p, err := range r.api.Parked(ctx, keys.NoTenant) {
		if err != nil {
			t.Fatal(err)
		}
		none = append(none, p.EventID)
	}
	slices.Sort(none)
	if !slices.Equal(none, []string{"2", "3"}) {
		t.Errorf("of no tenant: %v", none)
	}
	if err := r.api.Redrive(ctx, "provider", got[0].ID); err != nil {
		t.Error(err)
	}
	if err := r.api.Redrive(ctx, "provider", got[0].ID); !problem.Is(err, problem.NotFound) {
		t.Errorf("re-driven twice: %v", err)
	}
}

func TestTenantsAreListedWithWhatIsWrong(t *testing.T) {
	w := newWorld(t)
	w.write("tenants/broken.yaml", "participantContextId: broken\nnonsense: 1\n")
	r := w.start(nil)
	within(t, "both are registered, the broken one is told", func() bool {
		var ok, broken int
		for s, err := range r.api.Tenants(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if s.Registered && len(s.Problems) == 0 {
				ok++
			}
			if s.ParticipantContextID == "-" && len(s.Problems) > 0 {
				broken++
			}
		}
		return ok == 2 && broken == 1
	})
	a := r.do(r.internalRequest(http.MethodGet, "/v1/tenants?limit=1", ""))
	var p gatewayapi.Page[gatewayapi.TenantStatus]
	if err := json.Unmarshal(a.body, &p); err != nil || p.Next != "other" || len(p.Items) != 1 {
		t.Errorf("%s", a.body)
	}
	if a := r.do(r.internalRequest(http.MethodGet, "/v1/tenants?limit=0", "")); a.code != 400 {
		t.Errorf("limit=0: %d", a.code)
	}
}
