package gateway_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidegate/tidegate/dps-gateway/internal/gateway"
	"github.com/tidegate/tidegate/dps-gateway/internal/keys"
	"github.com/tidegate/tidegate/dps-gateway/internal/redistest"
	"github.com/tidegate/tidegate/shared/auth"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/gatewayapi"
)

// troubles are what may happen to a redis-server: how it begins, how it ends, and whether it can be read meanwhile.
var troubles = map[string]struct {
	begin, end func(t *testing.T, f *faulty)
	readable   bool
}{
	"it is full": {
		begin:    configure("maxmemory", "1mb"),
		end:      configure("maxmemory", "0"),
		readable: true,
	},
	"it is a read-only replica": { // of one that does not exist, as in a failover gone wrong
		begin:    replicaOf("127.0.0.1", "1"),
		end:      replicaOf("NO", "ONE"),
		readable: true,
	},
	"it misses its replicas": {
		begin:    configure("min-replicas-to-write", "1"),
		end:      configure("min-replicas-to-write", "0"),
		readable: true,
	},
	"it is away": {
		begin: func(_ *testing.T, f *faulty) { f.redis.Kill() },
		end:   func(_ *testing.T, f *faulty) { f.redis.Start() },
	},
	"it hangs": {
		begin: func(_ *testing.T, f *faulty) { f.redis.Stop() },
		end:   func(_ *testing.T, f *faulty) { f.redis.Continue() },
	},
	"it is loading": {
		begin: func(_ *testing.T, f *faulty) { f.redis.Load() },
		end:   func(_ *testing.T, f *faulty) { f.redis.Loaded() },
	},
	slow: { // each command is carried out, and its answer comes when nobody waits for it any more
		begin: func(_ *testing.T, f *faulty) { f.link.delay.Store(int64(3 * time.Second)) },
		end:   func(_ *testing.T, f *faulty) { f.link.delay.Store(0) },
	},
}

// slow is the trouble of a gateway that reaches its Redis by a link.
const slow = "it is slow"

