package sandbox_test

import (
	"io"
	"net/http"
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/infra/sandbox/config"
	"github.com/tidegate/tidegate/shared/auth"
	"github.com/tidegate/tidegate/shared/dps"
)

func (w *world) agreementOf(pc, id string) (int, []byte) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, w.url+"/signaling/transfers/"+url.PathEscape(id)+"/agreement", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	if pc != "" {
		delete(w.token, "dp-"+pc) // a token is good once
		req.Header.Set("Authorization", "Bearer "+w.as("dp-"+pc))
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return res.StatusCode, b
}

// TestTheAgreementOfATransferIsToldToItsDataPlane, as DPS 1.0 has it, and only where the sandbox is told to: EDC has no such operation.
func TestTheAgreementOfATransferIsToldToItsDataPlane(t *testing.T) {
	w, agreement := ready(t, func(c *config.Config) { c.Agreements = true })
	consumer, provider := w.started(agreement, "http-pull")
	for pc, id := range map[string]string{"consumer": consumer, "provider": provider} {
		code, body := w.agreementOf(pc, id)
		a, err := dps.DecodeAgreement(body)
		if code != 200 || err != nil || a.Target != "asset-1" || a.Assigner != "provider-id" || a.Assignee != "consumer-id" || a.Timestamp.IsZero() {
			t.Errorf("%s: %d %s: %v", pc, code, body, err)
		}
	}
	for who, id := range map[string]string{"": consumer, "provider": consumer, "consumer": "no-such-transfer"} {
		if code, body := w.agreementOf(who, id); code != 401 {
			t.Errorf("%s: %d %s", who, code, body)
		}
	}
	w, agreement = ready(t, nil)
	consumer, _ = w.started(agreement, "http-pull")
	if code, _ := w.agreementOf("consumer", consumer); code != 404 {
		t.Errorf("as EDC does it: %d", code)
	}
}

// TestATokenExchangeForSignaling: the resource is the principal, the participant context a claim of its own.
func TestATokenExchangeForSignaling(t *testing.T) {
	w := newWorld(t, func(c *config.Config) {
		c.IDP.Exchange.Tiers["signaling"] = "dps:signal"
		c.IDP.Exchange.Mappings = append(c.IDP.Exchange.Mappings, config.Mapping{
			Client: "workload", ParticipantContext: "provider", Resource: "provider-tidegate", Scopes: []string{"signaling"}, Audiences: []string{"edcv"},
		})
	})
	_, m := w.tokenRequest(url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "subject_token": {w.as("workload")},
		"subject_token_type": {"urn:ietf:params:oauth:token-type:jwt"}, "requested_token_type": {"urn:ietf:params:oauth:token-type:jwt"},
		"resource": {"provider-tidegate"}, "audience": {"edcv"}, "scope": {"signaling"},
	})
	token, _ := m["access_token"].(string)
	c, err := auth.NewVerifier(auth.VerifierConfig{Issuer: w.url + "/idp", JWKSURL: w.url + "/idp/keys", Audience: "edcv"}, http.DefaultClient).Verify(t.Context(), token)
	if err != nil {
		t.Fatalf("%v: %v", m, err)
	}
	got := map[string]any{"sub": c.Subject, "scope": c.Scope, "participant_context": c.All()["participant_context"], "client_id": c.All()["client_id"]}
	if d := cmp.Diff(map[string]any{"sub": "provider-tidegate", "scope": "dps:signal", "participant_context": "provider", "client_id": nil}, got); d != "" {
		t.Error(d)
	}
}
