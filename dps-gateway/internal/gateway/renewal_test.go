package gateway_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidegate/tidegate/dps-gateway/internal/flowstore"
	"github.com/tidegate/tidegate/dps-gateway/internal/gateway"
	"github.com/tidegate/tidegate/shared/did"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/gatewayapi"
)

// participant is another participant: its DID, the host of its document, and its key.
type participant struct {
	tb    testing.TB
	host  *httptest.Server
	did   string
	calls atomic.Int64

	mu   sync.Mutex
	keys map[string]crypto.PublicKey // by fragment
	file string                      // of the private key
	kid  string
	away int // status that the host answers instead; 0 = none
}

func newParticipant(tb testing.TB) *participant {
	tb.Helper()
	p := &participant{tb: tb, keys: map[string]crypto.PublicKey{}}
	p.host = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.calls.Add(1)
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.away != 0 {
			w.WriteHeader(p.away)
			return
		}
		if r.URL.Path != "/c/did.json" {
			http.NotFound(w, r)
			return
		}
		var methods []map[string]any
		for name, k := range p.keys {
			methods = append(methods, map[string]any{"id": p.did + "#" + name, "type": "JsonWebKey2020", "controller": p.did, "publicKeyJwk": jwkOf(k)})
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"id": p.did, "verificationMethod": methods})
	}))
	tb.Cleanup(p.host.Close)
	p.did = "did:web:" + strings.Replace(strings.TrimPrefix(p.host.URL, "http://"), ":", "%3A", 1) + ":c"
	p.rotate("key-1", newKey(tb))
	return p
}

// rotate makes the participant sign with another key, and publishes that one alone.
func (p *participant) rotate(name string, key crypto.Signer) {
	p.tb.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		p.tb.Fatal(err)
	}
	file := p.tb.TempDir() + "/key.pem"
	write(p.tb, file, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys = map[string]crypto.PublicKey{name: key.Public()}
	p.kid, p.file = p.did+"#"+name, file
}

func newKey(tb testing.TB) *ecdsa.PrivateKey {
	tb.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

func jwkOf(k crypto.PublicKey) map[string]string {
	b64 := base64.RawURLEncoding.EncodeToString
	if ed, ok := k.(ed25519.PublicKey); ok {
		return map[string]string{"kty": "OKP", "crv": "Ed25519", "x": b64(ed)}
	}
	ec := k.(*ecdsa.PublicKey)
	raw, err := ec.Bytes()
	if err != nil {
		panic(err)
	}
	pad := func(b []byte) string { return b64(new(big.Int).SetBytes(b).FillBytes(make([]byte, 32))) }
	return map[string]string{"kty": "EC", "crv": "P-256", "x": pad(raw[1:33]), "y": pad(raw[33:])}
}

// assertion signs the JWT by which the participant is known.
func (p *participant) assertion(audience, access string, change func(map[string]any)) string {
	p.tb.Helper()
	claims := map[string]any{
		"iss": p.did, "sub": p.did, "aud": audience, "token": access, "jti": rand.Text(),
		"iat": time.Now().Unix(), "exp": time.Now().Add(10 * time.Minute).Unix(),
	}
	if change != nil {
		change(claims)
	}
	p.mu.Lock()
	file, kid := p.file, p.kid
	p.mu.Unlock()
	text, err := did.SignAssertion(p.tb.Context(), did.FileKey{File: file}, kid, claims)
	if err != nil {
		p.tb.Fatal(err)
	}
	return text
}

// pair is what a consumer holds.
type pair struct{ access, refresh string }

// renewed is an answer of the refresh endpoint.
type renewed struct {
	answer
	pair
	expires int
	code    string
}

// renew asks the refresh endpoint, with the parameters in the body.
func (r *running) renew(p *participant, held pair, change func(map[string]any)) renewed {
	r.w.tb.Helper()
	return r.renewBy(p.assertion("did:web:provider.test", held.access, change), "", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {held.refresh}}.Encode())
}

