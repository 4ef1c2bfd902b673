package gateway_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/dps-gateway/internal/gateway"
	"github.com/tidegate/tidegate/dps-gateway/internal/ingest"
	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/function"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
)

// TestEveryKindOfRecordIsKept writes, reads, lists and removes a record of each kind.
func TestEveryKindOfRecordIsKept(t *testing.T) {
	r := newWorld(t).start(nil)
	for end, v := range bodies() {
		kind, ok := strings.CutSuffix(end, "/{id}")
		if !ok {
			continue
		}
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		at := "/v1/participants/provider" + kind
		for _, c := range []struct {
			method, path string
			headers      []string
			code         int
		}{
			{http.MethodPut, at + "/some-id", nil, 204},
			{http.MethodPut, at + "/some-id", []string{"If-None-Match", "*"}, 412},
			{http.MethodPut, at + "/some-id", []string{"If-Match", `"77"`}, 412},
			{http.MethodGet, at + "/some-id", nil, 200},
			{http.MethodGet, at, nil, 200},
			{http.MethodDelete, at + "/some-id", nil, 204},
			{http.MethodGet, at + "/some-id", nil, 404},
		} {
			body := ""
			if c.method == http.MethodPut {
				body = string(b)
			}
			req := r.internalRequest(c.method, c.path, body, append(c.headers, "Content-Type", "application/json")...)
			if a := r.do(req); a.code != c.code {
				t.Errorf("%s %s %v: %d %s, want %d", c.method, c.path, c.headers, a.code, a.body, c.code)
			}
		}
	}
}

func TestParkedWorkIsDropped(t *testing.T) {
	r := newWorld(t).start(nil)
	event := `{"specversion":"1.0","id":"e","source":"/test","type":"` + catalogue.ObjectCreated + `","participantcontextid":"provider","data":{}}`
	if a := r.do(r.internalRequest(http.MethodPost, "/v1/parked", event, "Content-Type", "application/cloudevents+json")); a.code != http.StatusNoContent {
		t.Fatalf("%d %s", a.code, a.body)
	}
	ids := func() (ids []string) {
		for p, err := range r.api.Parked(t.Context(), "provider") {
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, p.ID)
		}
		return ids
	}
	parked := ids()
	if len(parked) != 1 {
		t.Fatalf("%v is parked", parked)
	}
	if a := r.do(r.internalRequest(http.MethodDelete, "/v1/participants/provider/parked/"+parked[0], "")); a.code != http.StatusNoContent {
		t.Errorf("%d %s", a.code, a.body)
	}
	if left := ids(); len(left) != 0 {
		t.Errorf("%v is parked still", left)
	}
}

// TestTheDataEndpointAnswersAlike asks for a dataset, and for what is below it, by GET and by HEAD.
func TestTheDataEndpointAnswersAlike(t *testing.T) {
	w := newWorld(t)
	w.tenant("other", "limits:\n  requestsPerSecond: 1\n")
	status := func(code int) func(http.ResponseWriter, *http.Request, *gatewayapi.DataRequest) {
		return func(rw http.ResponseWriter, _ *http.Request, _ *gatewayapi.DataRequest) { rw.WriteHeader(code) }
	}
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		for _, below := range []string{"", "/part"} {
			type ask struct {
				what    string
				server  func(http.ResponseWriter, *http.Request, *gatewayapi.DataRequest)
				headers []string
				code    int
			}
			r := w.start(nil) // one each, since failures open circuits
			g := r.startFlow("provider", r.publish("provider", "a", []byte("content")))
			g.path += below
			all := func(asks ...ask) {
				t.Helper()
				for _, c := range asks {
					w.server.answers(c.server)
					if a := r.do(r.request(method, g, c.headers...)); a.code != c.code {
						t.Errorf("%s %s, %s: %d %s, want %d", method, g.path, c.what, a.code, a.body, c.code)
					}
				}
			}
			all(
				ask{"nothing", status(204), nil, 204},
				ask{"a fault of the request", status(400), nil, 400},
				ask{"what is not there", status(404), nil, 404},
				ask{"a broken data server", status(500), nil, 502},
				ask{"a slow back end", status(504), nil, 504},
				ask{"a data server that is not there yet", status(503), nil, 503},
			)
			r = w.start(nil)
			w.server.answers(nil)
			etag := r.get(g).header.Get("ETag")
			all(
				ask{"all of it", nil, nil, 200},
				ask{"what the client has", nil, []string{"If-None-Match", etag}, 304},
				ask{"another version", nil, []string{"If-Match", `"another"`}, 412},
			)
			if method == http.MethodGet { // Range is for GET alone (RFC 9110, section 14.2)
				all(ask{"a part of it", nil, []string{"Range", "bytes=1-2"}, 206}, ask{"no part of it", nil, []string{"Range", "bytes=70-"}, 416})
			}
			if a := r.do(r.request(method, grant{path: g.path})); a.code != http.StatusUnauthorized {
				t.Errorf("%s %s without a token: %d", method, g.path, a.code)
			}
			w.server.answers(nil)
			few := r.startFlow("other", r.publish("other", "a", []byte("content")))
			few.path += below
			within(t, method+" "+below+" over the limit", func() bool { return r.do(r.request(method, few)).code == http.StatusTooManyRequests })
		}
	}
}