func configure(name, value string) func(*testing.T, *faulty) {
	return func(t *testing.T, f *faulty) {
		t.Helper()
		if err := f.redis.Client().ConfigSet(t.Context(), name, value).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

func replicaOf(host, port string) func(*testing.T, *faulty) {
	return func(t *testing.T, f *faulty) {
		t.Helper()
		if err := f.redis.Client().ReplicaOf(t.Context(), host, port).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// call is a request that is made while Redis is in trouble, and the very same again when it is over.
type call struct {
	method, url, body string
	header            []string
	writes            bool
}

func (c call) do(r *running) answer {
	r.w.tb.Helper()
	req, err := http.NewRequestWithContext(r.w.tb.Context(), c.method, c.url, strings.NewReader(c.body))
	if err != nil {
		r.w.tb.Fatal(err)
	}
	for i := 0; i < len(c.header); i += 2 {
		req.Header.Set(c.header[i], c.header[i+1])
	}
	return r.do(req)
}

// TestRedisInTrouble makes every sort of request while Redis is in every sort of trouble: each is answered 503 with Retry-After
// within a bound, and the probe says that the gateway is not ready. When the trouble is over the gateway serves again by itself, the
// same requests succeed, and each has happened once.
func TestRedisInTrouble(t *testing.T) {
	for name, trouble := range troubles {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newTroubled(t, name, func(*gateway.Config) {})
			f.w.tenant("other", "sinks:\n  - name: in\n    bucket: files\n    prefix: got/\n")
			d := f.publish("provider", "b.txt", []byte("content"))
			flows := map[string]grant{}
			for _, flow := range []string{"suspended", "resumed", "terminated", "completed", "word", "read"} {
				flows[flow] = f.startFlow("provider", d)
			}
			f.signal("provider", flows["resumed"].flow+"/suspend", map[string]any{"messageId": "s-0"})
			var push grant
			within(t, "the sink is known", func() bool {
				push = f.preparePush("other", "pushed", "")
				return f.push(http.MethodHead, push, bytes.NewReader(nil)).code == 200
			})
			within(t, "the outbox is empty", func() bool {
				return f.redis.Client().XLen(t.Context(), keys.Outbox(keys.Shard("provider"))).Val() == 0
			})
			calls := f.calls(flows, push, d)

			trouble.begin(t, f)
			within(t, "it is not ready", func() bool { return f.ready() == http.StatusServiceUnavailable })
			const bound = 30 * time.Second // two tries of two seconds each for a connection and a command; the rest is the machine's
			var all sync.WaitGroup
			for what, c := range calls {
				all.Go(func() {
					began := time.Now()
					a := c.do(f.running)
					if took := time.Since(began); took > bound {
						t.Errorf("%s: answered after %v", what, took)
					}
					removes := what == "deregister" && name == "it is full" // it takes what makes room
					if (trouble.readable && !c.writes) || removes {
						if a.code != http.StatusOK && a.code != http.StatusNoContent {
							t.Errorf("%s needs no write, but: %d %s", what, a.code, a.body)
						}
						return
					}
					f.passing(what, a)
					if strings.Contains(string(a.body), "OOM") || strings.Contains(string(a.body), "READONLY") || strings.Contains(string(a.body), "LOADING") || strings.Contains(string(a.body), f.redis.Addr) {
						t.Errorf("%s: the cause is told: %s", what, a.body)
					}
				})
			}
			all.Wait()

			trouble.end(t, f)
			within(t, "it is ready again", func() bool { return f.ready() == http.StatusOK })
			for _, what := range []string{"prepare", "start", "suspend", "resume", "terminate", "completed", "word", "push", "record", "data", "status", "read of a record", "list", "register", "deregister", "event", "veto"} {
				c, ok := calls[what]
				if !ok {
					t.Fatalf("no call %q", what)
				}
				a := c.do(f.running)
				if what == "deregister" && a.code == http.StatusNotFound {
					continue // it was carried out, and only its answer was lost
				}
				if a.code < 200 || a.code > 299 {
					t.Errorf("%s, again: %d %s", what, a.code, a.body)
				}
			}
			for id, want := range map[string]struct {
				state    dps.State
				revision int64
			}{
				"new-prepared": {dps.Prepared, 1}, "new-started": {dps.Started, 1}, flows["suspended"].flow: {dps.Suspended, 2},
				flows["resumed"].flow: {dps.Started, 3}, flows["terminated"].flow: {dps.Terminated, 2}, flows["completed"].flow: {dps.Completed, 2},
				flows["word"].flow: {dps.Completed, 2}, flows["read"].flow: {dps.Started, 1},
			} {
				fl, err := f.api.Flow(t.Context(), "provider", id)
				if err != nil || fl.State != want.state || fl.Revision != want.revision {
					t.Errorf("%s is %+v: %v; want %+v", id, fl, err, want)
				}
			}
			within(t, "the outbox goes on", func() bool {
				return f.redis.Client().XLen(context.Background(), keys.Outbox(keys.Shard("provider"))).Val() == 0
			})
		})
	}
}

// newTroubled is a gateway that a trouble can come over.
func newTroubled(t *testing.T, trouble string, change func(*gateway.Config)) *faulty {
	t.Helper()
	p := redistest.NewProcess(t, "--appendonly", "yes", "--appendfsync", "always")
	f := &faulty{redis: p, link: newLink(t, p.Addr)}
	addr := p.Addr
	if trouble == slow {
		addr = f.link.addr
	}
	f.begin(t, newWorldOn(t, p.Client(), "redis://"+addr+"/0"), func(c *gateway.Config) {
		c.Redis.Timeout = 2 * time.Second // a machine with much to do is no trouble: many of these run at once, and each write is flushed
		change(c)
	})
	return f
}

// TestATokenIsRenewedAfterTheTrouble: a consumer that asks while Redis is in trouble is told to come again, and what it holds stays good:
// whether its request came to nothing or was carried out and its answer lost.
func TestATokenIsRenewedAfterTheTrouble(t *testing.T) {
	for name, trouble := range troubles {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newTroubled(t, name, func(c *gateway.Config) {
				c.ShortTTL, c.RenewBefore, c.DIDPlainHTTP, c.PrivatePeers = 10*time.Minute, 30*time.Second, true, true
			})
			f.w.tenant("provider", shortRenewal)
			c := newParticipant(t)
			var flow string
			var first pair
			within(t, "the tenant's addresses can be renewed", func() bool {
				id, addr := f.startFor(c.did)
				flow, first = id, held(addr)
				return first.refresh != ""
			})
			trouble.begin(t, f)
			within(t, "it is not ready", func() bool { return f.ready() == http.StatusServiceUnavailable })
			for range 2 {
				f.passing("renewal", f.renew(c, first, nil).answer)
			}
			trouble.end(t, f)
			within(t, "it is ready again", func() bool { return f.ready() == http.StatusOK })
			second := f.renew(c, first, nil)
			if second.code != "" || second.access == first.access || second.refresh == first.refresh {
				t.Fatalf("the refresh token from before: %d %s", second.answer.code, second.body)
			}
			for what, token := range map[string]string{"the one from before": first.access, "the new one": second.access} {
				if code := f.read(flow, token); code != http.StatusOK {
					t.Errorf("the access token, %s: %d", what, code)
				}
			}
			if third := f.renew(c, second.pair, nil); third.code != "" {
				t.Errorf("the new refresh token: %d %s", third.answer.code, third.body)
			}
			if again := f.renew(c, first, nil); again.code != "invalid_grant" {
				t.Errorf("the refresh token from before, after its successor was used: %d %s", again.answer.code, again.body)
			}
		})
	}
}

