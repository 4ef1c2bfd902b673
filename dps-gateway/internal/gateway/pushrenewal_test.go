package gateway_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/dps-gateway/internal/gateway"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/gatewayapi"
)

// preparePushFor has a push of "other" prepared for a provider, and its delivery planned.
func (r *running) preparePushFor(provider, flow string) *dps.DataAddress {
	r.w.tb.Helper()
	d := gatewayapi.Delivery{ID: flow, DatasetID: "ds", Sink: "in", Key: "got/" + flow, Size: -1}
	if _, err := r.api.Put(r.w.tb.Context(), "other", gatewayapi.KindDelivery, flow, d, gatewayapi.IfAbsent()); err != nil {
		r.w.tb.Fatal(err)
	}
	return r.signal("other", "prepare", map[string]any{
		"messageId": "p-" + flow, "participantId": "did:web:other.test", "counterPartyId": provider, "dataspaceContext": "http-dsp-profile-2025-1",
		"processId": flow, "agreementId": "agr", "datasetId": "ds", "profile": dps.ProfileHTTPPush, "claims": map[string]any{},
	}).DataAddress
}

const pushConsumer = "sinks:\n  - name: in\n    bucket: files\n    prefix: got/\n"

// TestAProviderRenewsTheTokenOfAPush is the renewal of an address for push, which the consumer made: the provider is the client.
func TestAProviderRenewsTheTokenOfAPush(t *testing.T) {
	w := newWorld(t)
	w.tenant("other", pushConsumer+shortRenewal)
	r := w.withRenewal(nil)
	p, stranger := newParticipant(t), newParticipant(t)
	addr := r.preparePushFor(p.did, "push-1")
	if err := dps.DemandRenewal(addr); err != nil {
		t.Fatal(err)
	}
	ask := func(who *participant, held pair) renewed {
		t.Helper()
		form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {held.refresh}}
		return r.renewBy(who.assertion("did:web:other.test", held.access, nil), "", form.Encode())
	}
	look := func(access string) int {
		t.Helper()
		return r.push(http.MethodHead, grant{"other", "push-1", "/ingest/push-1", access}, http.NoBody).code
	}
	first := held(addr)
	if got := ask(stranger, first); got.code != "invalid_client" {
		t.Errorf("a stranger: %s", got.code)
	}
	// The provider may push before started comes, so it may renew by then too.
	second := ask(p, first)
	if second.code != "" || second.access == first.access || second.refresh == first.refresh || second.expires != 60 {
		t.Fatalf("%d %s", second.answer.code, second.code)
	}
	for _, token := range []string{first.access, second.access} {
		if code := look(token); code != http.StatusOK {
			t.Errorf("a token in force is answered %d", code)
		}
	}
	r.signal("other", "push-1/started", map[string]any{"messageId": "s-1"})
	third := ask(p, second.pair)
	if third.code != "" || look(first.access) != http.StatusUnauthorized || look(third.access) != http.StatusOK {
		t.Errorf("after started: %s, the first token %d, the third %d", third.code, look(first.access), look(third.access))
	}
	r.signal("other", "push-1/suspend", map[string]any{"messageId": "s-2"})
	if got := ask(p, third.pair); got.code != "invalid_grant" {
		t.Errorf("of a suspended push: %d %q", got.answer.code, got.code)
	}
	fresh := held(r.signal("other", "push-1/resume", map[string]any{"messageId": "s-3"}).DataAddress)
	if got := ask(p, third.pair); got.code != "invalid_grant" {
		t.Errorf("with what was before the suspension: %q", got.code)
	}
	fourth := ask(p, fresh)
	if fourth.code != "" {
		t.Fatalf("after the resumption: %q", fourth.code)
	}
	if a := r.push(http.MethodPut, grant{"other", "push-1", "/ingest/push-1", fourth.access}, bytes.NewReader([]byte("data"))); a.code != http.StatusCreated {
		t.Errorf("the push: %d %s", a.code, a.body)
	}
}

// TestThePusherGetsATokenThatIsGood is both sides of it: the gateway renews the consumer's address that a provider's flow holds.
func TestThePusherGetsATokenThatIsGood(t *testing.T) {
	w := newWorld(t)
	p, f := newParticipant(t), newFront(t)
	w.tenant("other", pushConsumer+shortRenewal)
	doc := fmt.Sprintf(tenantDocument, "provider", w.outside.URL, w.path("secrets/client"), w.path("buckets/provider"),
		fmt.Sprintf("renewal:\n  key: {id: %q, file: %q}\n", p.kid, p.file))
	w.write("tenants/provider.yaml", strings.Replace(doc, "did:web:provider.test", p.did, 1))
	r := w.withRenewal(func(c *gateway.Config) { c.PublicURL, c.ShortTTL, c.RenewBefore = f.URL, 4*time.Second, 3*time.Second })
	target, err := url.Parse("http://" + r.public)
	if err != nil {
		t.Fatal(err)
	}
	f.target.Store(target)
	addr := r.preparePushFor(p.did, "push-1")
	d := r.publish("provider", "file", []byte("content"))
	dec := gatewayapi.Decision{
		ID: gatewayapi.AgreementRecordID("agr-p"), AgreementID: "agr-p", DatasetID: d.ID, CounterPartyID: "did:web:other.test",
		Verdict: gatewayapi.Approved, Rule: "all", By: "rules", Mode: "veto", DecidedAt: time.Now(),
	}
	if _, err := r.api.Put(t.Context(), "provider", gatewayapi.KindDecision, dec.ID, dec, gatewayapi.Always()); err != nil {
		t.Fatal(err)
	}
	r.signal("provider", "start", map[string]any{
		"messageId": "m", "participantId": p.did, "counterPartyId": "did:web:other.test", "dataspaceContext": "http-dsp-profile-2025-1",
		"processId": "tp-p", "agreementId": "agr-p", "datasetId": d.ID, "profile": dps.ProfileHTTPPush, "claims": map[string]any{}, "dataAddress": addr,
	})
	within(t, "the token is renewed", func() bool {
		a, err := r.api.DataAddress(t.Context(), "provider", "tp-p")
		if err != nil {
			t.Fatal(err)
		}
		if code := r.push(http.MethodHead, grant{"other", "push-1", "/ingest/push-1", token(a)}, http.NoBody).code; code != http.StatusOK {
			t.Fatalf("the consumer answers %d", code)
		}
		return token(a) != token(addr)
	})
	a, err := r.api.RenewDataAddress(t.Context(), "provider", "tp-p", func() string {
		a, err := r.api.DataAddress(t.Context(), "provider", "tp-p")
		if err != nil {
			t.Fatal(err)
		}
		return token(a)
	}())
	if err != nil {
		t.Fatalf("one that was refused: %v", err)
	}
	if got := r.push(http.MethodPut, grant{"other", "push-1", "/ingest/push-1", token(a)}, bytes.NewReader([]byte("content"))); got.code != http.StatusCreated {
		t.Errorf("the push: %d %s", got.code, got.body)
	}
}