// TestThePushEndpointAnswersAlike sends data by PUT and by POST.
func TestThePushEndpointAnswersAlike(t *testing.T) {
	w := newWorld(t)
	w.tenant("other", "sinks:\n  - name: in\n    bucket: files\n    prefix: got/\n")
	w.tenant("provider", "limits:\n  requestsPerSecond: 1\nsinks:\n  - name: in\n    bucket: files\n    prefix: got/\n")
	r := w.start(nil)
	for _, method := range []string{http.MethodPut, http.MethodPost} {
		ended := r.preparePush("other", "got/ended", "")
		r.signal("other", ended.flow+"/terminate", map[string]any{"messageId": "t"})
		g, announced := r.preparePush("other", "got/"+method, ""), r.preparePush("other", "got/announced-"+method, "")
		whole := r.preparePush("other", "got/whole-"+method, "")
		for _, c := range []struct {
			what    string
			g       grant
			headers []string
			code    int
		}{
			{"without a token", grant{path: g.path}, nil, 401},
			{"of a flow that has ended", ended, nil, 404},
			{"before its place is known", r.preparePush("other", "", ""), nil, 503},
			{"a range that is none", g, []string{"Content-Range", "bytes 9"}, 400},
			{"with a gap", g, []string{"Content-Range", "bytes 5-8/14"}, 409},
			{"the first part", g, []string{"Content-Range", "bytes 0-3/8"}, 202},
			{"the rest", g, []string{"Content-Range", "bytes 4-7/8"}, 201},
			{"the whole", whole, nil, 201},
			{"the whole again", whole, nil, 200},
			{"other data than announced", announced, []string{"Repr-Digest", ingest.ReprDigest(strings.Repeat("00", 32))}, 422},
		} {
			if a := r.push(method, c.g, bytes.NewReader([]byte("data")), c.headers...); a.code != c.code {
				t.Errorf("%s, %s: %d %s, want %d", method, c.what, a.code, a.body, c.code)
			}
		}
		few := r.preparePush("provider", "got/few", "")
		within(t, method+" over the limit", func() bool {
			return r.push(method, few, bytes.NewReader([]byte("data"))).code == http.StatusTooManyRequests
		})
	}
	if a := r.push(http.MethodHead, r.preparePush("other", "", ""), http.NoBody); a.code != http.StatusServiceUnavailable {
		t.Errorf("how much is there before its place is known: %d", a.code)
	}
	lost := r.preparePush("other", "got/lost", "")
	if a := r.push(http.MethodPut, lost, bytes.NewReader([]byte("data")), "Content-Range", "bytes 0-3/8"); a.code != http.StatusAccepted {
		t.Errorf("a part: %d", a.code)
	}
	w.tenant("other", "")
	within(t, "a sink that is gone", func() bool {
		return r.push(http.MethodHead, lost, http.NoBody).code == http.StatusUnprocessableEntity
	})
}

