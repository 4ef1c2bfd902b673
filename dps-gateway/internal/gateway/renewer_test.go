package gateway_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidegate/tidegate/dps-gateway/internal/gateway"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/problem"
)

// front is what stands before the public listener of the provider's gateway: it counts renewals, and may lose their answers.
type front struct {
	*httptest.Server
	target   atomic.Pointer[url.URL]
	renewals atomic.Int64
	lose     atomic.Int64 // so many answers to renewals
	refuse   atomic.Int64 // the status that is answered instead of asking; 0 = none
}

func newFront(tb testing.TB) *front {
	tb.Helper()
	f := &front{}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(f.target.Load()) }}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/token" {
			proxy.ServeHTTP(w, r)
			return
		}
		f.renewals.Add(1)
		if code := f.refuse.Load(); code != 0 {
			w.WriteHeader(int(code))
			return
		}
		if f.lose.Add(-1) >= 0 {
			proxy.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		}
		proxy.ServeHTTP(w, r)
	}))
	tb.Cleanup(f.Close)
	return f
}

// both is two participants of one deployment: "provider", and "other", which is known by the document of a participant's host.
type both struct {
	*running
	front    *front
	consumer *participant
	all      []*running // replicas
	flow     string     // of the provider
	mine     string     // of the consumer
	addr     *dps.DataAddress
}

// newBoth starts replicas and a transfer from "provider" to "other".
func newBoth(t *testing.T, replicas int, key func(c *participant) string, change func(*gateway.Config)) *both {
	t.Helper()
	w := newWorld(t)
	b := &both{front: newFront(t), consumer: newParticipant(t)}
	if key == nil {
		key = func(c *participant) string { return fmt.Sprintf("  key: {id: %q, file: %q}\n", c.kid, c.file) }
	}
	w.tenant("provider", shortRenewal)
	doc := fmt.Sprintf(tenantDocument, "other", w.outside.URL, w.path("secrets/client"), w.path("buckets/other"), "renewal:\n"+key(b.consumer))
	w.write("tenants/other.yaml", strings.Replace(doc, "did:web:other.test", b.consumer.did, 1))
	for range replicas {
		b.all = append(b.all, w.withRenewal(func(c *gateway.Config) {
			c.PublicURL = b.front.URL
			if change != nil {
				change(c)
			}
		}))
	}
	b.running = b.all[0]
	target, err := url.Parse("http://" + b.public)
	if err != nil {
		t.Fatal(err)
	}
	b.front.target.Store(target)
	b.flow, b.addr = b.startFor(b.consumer.did)
	b.mine = "other-tp-1"
	b.signal("other", "prepare", map[string]any{
		"messageId": "p-1", "participantId": b.consumer.did, "counterPartyId": "did:web:provider.test", "dataspaceContext": "http-dsp-profile-2025-1",
		"processId": b.mine, "agreementId": "agr-1", "datasetId": "ds", "profile": dps.ProfileHTTPPull, "claims": map[string]any{},
	})
	b.signal("other", b.mine+"/started", map[string]any{"messageId": "st-1", "dataAddress": b.addr})
	return b
}

