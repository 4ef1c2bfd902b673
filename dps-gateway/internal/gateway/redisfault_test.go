package gateway_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/dps-gateway/internal/gateway"
	"github.com/tidegate/tidegate/dps-gateway/internal/keys"
	"github.com/tidegate/tidegate/dps-gateway/internal/redistest"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
)

// faulty is a gateway on a redis-server of its own, with a started flow.
type faulty struct {
	*running
	redis *redistest.Process
	link  *link // nil, or the way to it
	grant grant
}

func newFaulty(t *testing.T, args ...string) *faulty {
	t.Helper()
	return newFaultyWith(t, func(*gateway.Config) {}, args...)
}

func newFaultyWith(t *testing.T, change func(*gateway.Config), args ...string) *faulty {
	t.Helper()
	p := redistest.NewProcess(t, args...)
	f := &faulty{redis: p}
	f.begin(t, newWorldOn(t, p.Client(), "redis://"+p.Addr+"/0"), change)
	f.grant = f.startFlow("provider", f.publish("provider", "a.txt", []byte("content")))
	return f
}

// begin starts the gateway.
func (f *faulty) begin(t *testing.T, w *world, change func(*gateway.Config)) {
	t.Helper()
	w.allowRegistration("provider")
	f.running = w.start(func(c *gateway.Config) {
		c.Redis.Timeout = 500 * time.Millisecond
		change(c)
	})
}

// try sends a signal and returns what comes.
func (f *faulty) try(rest string, msg map[string]any) answer {
	f.w.tb.Helper()
	b, err := json.Marshal(msg)
	if err != nil {
		f.w.tb.Fatal(err)
	}
	req, err := http.NewRequestWithContext(f.w.tb.Context(), http.MethodPost, "http://"+f.signaling+"/participants/provider/dataflows/"+rest, bytes.NewReader(b))
	if err != nil {
		f.w.tb.Fatal(err)
	}
	return f.do(req)
}

func (f *faulty) prepare(id string) answer {
	f.w.tb.Helper()
	return f.try("prepare", map[string]any{
		"messageId": id, "participantId": "did:web:provider.test", "counterPartyId": "did:web:other.test", "dataspaceContext": "x",
		"processId": id, "agreementId": "agr-" + id, "datasetId": "ds", "profile": dps.ProfileHTTPPull, "claims": map[string]any{},
	})
}

// passing fails unless the answer is a 503 that says when to try again.
func (f *faulty) passing(what string, a answer) {
	f.w.tb.Helper()
	if a.code != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
		f.w.tb.Errorf("%s: %d, Retry-After %q: %s", what, a.code, a.header.Get("Retry-After"), a.body)
	}
}

func (f *faulty) state(id string) dps.State {
	f.w.tb.Helper()
	fl, err := f.api.Flow(f.w.tb.Context(), "provider", id)
	if problem.Is(err, problem.NotFound) {
		return ""
	}
	if err != nil {
		f.w.tb.Fatal(err)
	}
	return fl.State
}