// TestTheControlPlanesOwnCallsAreAnswered is EDC's event and its blocking callback, at the gateway as it runs.
func TestTheControlPlanesOwnCallsAreAnswered(t *testing.T) {
	w := newWorld(t)
	verdict := http.StatusNoContent
	approver := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		_, _ = io.Copy(io.Discard, req.Body)
		rw.WriteHeader(verdict)
	}))
	t.Cleanup(approver.Close)
	r := w.start(func(c *gateway.Config) { c.ApproverURL = approver.URL })
	d := r.publish("provider", "a", []byte("a"))
	tell := func(path, kind string, payload map[string]any) answer {
		t.Helper()
		b, err := json.Marshal(map[string]any{"id": "e", "at": time.Now().UnixMilli(), "type": kind, "payload": payload})
		if err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+r.signaling+"/controlplane/a-key-of-control-planes/"+path, bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		return r.do(req)
	}
	if a := tell("events", "TransferProcessTerminated", map[string]any{"transferProcessId": "tp", "participantContextId": "provider", "type": "CONSUMER"}); a.code != http.StatusNoContent {
		t.Errorf("an event: %d %s", a.code, a.body)
	}
	for code, want := range map[int]int{http.StatusNoContent: http.StatusNoContent, http.StatusForbidden: http.StatusForbidden, http.StatusBadGateway: http.StatusServiceUnavailable} {
		verdict = code
		a := tell("veto", "ContractNegotiationRequested", map[string]any{
			"contractNegotiationId": "neg", "participantContextId": "provider", "counterPartyId": "did:web:other.test",
			"contractOffers": []any{map[string]any{"id": "o", "assetId": d.ID, "policy": map[string]any{}}},
		})
		if a.code != want {
			t.Errorf("the approver says %d: %d %s", code, a.code, a.body)
		}
	}
}

// TestARejectedAgreementStartsAndResumesNothing is the decision that changed while a flow was suspended.
func TestARejectedAgreementStartsAndResumesNothing(t *testing.T) {
	w := newWorld(t)
	r := w.start(nil)
	d := r.publish("provider", "a", []byte("a"))
	g := r.startFlow("provider", d)
	r.signal("provider", g.flow+"/suspend", map[string]any{"messageId": "s"})
	flow, err := r.api.Flow(t.Context(), "provider", g.flow)
	if err != nil {
		t.Fatal(err)
	}
	dec := gatewayapi.Decision{
		ID: gatewayapi.AgreementRecordID(flow.AgreementID), AgreementID: flow.AgreementID, DatasetID: d.ID, CounterPartyID: flow.CounterPartyID,
		Verdict: gatewayapi.Rejected, Rule: "none", By: "rules", Mode: "watch", DecidedAt: time.Now(),
	}
	if _, err := r.api.Put(t.Context(), "provider", gatewayapi.KindDecision, dec.ID, dec, gatewayapi.Always()); err != nil {
		t.Fatal(err)
	}
	again := map[string]any{
		"messageId": "m", "participantId": "did:web:provider.test", "counterPartyId": flow.CounterPartyID, "dataspaceContext": "x",
		"processId": "another", "agreementId": flow.AgreementID, "datasetId": d.ID, "profile": flow.Profile, "claims": map[string]any{},
	}
	for path, msg := range map[string]map[string]any{g.flow + "/resume": {"messageId": "r"}, "start": again} {
		b, err := json.Marshal(msg)
		if err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+r.signaling+"/participants/provider/dataflows/"+path, bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		if a := r.do(req); a.code != http.StatusForbidden {
			t.Errorf("%s: %d %s", path, a.code, a.body)
		}
	}
}

func TestARefreshEndpointThatAnswersNonsenseIsABadGateway(t *testing.T) {
	b := newBoth(t, 1, nil, func(c *gateway.Config) { c.ShortTTL, c.RenewBefore = time.Second, time.Second })
	b.front.refuse.Store(http.StatusOK) // without a token
	if _, err := b.api.RenewDataAddress(t.Context(), "other", b.mine, token(b.addr)); !problem.Is(err, problem.Upstream) {
		t.Errorf("a token that was refused: %v", err)
	}
	within(t, "a token that has expired", func() bool {
		_, err := b.api.DataAddress(t.Context(), "other", b.mine)
		return problem.Is(err, problem.Upstream)
	})
}

