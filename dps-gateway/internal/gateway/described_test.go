package gateway_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/dps-gateway/internal/gateway"
	"github.com/tidegate/tidegate/dps-gateway/internal/redistest"
	"github.com/tidegate/tidegate/dps-gateway/openapi"
	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/gatewayapi"
)

// bodies are what operations take, by the end of their path; {} for all others.
func bodies() map[string]any {
	now, sum := time.Now(), strings.Repeat("ab", 32)
	flow := map[string]any{
		"messageId": "m", "participantId": "did:web:provider.test", "counterPartyId": "did:web:other.test", "dataspaceContext": "x",
		"processId": "some-id", "agreementId": "agr", "datasetId": "ds", "profile": dps.ProfileHTTPPull, "claims": map[string]any{},
	}
	return map[string]any{
		"/prepare": flow, "/start": flow,
		"{participantContextId}/dataflows/{id}/started": map[string]any{"messageId": "m", "dataAddress": dps.NewBearerAddress(dps.ProfileHTTPPull, "https://provider.test/data", "t")},
		"/address/renew":   map[string]any{"refused": sum},
		"/controlplanes":   json.RawMessage(registrationOf("x", json.RawMessage(`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`))),
		"/v1/parked":       map[string]any{"specversion": "1.0", "id": "e", "source": "/test", "type": catalogue.ObjectCreated, "data": map[string]any{}},
		"/errored":         map[string]any{"reason": "r"},
		"/verdict":         map[string]any{"verdict": "approved", "by": "b"},
		"/datasets/{id}":   gatewayapi.Dataset{ID: "some-id", Bucket: "files", Key: "k", Rule: "all", SHA256: sum, StoreETag: "e", ContentType: "text/plain", Modified: now},
		"/decisions/{id}":  gatewayapi.Decision{ID: "some-id", DatasetID: "ds", CounterPartyID: "did:web:other.test", Verdict: gatewayapi.Review, Rule: "all", By: "rules", Mode: "veto", DecidedAt: now},
		"/deliveries/{id}": gatewayapi.Delivery{ID: "some-id", DatasetID: "ds", Sink: "in", Key: "k", Size: -1},
		"/pushes/{id}":     gatewayapi.Push{ID: "some-id", DatasetID: "ds"},
		"/supplies/{id}":   gatewayapi.Supply{ID: "some-id", Subscription: "s", CounterPartyID: "did:web:other.test", DatasetID: "ds", State: gatewayapi.SupplyAgreed},
		"/{key}/events":    map[string]any{"id": "e", "at": now.UnixMilli(), "type": "TransferProcessTerminated", "payload": map[string]any{"transferProcessId": "tp", "participantContextId": "provider", "type": "CONSUMER"}},
		"/{key}/veto": map[string]any{"id": "e", "at": now.UnixMilli(), "type": "ContractNegotiationRequested", "payload": map[string]any{
			"contractNegotiationId": "neg", "participantContextId": "provider", "counterPartyId": "did:web:other.test", "contractOffers": []any{map[string]any{"id": "o", "assetId": "ds"}},
		}},
	}
}

// ask makes a request for a described operation, with credentials.
func (r *running) ask(t *testing.T, listener string, o openapi.Operation, pc, query string, body []byte) *http.Request {
	t.Helper()
	path := strings.NewReplacer("{pc}", pc, "{participantContextId}", pc, "{id}", "some-id", "{key}", "a-key-of-control-planes", "{controlplaneId}", "some-id", "{dataFlowId}", "some-id").Replace(o.Path)
	host := map[string]string{"signaling": r.signaling, "public": r.public, "internal": r.internal}[listener]
	req, err := http.NewRequestWithContext(t.Context(), o.Method, "http://"+host+path+query, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case listener == "internal":
		req.Header.Set("Authorization", "Bearer "+r.w.secret.Value())
	case strings.Contains(o.Path, "/controlplanes"):
		req.Header.Set("Authorization", "Bearer "+registrationSecret)
	}
	switch {
	case o.Path == "/v1/parked":
		req.Header.Set("Content-Type", "application/cloudevents+json")
	case len(body) > 0:
		req.Header.Set("Content-Type", "application/json")
	}
	return req
}

// TestTheDescribedRefusalsOfEveryOperation asks every operation of the signaling and the internal listener in the ways in which all are
// refused alike, and wants the status that is described for it.
func TestTheDescribedRefusalsOfEveryOperation(t *testing.T) {
	rdb, mini := redistest.Mini(t)
	w := newWorldOn(t, rdb, "redis://"+mini.Addr()+"/0")
	w.allowRegistration("provider")
	r := w.start(func(c *gateway.Config) { c.Redis.Timeout = 300 * time.Millisecond })
	samples := map[string][]byte{}
	for end, v := range bodies() {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		samples[end] = b
	}
	each := func(status int, request func(listener string, o openapi.Operation, body []byte) *http.Request) {
		t.Helper()
		for _, listener := range []string{"signaling", "internal"} {
			ops, err := openapi.Operations(listener)
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range ops {
				if !o.Answers(status) {
					continue
				}
				body := []byte("{}")
				for end, b := range samples {
					if strings.HasSuffix(o.Path, end) {
						body = b
					}
				}
				if o.Method == http.MethodGet || o.Method == http.MethodDelete {
					body = nil
				}
				req := request(listener, o, body)
				if req == nil {
					continue
				}
				if a := r.do(req); a.code != status {
					t.Errorf("%s %s answers %d %s, want %d", o.Method, o.Path, a.code, a.body, status)
				}
			}
		}
	}
	each(http.StatusUnauthorized, func(listener string, o openapi.Operation, body []byte) *http.Request {
		req := r.ask(t, listener, o, "nobody", "", body)
		req.Header.Del("Authorization")
		return req
	})
	each(http.StatusNotFound, func(listener string, o openapi.Operation, body []byte) *http.Request {
		pc := "provider"
		switch {
		case listener == "internal":
			pc = "nobody"
		case strings.HasSuffix(o.Path, "/prepare"), strings.HasSuffix(o.Path, "/start"):
			return nil // it needs nothing that could be missing; a function's refusal is another matter
		}
		req := r.ask(t, listener, o, pc, "", body)
		if strings.HasPrefix(o.Path, "/controlplane/") {
			req.URL.Path = strings.Replace(req.URL.Path, "a-key-of-control-planes", "another-key", 1)
		}
		return req
	})
	large := []byte(`{"` + strings.Repeat("x", 5<<20) + `":1}`)
	each(http.StatusRequestEntityTooLarge, func(listener string, o openapi.Operation, _ []byte) *http.Request {
		return r.ask(t, listener, o, "provider", "", large)
	})
	each(http.StatusBadRequest, func(listener string, o openapi.Operation, body []byte) *http.Request {
		switch {
		case body != nil:
			return r.ask(t, listener, o, "provider", "", []byte(`{"`))
		case strings.HasSuffix(o.Path, "}"):
			req := r.ask(t, listener, o, "provider", "", nil)
			req.URL.Path = strings.Replace(req.URL.Path, "some-id", strings.Repeat("x", 2000), 1)
			return req
		}
		return r.ask(t, listener, o, "provider", "?limit=none", nil)
	})
	mini.SetError("LOADING Redis is loading the dataset in memory")
	each(http.StatusServiceUnavailable, func(listener string, o openapi.Operation, body []byte) *http.Request {
		return r.ask(t, listener, o, "provider", "", body)
	})
}