func TestAFullRedisRefusesWholeSignalsAndRecovers(t *testing.T) {
	f := newFaulty(t)
	c := f.redis.Client()
	within(t, "the outbox is empty", func() bool {
		return c.XLen(t.Context(), keys.Outbox(keys.Shard("provider"))).Val() == 0
	})
	if err := c.ConfigSet(t.Context(), "maxmemory", "1mb").Err(); err != nil {
		t.Fatal(err)
	}
	f.passing("prepare", f.prepare("new"))
	f.passing("suspend", f.try(f.grant.flow+"/suspend", map[string]any{"messageId": "s-1", "reason": "x"}))
	f.passing("terminate", f.try(f.grant.flow+"/terminate", map[string]any{"messageId": "t-1", "reason": "x"}))
	if _, err := f.api.Put(t.Context(), "provider", gatewayapi.KindDataset, "ds", gatewayapi.Dataset{
		ID: "ds", Bucket: "files", Key: "k", Rule: "all", SHA256: strings.Repeat("ab", 32), StoreETag: "e", Modified: time.Now(),
	}, gatewayapi.Always()); !problem.Is(err, problem.Unavailable) {
		t.Errorf("a record: %v", err)
	}
	if s := f.state(f.grant.flow); s != dps.Started {
		t.Errorf("the flow is %s after refusals", s)
	}
	if s := f.state("new"); s != "" {
		t.Errorf("a refused prepare has left a flow in %s", s)
	}
	if n := c.XLen(t.Context(), keys.Outbox(keys.Shard("provider"))).Val(); n != 0 {
		t.Errorf("refused signals have left %d outbox entries", n)
	}
	if a := f.get(f.grant); a.code != http.StatusOK {
		t.Errorf("data of a started flow needs no write, but: %d", a.code)
	}
	c.ConfigSet(t.Context(), "maxmemory", "0")
	if a := f.prepare("new"); a.code != http.StatusOK {
		t.Errorf("after room was made: %d %s", a.code, a.body)
	}
	if a := f.try(f.grant.flow+"/terminate", map[string]any{"messageId": "t-1", "reason": "x"}); a.code != http.StatusOK || f.state(f.grant.flow) != dps.Terminated {
		t.Errorf("the same terminate again: %d", a.code)
	}
}

func TestARedisThatComesBackEmptyKnowsNothingAndServesNothing(t *testing.T) {
	f := newFaulty(t)
	f.redis.Kill()
	f.passing("while it is away: prepare", f.prepare("new"))
	f.passing("while it is away: data", f.get(f.grant))
	f.redis.Start()
	within(t, "prepare again", func() bool { return f.prepare("new").code == http.StatusOK })
	if a := f.get(f.grant); a.code != http.StatusNotFound {
		t.Errorf("data of a flow that is not known: %d", a.code)
	}
	if a := f.try(f.grant.flow+"/suspend", map[string]any{"messageId": "s-1"}); a.code != http.StatusNotFound {
		t.Errorf("suspend of a flow that is not known: %d", a.code)
	}
	// The scripts are loaded again, leases are taken again, events go on.
	within(t, "the outbox goes on", func() bool {
		return f.redis.Client().XLen(t.Context(), keys.Outbox(keys.Shard("provider"))).Val() == 0
	})
}

func TestARedisThatKeepsItsFileKnowsAllAfterAKill(t *testing.T) {
	f := newFaulty(t, "--appendonly", "yes", "--appendfsync", "always")
	f.redis.Kill()
	f.redis.Start()
	within(t, "data again", func() bool { return f.get(f.grant).code == http.StatusOK })
}

func TestAGatewayDoesNotRunOnARedisThatDropsKeys(t *testing.T) {
	p := redistest.NewProcess(t, "--maxmemory-policy", "allkeys-lru")
	w := newWorldOn(t, p.Client(), "redis://"+p.Addr+"/0")
	g, err := gateway.Open(t.Context(), w.config(), zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "REDIS_ALLOW_EVICTION") {
		t.Errorf("%v", err)
	}
}

func TestAGatewayThatWaitsForRedisEndsWhenItIsAWrongOne(t *testing.T) {
	p := redistest.NewProcess(t, "--maxmemory-policy", "allkeys-lru")
	w := newWorldOn(t, p.Client(), "redis://"+p.Addr+"/0")
	p.Kill()
	g, err := gateway.Open(t.Context(), w.config(), zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- g.Run(t.Context()) }()
	_, _, _, metrics := g.Addrs()
	within(t, "it serves, but is not ready", func() bool {
		res, err := http.Get("http://" + metrics + "/readyz")
		if err != nil {
			return false
		}
		defer res.Body.Close()
		return res.StatusCode == http.StatusServiceUnavailable
	})
	p.Start()
	select {
	case err := <-done:
		if err == nil || !strings.Contains(err.Error(), "REDIS_ALLOW_EVICTION") {
			t.Errorf("%v", err)
		}
	case <-time.After(15 * time.Second):
		t.Fatal("it goes on")
	}
	http.DefaultClient.CloseIdleConnections()
}