// TestWhatAFunctionRefusesIsRefused is every signal that a function is asked about, with every status that the control plane can get of it.
func TestWhatAFunctionRefusesIsRefused(t *testing.T) {
	_, r, s := newStreams(t, "synchronous")
	s.answers(opens)
	r.signal("other", "prepare", flowMessage("m1", "c1", streamPull))
	r.signal("provider", "start", flowMessage("m1", "p1", streamPull))
	r.signal("provider", "p1/suspend", map[string]any{"messageId": "m2"})
	theirs := &dps.DataAddress{EndpointType: streamPull, Endpoint: "stream://provider.test"}
	for signal, ask := range map[string]func() answer{
		"prepare": func() answer { return r.post("other", "prepare", flowMessage("m2", "c2", streamPush)) },
		"start":   func() answer { return r.post("provider", "start", flowMessage("m2", "p2", streamPull)) },
		"started": func() answer {
			return r.post("other", "c1/started", map[string]any{"messageId": "m2", "dataAddress": theirs})
		},
		"resume": func() answer { return r.post("provider", "p1/resume", map[string]any{"messageId": "m3"}) },
	} {
		for kind, code := range map[problem.Kind]int{
			problem.Invalid: 400, problem.Forbidden: 403, problem.NotFound: 404, problem.Conflict: 409, problem.TooLarge: 413, problem.Unprocessable: 422,
		} {
			s.answers(func(context.Context, *gatewayapi.HookRequest) (*gatewayapi.HookAnswer, error) {
				return nil, problem.New(kind, "not on Sundays")
			})
			if a := ask(); a.code != code || !strings.Contains(string(a.body), "not on Sundays") {
				t.Errorf("%s, refused as %v: %d %s", signal, kind, a.code, a.body)
			}
		}
		s.answers(func(_ context.Context, q *gatewayapi.HookRequest) (*gatewayapi.HookAnswer, error) {
			if q.Kind == gatewayapi.HookStarted {
				return opened(q), nil // the address is the provider's to make
			}
			return nil, nil // and this side's here
		})
		if a := ask(); a.code != http.StatusBadGateway {
			t.Errorf("%s, answered with what does not fit: %d %s", signal, a.code, a.body)
		}
	}
}

// TestAReportThatDoesNotFitIsRefused is the word of a function about a flow that none serves, and about one that may not start any more.
func TestAReportThatDoesNotFitIsRefused(t *testing.T) {
	w, r, s := newStreams(t, "asynchronous")
	w.tenant("provider", "") // its flows are served by no function from now on
	g := r.startFlow("provider", r.publish("provider", "a", []byte("a")))
	for what, report := range map[string]func(ctx context.Context, pc, id string, a gatewayapi.HookAnswer) error{"prepared": r.api.Prepared, "started": r.api.Started} {
		within(t, what+" of a flow that no function serves", func() bool {
			err := report(t.Context(), "provider", g.flow, gatewayapi.HookAnswer{})
			return problem.Is(err, problem.Conflict)
		})
	}
	s.answers(func(context.Context, *gatewayapi.HookRequest) (*gatewayapi.HookAnswer, error) {
		return nil, function.ErrLater
	})
	if a := r.post("other", "start", flowMessage("m1", "p1", streamPull)); a.code != http.StatusAccepted {
		t.Fatalf("%d %s", a.code, a.body)
	}
	dec := gatewayapi.Decision{
		ID: gatewayapi.AgreementRecordID("agr"), AgreementID: "agr", DatasetID: "orders", CounterPartyID: "did:web:consumer.test",
		Verdict: gatewayapi.Rejected, Rule: "all", By: "rules", Mode: "watch", DecidedAt: time.Now(),
	}
	if _, err := r.api.Put(t.Context(), "other", gatewayapi.KindDecision, dec.ID, dec, gatewayapi.Always()); err != nil {
		t.Fatal(err)
	}
	last := s.last()
	if err := r.api.Started(t.Context(), "other", "p1", *opened(&last)); !problem.Is(err, problem.Forbidden) {
		t.Errorf("started after the agreement was rejected: %v", err)
	}
}