// fetch reads the data of an address as a function does.
func (b *both) fetch(a *dps.DataAddress) int {
	b.w.tb.Helper()
	req, err := http.NewRequestWithContext(b.w.tb.Context(), http.MethodGet, a.Endpoint, nil)
	if err != nil {
		b.w.tb.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+a.Property(dps.PropertyAuthorization))
	res, err := b.hc.Do(req)
	if err != nil {
		b.w.tb.Fatal(err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	return res.StatusCode
}

func (b *both) address(t *testing.T) *dps.DataAddress {
	t.Helper()
	a, err := b.api.DataAddress(t.Context(), "other", b.mine)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func token(a *dps.DataAddress) string { return a.Property(dps.PropertyAuthorization) }

func TestATokenIsRenewedInTime(t *testing.T) {
	b := newBoth(t, 1, nil, func(c *gateway.Config) { c.ShortTTL, c.RenewBefore = 4*time.Second, time.Second })
	first := token(b.addr)
	if a := b.address(t); token(a) != first || b.front.renewals.Load() != 0 {
		t.Error("a fresh token was renewed")
	}
	seen := map[string]bool{first: true}
	for end := time.Now().Add(9 * time.Second); time.Now().Before(end); { // over two lives
		a := b.address(t)
		seen[token(a)] = true
		if code := b.fetch(a); code != http.StatusOK {
			t.Fatalf("the provider answers %d", code)
		}
		<-time.After(50 * time.Millisecond)
	}
	if n := b.front.renewals.Load(); n < 2 || n > 4 || len(seen) != int(n)+1 {
		t.Errorf("%d renewals, %d tokens", n, len(seen))
	}
	if code := b.read(b.flow, first); code != http.StatusUnauthorized {
		t.Errorf("the first token is answered %d", code)
	}
}

func TestThreeReplicasRenewOnce(t *testing.T) {
	b := newBoth(t, 3, nil, nil)
	var (
		calls sync.WaitGroup
		mu    sync.Mutex
		got   = map[string]int{}
	)
	for i := range 30 {
		calls.Go(func() {
			a, err := b.all[i%3].api.RenewDataAddress(t.Context(), "other", b.mine, token(b.addr))
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			got[token(a)]++
		})
	}
	calls.Wait()
	if n := b.front.renewals.Load(); n != 1 || len(got) != 1 || got[token(b.addr)] != 0 {
		t.Errorf("%d renewals, %d tokens", n, len(got))
	}
	if code := b.fetch(b.address(t)); code != http.StatusOK {
		t.Errorf("the provider answers %d", code)
	}
}

func TestAnAnswerThatIsLostOnTheWayCostsNothing(t *testing.T) {
	for _, lost := range []int64{1, 2} { // within one renewal, and so that it fails
		b := newBoth(t, 1, nil, nil)
		b.front.lose.Store(lost)
		a, err := b.api.RenewDataAddress(t.Context(), "other", b.mine, token(b.addr))
		if lost > 1 {
			if !problem.Is(err, problem.Unavailable) {
				t.Fatalf("%v", err)
			}
			if code := b.fetch(b.address(t)); code != http.StatusOK {
				t.Errorf("meanwhile the provider answers %d", code)
			}
			a, err = b.api.RenewDataAddress(t.Context(), "other", b.mine, token(b.addr))
		}
		if err != nil {
			t.Fatal(err)
		}
		if n := b.front.renewals.Load(); n != lost+1 || token(a) == token(b.addr) {
			t.Errorf("%d renewals", n)
		}
		if code := b.fetch(a); code != http.StatusOK {
			t.Errorf("the provider answers %d", code)
		}
	}
}

func TestARefusalIsBelievedForAWhile(t *testing.T) {
	b := newBoth(t, 1, nil, func(c *gateway.Config) { c.ShortTTL, c.RenewBefore = time.Second, time.Second })
	b.signal("provider", b.flow+"/suspend", map[string]any{"messageId": "s", "reason": "for a while"})
	for range 3 {
		if _, err := b.api.RenewDataAddress(t.Context(), "other", b.mine, token(b.addr)); !problem.Is(err, problem.Conflict) {
			t.Errorf("%v", err)
		}
	}
	within(t, "the token has ended", func() bool { return b.read(b.flow, token(b.addr)) == http.StatusUnauthorized })
	if a := b.address(t); token(a) != token(b.addr) {
		t.Error("another token")
	}
	if n := b.front.renewals.Load(); n != 1 {
		t.Errorf("the provider was asked %d times", n)
	}
	st := b.signal("provider", b.flow+"/resume", map[string]any{"messageId": "r"})
	b.signal("other", b.mine+"/suspend", map[string]any{"messageId": "s2", "reason": "so is this"})
	if _, err := b.api.RenewDataAddress(t.Context(), "other", b.mine, token(b.addr)); !problem.Is(err, problem.Conflict) {
		t.Errorf("a suspended flow: %v", err)
	}
	b.signal("other", b.mine+"/resume", map[string]any{"messageId": "r2", "dataAddress": st.DataAddress})
	if _, err := b.api.RenewDataAddress(t.Context(), "other", b.mine, token(st.DataAddress)); err != nil {
		t.Errorf("the address of the resumption: %v", err)
	}
}

func TestAProviderThatIsAwayIsNoRefusal(t *testing.T) {
	b := newBoth(t, 1, nil, nil)
	b.front.refuse.Store(http.StatusServiceUnavailable)
	if _, err := b.api.RenewDataAddress(t.Context(), "other", b.mine, token(b.addr)); !problem.Is(err, problem.Unavailable) {
		t.Errorf("%v", err)
	}
	b.front.refuse.Store(0)
	if _, err := b.api.RenewDataAddress(t.Context(), "other", b.mine, token(b.addr)); err != nil {
		t.Errorf("when it is back: %v", err)
	}
}

func TestWithoutAKeyTheAddressIsWhatItIs(t *testing.T) {
	b := newBoth(t, 1, func(*participant) string { return "  demand: false\n" }, func(c *gateway.Config) { c.ShortTTL, c.RenewBefore = time.Second, time.Second })
	if _, err := b.api.RenewDataAddress(t.Context(), "other", b.mine, token(b.addr)); !problem.Is(err, problem.Conflict) {
		t.Errorf("%v", err)
	}
	if a := b.address(t); token(a) != token(b.addr) || b.front.renewals.Load() != 0 {
		t.Error("another token")
	}
	if _, err := b.api.RenewDataAddress(t.Context(), "other", "nothing", "x"); !problem.Is(err, problem.NotFound) {
		t.Errorf("a flow that is not there: %v", err)
	}
}

func TestARefreshEndpointInsideOurNetworkIsNotCalledUnlessAllowed(t *testing.T) {
	b := newBoth(t, 1, nil, func(c *gateway.Config) { c.PrivatePeers = false })
	if _, err := b.api.RenewDataAddress(t.Context(), "other", b.mine, token(b.addr)); !problem.Is(err, problem.Unavailable) {
		t.Errorf("%v", err)
	}
	if n := b.front.renewals.Load(); n != 0 {
		t.Errorf("it was called %d times", n)
	}
}

func TestATenantMayDemandRenewal(t *testing.T) {
	w := newWorld(t)
	w.tenant("other", "renewal: {demand: true}\n")
	r := w.withRenewal(nil)
	r.signal("other", "prepare", map[string]any{
		"messageId": "p-1", "participantId": "did:web:other.test", "counterPartyId": "did:web:p.test", "dataspaceContext": "http-dsp-profile-2025-1",
		"processId": "tp", "agreementId": "agr-1", "datasetId": "ds", "profile": dps.ProfileHTTPPull, "claims": map[string]any{},
	})
	a := dps.NewBearerAddress(dps.ProfileHTTPPull, "http://p.test/data", "t")
	body := func() string {
		return fmt.Sprintf(`{"messageId":"st","dataAddress":{"@type":"DataAddress","endpointType":%q,"endpoint":%q,"endpointProperties":[{"@type":"EndpointProperty","name":"authorization","value":"t"},{"@type":"EndpointProperty","name":"authType","value":"bearer"}]}}`, a.EndpointType, a.Endpoint)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+r.signaling+"/participants/other/dataflows/tp/started", strings.NewReader(body()))
	if err != nil {
		t.Fatal(err)
	}
	if got := r.do(req); got.code != http.StatusBadRequest || !strings.Contains(string(got.body), "refreshToken") {
		t.Errorf("%d %s", got.code, got.body)
	}
	a.Add(dps.PropertyRefreshToken, "r")
	a.Add(dps.PropertyExpiresIn, "60")
	a.Add(dps.PropertyRefreshEndpoint, "http://p.test/token")
	r.signal("other", "tp/started", map[string]any{"messageId": "st", "dataAddress": a})
}