func (r *running) renewBy(assertion, query, body string) renewed {
	r.w.tb.Helper()
	req, err := http.NewRequestWithContext(r.w.tb.Context(), http.MethodPost, "http://"+r.public+"/token"+query, strings.NewReader(body))
	if err != nil {
		r.w.tb.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if assertion != "" {
		req.Header.Set("Authorization", "Bearer "+assertion)
	}
	a := r.do(req)
	var doc struct {
		AccessToken  string `json:"access_token"`
		TokenType    string `json:"token_type"`
		ExpiresIn    int    `json:"expires_in"`
		RefreshToken string `json:"refresh_token"`
		Error        string `json:"error"`
	}
	if err := json.Unmarshal(a.body, &doc); err != nil {
		r.w.tb.Fatalf("%d %s: %v", a.code, a.body, err)
	}
	if a.header.Get("Cache-Control") != "no-store" {
		r.w.tb.Errorf("%d may be stored: %v", a.code, a.header)
	}
	if a.code == http.StatusOK && doc.TokenType != "Bearer" {
		r.w.tb.Errorf("token type %q", doc.TokenType)
	}
	return renewed{a, pair{doc.AccessToken, doc.RefreshToken}, doc.ExpiresIn, doc.Error}
}

const shortRenewal = "renewal: {offer: short}\n"

// withRenewal starts a gateway that reaches participants on this machine.
func (w *world) withRenewal(change func(*gateway.Config)) *running {
	w.tb.Helper()
	return w.start(func(c *gateway.Config) {
		c.ShortTTL, c.RenewBefore, c.DIDPlainHTTP, c.PrivatePeers = time.Minute, 30*time.Second, true, true
		if change != nil {
			change(c)
		}
	})
}

// startFor has a flow started for a counterparty.
func (r *running) startFor(counterparty string) (flow string, addr *dps.DataAddress) {
	r.w.tb.Helper()
	n := r.w.flows.Add(1)
	d := r.publish("provider", fmt.Sprintf("file-%d", n), []byte("content of a file"))
	agreement := fmt.Sprintf("agr-%d", n)
	dec := gatewayapi.Decision{
		ID: gatewayapi.AgreementRecordID(agreement), AgreementID: agreement, DatasetID: d.ID, CounterPartyID: counterparty,
		Verdict: gatewayapi.Approved, Rule: "all", By: "rules", Mode: "veto", DecidedAt: time.Now(),
	}
	if _, err := r.api.Put(r.w.tb.Context(), "provider", gatewayapi.KindDecision, dec.ID, dec, gatewayapi.Always()); err != nil {
		r.w.tb.Fatal(err)
	}
	flow = fmt.Sprintf("provider-tp-%d", n)
	st := r.signal("provider", "start", map[string]any{
		"messageId": fmt.Sprintf("m-%d", n), "participantId": "did:web:provider.test", "counterPartyId": counterparty,
		"dataspaceContext": "http-dsp-profile-2025-1", "processId": flow, "agreementId": agreement, "datasetId": d.ID,
		"profile": dps.ProfileHTTPPull, "claims": map[string]any{},
	})
	if st.DataAddress == nil {
		r.w.tb.Fatal("no data address")
	}
	return flow, st.DataAddress
}

func held(a *dps.DataAddress) pair {
	return pair{a.Property(dps.PropertyAuthorization), a.Property(dps.PropertyRefreshToken)}
}

// read is the status that the data endpoint answers to an access token.
func (r *running) read(flow, access string) int {
	r.w.tb.Helper()
	return r.get(grant{"provider", flow, "/data/" + flow, access}).code
}

func TestAConsumerRenewsItsToken(t *testing.T) {
	w := newWorld(t)
	w.tenant("provider", shortRenewal)
	r := w.withRenewal(nil)
	c := newParticipant(t)
	flow, addr := r.startFor(c.did)
	if got := addr.Property(dps.PropertyRefreshEndpoint); got != publicURL+"/token" {
		t.Errorf("refreshEndpoint %q", got)
	}
	if got := addr.Property(dps.PropertyExpiresIn); got != "60" {
		t.Errorf("expiresIn %q", got)
	}
	if err := dps.DemandRenewal(addr); err != nil {
		t.Error(err)
	}
	first := held(addr)
	second := r.renew(c, first, nil)
	if second.code != "" || second.expires != 60 || second.access == first.access || second.refresh == first.refresh {
		t.Fatalf("%d %s", second.answer.code, second.body)
	}
	for name, token := range map[string]string{"the new one": second.access, "the one before, for what is under way": first.access} {
		if code := r.read(flow, token); code != http.StatusOK {
			t.Errorf("%s: %d", name, code)
		}
	}
	third := r.renewBy(c.assertion("did:web:provider.test", second.access, nil), "?grant_type=refresh_token&refresh_token="+url.QueryEscape(second.refresh), "")
	if third.code != "" {
		t.Fatalf("with the parameters in the query: %d %s", third.answer.code, third.body)
	}
	for name, tt := range map[string]struct {
		token string
		code  int
	}{"third": {third.access, 200}, "second": {second.access, 200}, "first": {first.access, 401}} {
		if code := r.read(flow, tt.token); code != tt.code {
			t.Errorf("after two renewals the %s is answered %d", name, code)
		}
	}
	if n := c.calls.Load(); n != 1 {
		t.Errorf("the DID document was fetched %d times", n)
	}
}

func TestAnAnswerThatWasLostIsHadByAskingAgain(t *testing.T) {
	w := newWorld(t)
	w.tenant("provider", shortRenewal)
	r := w.withRenewal(nil)
	c := newParticipant(t)
	flow, addr := r.startFor(c.did)
	first := held(addr)
	lost := r.renew(c, first, nil)
	again := r.renew(c, first, nil)
	if lost.code != "" || again.code != "" {
		t.Fatalf("%s, then %s", lost.body, again.body)
	}
	if code := r.read(flow, lost.access); code != http.StatusUnauthorized {
		t.Errorf("the access token that was lost is answered %d", code)
	}
	for _, token := range []string{first.access, again.access} {
		if code := r.read(flow, token); code != http.StatusOK {
			t.Errorf("a token in force is answered %d", code)
		}
	}
	if got := r.renew(c, lost.pair, nil); got.code != "invalid_grant" {
		t.Errorf("the refresh token that was lost: %s", got.body)
	}
	next := r.renew(c, again.pair, nil)
	if next.code != "" {
		t.Fatalf("the one that came: %s", next.body)
	}
	if got := r.renew(c, first, nil); got.code != "invalid_grant" || got.answer.code != http.StatusBadRequest {
		t.Errorf("the first, after its successor was used: %d %s", got.answer.code, got.body)
	}
	if got := r.renew(c, next.pair, nil); got.code != "" {
		t.Errorf("an old refresh token has revoked the newest: %s", got.body)
	}
}

func TestWhoMayNotRenewIsToldNothing(t *testing.T) {
	w := newWorld(t)
	w.tenant("provider", shortRenewal)
	r := w.withRenewal(nil)
	c, stranger := newParticipant(t), newParticipant(t)
	_, addr := r.startFor(c.did)
	_, strangers := r.startFor(stranger.did)
	good, other := held(addr), held(strangers)
	form := func(v url.Values) string { return v.Encode() }
	with := func(name string, v any) string {
		return c.assertion("did:web:provider.test", good.access, func(m map[string]any) {
			if v == nil {
				delete(m, name)
			} else {
				m[name] = v
			}
		})
	}
	ok := form(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {good.refresh}})
	unknown := func(refresh string) string {
		return form(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}})
	}
	parts := strings.Split(good.refresh, ".")
	flowOf := func(flow string) string {
		return parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(flow)) + "." + parts[2]
	}
	now := time.Now()
	fine := func() string { return c.assertion("did:web:provider.test", good.access, nil) }
	for name, tt := range map[string]struct {
		assertion, query, body string
		status                 int
		code                   string
	}{
		"no parameters":                  {fine(), "", "", 400, "invalid_request"},
		"another grant":                  {fine(), "", "grant_type=client_credentials&refresh_token=x", 400, "unsupported_grant_type"},
		"a parameter twice":              {fine(), "?refresh_token=x", ok, 400, "invalid_request"},
		"an empty refresh token":         {fine(), "", "grant_type=refresh_token&refresh_token=", 400, "invalid_request"},
		"a body without an end":          {fine(), "", ok + "&x=" + strings.Repeat("y", 20<<10), 400, "invalid_request"},
		"no client":                      {"", "", ok, 401, "invalid_client"},
		"a client that is no JWT":        {"abc", "", ok, 401, "invalid_client"},
		"the access token for a client":  {good.access, "", ok, 401, "invalid_client"},
		"another issuer than subject":    {with("sub", stranger.did), "", ok, 401, "invalid_client"},
		"another participant":            {stranger.assertion("did:web:provider.test", good.access, nil), "", ok, 401, "invalid_client"},
		"another's name, its own key":    {stranger.assertion("did:web:provider.test", good.access, func(m map[string]any) { m["iss"], m["sub"] = c.did, c.did }), "", ok, 401, "invalid_client"},
		"another audience":               {c.assertion("did:web:other.test", good.access, nil), "", ok, 401, "invalid_client"},
		"no audience":                    {with("aud", nil), "", ok, 401, "invalid_client"},
		"ended":                          {with("exp", now.Add(-time.Minute).Unix()), "", ok, 401, "invalid_client"},
		"without an end":                 {with("exp", nil), "", ok, 401, "invalid_client"},
		"lasting for days":               {with("exp", now.Add(72*time.Hour).Unix()), "", ok, 401, "invalid_client"},
		"without a beginning":            {with("iat", nil), "", ok, 401, "invalid_client"},
		"of the future":                  {with("iat", now.Add(time.Hour).Unix()), "", ok, 401, "invalid_client"},
		"without an id":                  {with("jti", nil), "", ok, 401, "invalid_client"},
		"a refresh token that is no one": {fine(), "", unknown("abc"), 401, "invalid_client"},
		"of a tenant that is not there":  {fine(), "", unknown(base64.RawURLEncoding.EncodeToString([]byte("nobody")) + "." + parts[1] + "." + parts[2]), 401, "invalid_client"},
		"of another tenant":              {fine(), "", unknown(base64.RawURLEncoding.EncodeToString([]byte("other")) + "." + parts[1] + "." + parts[2]), 401, "invalid_client"},
		"of a flow that is not there":    {fine(), "", unknown(flowOf("nothing")), 401, "invalid_client"},
		"of another's flow":              {fine(), "", unknown(other.refresh), 401, "invalid_client"},
		"another secret":                 {fine(), "", unknown(parts[0] + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(make([]byte, 32))), 400, "invalid_grant"},
		"no access token":                {with("token", nil), "", ok, 400, "invalid_grant"},
		"another flow's access token":    {with("token", other.access), "", ok, 400, "invalid_grant"},
		"an access token that is no one": {with("token", "abc"), "", ok, 400, "invalid_grant"},
	} {
		got := r.renewBy(tt.assertion, tt.query, tt.body)
		if got.answer.code != tt.status || got.code != tt.code || len(got.body) > 64 {
			t.Errorf("%s: %d %s, want %d %s", name, got.answer.code, got.body, tt.status, tt.code)
		}
		if tt.status == 401 && got.header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: no WWW-Authenticate", name)
		}
	}
	if n := stranger.calls.Load(); n != 0 {
		t.Errorf("the document of somebody who is no counterparty of the flow was fetched %d times", n)
	}
	within(t, "and the one who may, may", func() bool { return r.renew(c, good, nil).code == "" })
}