// ready is what the readiness probe says.
func (f *faulty) ready() int {
	f.w.tb.Helper()
	res, err := f.hc.Get("http://" + f.metrics + "/readyz")
	if err != nil {
		f.w.tb.Fatal(err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	return res.StatusCode
}

// calls are one request of every sort.
func (f *faulty) calls(flows map[string]grant, push grant, d gatewayapi.Dataset) map[string]call {
	f.w.tb.Helper()
	dec := gatewayapi.Decision{
		ID: gatewayapi.AgreementRecordID("agr-new"), AgreementID: "agr-new", DatasetID: d.ID, CounterPartyID: "did:web:consumer.test",
		Verdict: gatewayapi.Approved, Rule: "all", By: "rules", Mode: "veto", DecidedAt: time.Now(),
	}
	if _, err := f.api.Put(f.w.tb.Context(), "provider", gatewayapi.KindDecision, dec.ID, dec, gatewayapi.Always()); err != nil {
		f.w.tb.Fatal(err)
	}
	signals := "http://" + f.signaling + "/participants/provider/dataflows/"
	public, internal := "http://"+f.public, "http://"+f.internal+"/v1/participants/provider/"
	secret := []string{"Authorization", "Bearer " + f.w.secret.Value(), "Content-Type", "application/json"}
	begin := func(id string) string {
		return fmt.Sprintf(`{"messageId":"m-%[1]s","participantId":"did:web:provider.test","counterPartyId":"did:web:consumer.test","dataspaceContext":"x",
			"processId":%[1]q,"agreementId":"agr-new","datasetId":%[2]q,"profile":%[3]q,"claims":{}}`, id, d.ID, dps.ProfileHTTPPull)
	}
	record := fmt.Sprintf(`{"id":"r","bucket":"files","key":"k","rule":"all","size":1,"sha256":%q,"storeEtag":"e","contentType":"text/plain"}`, strings.Repeat("ab", 32))
	read := flows["read"]
	planes, told := "http://"+f.signaling+"/participants/provider/controlplanes", "http://"+f.signaling+"/controlplane/a-key-of-control-planes/"
	operator := []string{"Authorization", "Bearer " + registrationSecret}
	signer, err := auth.NewSigner(newKey(f.w.tb))
	if err != nil {
		f.w.tb.Fatal(err)
	}
	if a := (call{http.MethodPut, planes, string(registrationOf("old", signer.JWKS())), operator, true}).do(f.running); a.code != http.StatusOK {
		f.w.tb.Fatalf("%d %s", a.code, a.body)
	}
	event := func(class string) string {
		return fmt.Sprintf(`{"id":"e-1","at":1795500000000,"type":%q,"payload":{"contractNegotiationId":"neg-1","counterPartyId":"did:web:consumer.test",
			"counterPartyAddress":"http://them.test","participantContextId":"provider","contractOffers":[{"id":"o1","assetId":%q,"policy":{}}]}}`, class, d.ID)
	}
	return map[string]call{
		"prepare":          {http.MethodPost, signals + "prepare", begin("new-prepared"), nil, true},
		"start":            {http.MethodPost, signals + "start", begin("new-started"), nil, true},
		"suspend":          {http.MethodPost, signals + flows["suspended"].flow + "/suspend", `{"messageId":"s-1","reason":"x"}`, nil, true},
		"resume":           {http.MethodPost, signals + flows["resumed"].flow + "/resume", `{"messageId":"r-1"}`, nil, true},
		"terminate":        {http.MethodPost, signals + flows["terminated"].flow + "/terminate", `{"messageId":"t-1","reason":"x"}`, nil, true},
		"completed":        {http.MethodPost, signals + flows["completed"].flow + "/completed", `{}`, nil, true},
		"status":           {http.MethodGet, signals + read.flow + "/status", "", nil, false},
		"register":         {http.MethodPut, planes, string(registrationOf("new", signer.JWKS())), operator, true},
		"deregister":       {http.MethodDelete, planes + "/old", "", operator, true},
		"event":            {http.MethodPost, told + "events", event("ContractNegotiationFinalized"), nil, true},
		"veto":             {http.MethodPost, told + "veto", event("ContractNegotiationRequested"), nil, false},
		"data":             {http.MethodGet, public + read.path, "", []string{"Authorization", "Bearer " + read.token}, false},
		"push":             {http.MethodPut, public + push.path, "pushed", []string{"Authorization", "Bearer " + push.token}, true},
		"word":             {http.MethodPost, internal + "dataflows/" + flows["word"].flow + "/completed", "", secret, true},
		"record":           {http.MethodPut, internal + "datasets/r", record, secret, true},
		"read of a record": {http.MethodGet, internal + "datasets/" + d.ID, "", secret, false},
		"list":             {http.MethodGet, internal + "dataflows", "", secret, false},
	}
}

// TestAStreamOutlivesAShortOutageOfRedisAndNoLongOne has Redis hang under open streams. A suspension that is made meanwhile can't be
// heard, so after the blind time no stream goes on; before it none is cut.
func TestAStreamOutlivesAShortOutageOfRedisAndNoLongOne(t *testing.T) {
	const blind = 4 * time.Second
	p := redistest.NewProcess(t)
	w := newWorldOn(t, p.Client(), "redis://"+p.Addr+"/0")
	r := w.start(func(c *gateway.Config) {
		c.Redis.Timeout, c.BlindTime, c.MaxBytesPerSecond = 500*time.Millisecond, blind, 4<<20
	})
	g := r.startFlow("provider", r.publish("provider", "big", make([]byte, 256<<20)))
	res, _ := slowly(t, r, g)
	ended := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, res.Body)
		ended <- err
	}()
	p.Stop()
	select {
	case err := <-ended:
		t.Fatalf("cut although Redis was away for a moment only: %v", err)
	case <-time.After(blind / 4):
	}
	p.Continue()
	within(t, "the state is read again", func() bool { return r.do(r.request(http.MethodHead, g)).code == 200 })
	select {
	case err := <-ended:
		t.Fatalf("cut although Redis is there: %v", err)
	case <-time.After(blind + time.Second): // the state has been read meanwhile
	}
	p.Stop()
	defer p.Continue()
	began := time.Now()
	select {
	case err := <-ended:
		if took := time.Since(began); took > blind+2*time.Second {
			t.Errorf("cut after %v", took)
		} else {
			t.Logf("cut after %v", took)
		}
		if err == nil {
			t.Error("the client saw a whole body")
		}
	case <-time.After(3 * blind):
		t.Error("it goes on without anybody knowing whether it may")
	}
}