func TestAnAssertionServesOnce(t *testing.T) {
	w := newWorld(t)
	w.tenant("provider", shortRenewal)
	r := w.withRenewal(nil)
	c := newParticipant(t)
	_, addr := r.startFor(c.did)
	a := c.assertion("did:web:provider.test", held(addr).access, nil)
	body := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {held(addr).refresh}}.Encode()
	if got := r.renewBy(a, "", body); got.code != "" {
		t.Fatalf("%s", got.body)
	}
	if got := r.renewBy(a, "", body); got.code != "invalid_client" {
		t.Errorf("the second time: %d %s", got.answer.code, got.body)
	}
}

func TestASuspensionEndsTheFamily(t *testing.T) {
	w := newWorld(t)
	w.tenant("provider", shortRenewal)
	r := w.withRenewal(nil)
	c := newParticipant(t)
	flow, addr := r.startFor(c.did)
	first := held(addr)
	second := r.renew(c, first, nil)
	r.signal("provider", flow+"/suspend", map[string]any{"messageId": "s", "reason": "for a while"})
	for _, p := range []pair{first, second.pair} {
		if got := r.renew(c, p, nil); got.code != "invalid_grant" {
			t.Errorf("a suspended flow: %s", got.body)
		}
		if code := r.read(flow, p.access); code != http.StatusNotFound {
			t.Errorf("a suspended flow is answered %d", code)
		}
	}
	st := r.signal("provider", flow+"/resume", map[string]any{"messageId": "r"})
	fresh := held(st.DataAddress)
	for _, p := range []pair{first, second.pair} {
		if got := r.renew(c, p, nil); got.code != "invalid_grant" {
			t.Errorf("a refresh token of before the suspension: %s", got.body)
		}
		if code := r.read(flow, p.access); code != http.StatusUnauthorized {
			t.Errorf("an access token of before the suspension is answered %d", code)
		}
	}
	if got := r.renew(c, fresh, nil); got.code != "" {
		t.Errorf("the one of the resumption: %s", got.body)
	}
	r.signal("provider", flow+"/terminate", map[string]any{"messageId": "t", "reason": "over"})
	if got := r.renew(c, fresh, nil); got.code != "invalid_grant" {
		t.Errorf("a terminated flow: %s", got.body)
	}
}

func TestAConsumerMayRotateItsKeys(t *testing.T) {
	w := newWorld(t)
	w.tenant("provider", shortRenewal)
	r := w.withRenewal(nil)
	c := newParticipant(t)
	_, addr := r.startFor(c.did)
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c.rotate("key-2", ed) // before the first renewal: nothing is kept of the old one
	got := r.renew(c, held(addr), nil)
	if got.code != "" {
		t.Fatalf("%s", got.body)
	}
	c.mu.Lock()
	c.away = http.StatusServiceUnavailable
	c.mu.Unlock()
	if again := r.renew(c, got.pair, nil); again.code != "" {
		t.Errorf("while the document's host is away, a document that was just read: %s", again.body)
	}
}

func TestAHostThatIsAwayIsNoRefusal(t *testing.T) {
	w := newWorld(t)
	w.tenant("provider", shortRenewal)
	r := w.withRenewal(nil)
	c := newParticipant(t)
	_, addr := r.startFor(c.did)
	c.mu.Lock()
	c.away = http.StatusBadGateway
	c.mu.Unlock()
	got := r.renew(c, held(addr), nil)
	if got.answer.code != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" {
		t.Errorf("%d %v %s", got.answer.code, got.header, got.body)
	}
}

func TestThePrivateNetworkIsNotReachedByADID(t *testing.T) {
	w := newWorld(t)
	w.tenant("provider", shortRenewal)
	r := w.withRenewal(func(c *gateway.Config) { c.PrivatePeers = false })
	c := newParticipant(t)
	_, addr := r.startFor(c.did)
	if got := r.renew(c, held(addr), nil); got.code != "invalid_client" {
		t.Errorf("%d %s", got.answer.code, got.body)
	}
	if n := c.calls.Load(); n != 0 {
		t.Errorf("the host was asked %d times", n)
	}
}

func TestAFlowCanNotBeUsedToWearTheGatewayOut(t *testing.T) {
	w := newWorld(t)
	w.tenant("provider", shortRenewal)
	r := w.withRenewal(nil)
	c := newParticipant(t)
	_, addr := r.startFor(c.did)
	limited := 0
	for range 30 {
		got := r.renew(c, pair{held(addr).access, strings.Replace(held(addr).refresh, ".", ".", 1)}, func(m map[string]any) { m["aud"] = "did:web:x" })
		if got.answer.code == http.StatusTooManyRequests && got.header.Get("Retry-After") != "" {
			limited++
		}
	}
	if limited == 0 {
		t.Error("30 requests at once were all looked at")
	}
}

func TestWhatATenantOffers(t *testing.T) {
	for name, tt := range map[string]struct {
		more, counterparty, expires string
	}{
		"by default a long token and a refresh token beside": {"", "did:web:consumer.test", "3600"},
		"short":                      {shortRenewal, "did:web:consumer.test", "60"},
		"off":                        {"renewal: {offer: 'off'}\n", "did:web:consumer.test", ""},
		"a consumer without did:web": {shortRenewal, "BPNL000000000001", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.tenant("provider", tt.more)
			r := w.withRenewal(nil)
			flow, addr := r.startFor(tt.counterparty)
			if got := addr.Property(dps.PropertyExpiresIn); got != tt.expires || (addr.Property(dps.PropertyRefreshToken) == "") != (tt.expires == "") {
				t.Errorf("expiresIn %q", got)
			}
			if code := r.read(flow, held(addr).access); code != http.StatusOK {
				t.Errorf("answered %d", code)
			}
		})
	}
}

func TestARenewalCutsNoStream(t *testing.T) {
	w := newWorld(t)
	w.tenant("provider", shortRenewal)
	r := w.withRenewal(func(c *gateway.Config) { c.StallTime = time.Minute })
	c := newParticipant(t)
	content := bytes.Repeat([]byte("0123456789abcdef"), 4<<20)
	flow, addr := r.startFor(c.did)
	r.publish("provider", "file-1", content)
	req := r.request(http.MethodGet, grant{"provider", flow, "/data/" + flow, held(addr).access})
	res, err := r.hc.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	part := make([]byte, 1<<16)
	if _, err := io.ReadFull(res.Body, part); err != nil {
		t.Fatal(err)
	}
	p := held(addr)
	for range 3 { // the stream's token is neither the one in force nor the one before
		next := r.renew(c, p, nil)
		if next.code != "" {
			t.Fatalf("%s", next.body)
		}
		p = next.pair
	}
	n, begun := len(part), time.Now()
	for time.Since(begun) < flowstore.RecheckEvery+time.Second { // a slow reader, while all open streams are checked again
		m, err := io.ReadFull(res.Body, part)
		n += m
		if err != nil {
			t.Fatalf("after %d bytes: %v", n, err)
		}
		<-time.After(50 * time.Millisecond)
	}
	rest, err := io.ReadAll(res.Body)
	if err != nil || len(rest)+n != len(content) {
		t.Errorf("%d bytes of %d: %v", len(rest)+n, len(content), err)
	}
}

func write(tb testing.TB, file, text string) {
	tb.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
}
