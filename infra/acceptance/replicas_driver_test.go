package acceptance

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/functions/publishing"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/objectstore"
	"github.com/tidegate/tidegate/shared/tenant"
)

const counterParty = "did:web:consumer.example"

// controlPlane sends signals as EDC does: one after the other for a flow; an answer that is no success is final, whatever it is; only
// where nobody answers the same message is sent again. Each time it asks its identity provider for a token.
type controlPlane struct {
	f    *fleet
	base string // of the signaling listener
	hc   *http.Client
	rnd  *rand.Rand
	used string // the token of the last request

	load *load
}

// load is what all control planes together have seen.
type load struct {
	signals, unanswered, replayed, refused atomic.Int64

	mu     sync.Mutex
	faults []string
	flows  []*flow
}

// flow is a data flow as its control plane remembers it.
type flow struct {
	pc, id string
	kinds  []string // of the events that its signals make, by revision
	state  dps.State
	word   bool // it was completed by a function, which the control plane must hear of
}

func (l *load) fault(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.faults) < 20 {
		l.faults = append(l.faults, fmt.Sprintf(format, args...))
	}
}

func (l *load) all() []*flow {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]*flow(nil), l.flows...)
}

func newControlPlane(f *fleet, l *load, seed uint64) *controlPlane {
	return &controlPlane{
		f: f, base: "http://" + f.service.Addr(atSignaling), load: l, rnd: rand.New(rand.NewPCG(seed, 1)),
		hc: &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 1}},
	}
}

// fatalError ends a flow: its control plane would have given it up.
type fatalError struct{ text string }

func (e fatalError) Error() string { return e.text }

// signal sends a message until somebody answers, and now and then once more although it was answered.
func (c *controlPlane) signal(ctx context.Context, pc, path string, m map[string]any) ([]byte, error) {
	body, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	c.load.signals.Add(1)
	answer, err := c.until(ctx, pc, path, body)
	if err == nil && c.rnd.IntN(8) == 0 {
		err = c.useAgain(ctx, pc)
	}
	if err != nil || c.rnd.IntN(4) > 0 {
		return answer, err
	}
	c.load.replayed.Add(1)
	again, err := c.until(ctx, pc, path, body)
	if err == nil && !bytes.Equal(answer, again) {
		return nil, fatalError{fmt.Sprintf("%s of %s: the same message is answered %s, then %s", path, pc, answer, again)}
	}
	return answer, err
}

func (c *controlPlane) until(ctx context.Context, pc, path string, body []byte) ([]byte, error) {
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		if err := c.newToken(ctx, pc); err != nil {
			return nil, err
		}
		code, answer, err := c.once(ctx, pc, path, body)
		switch {
		case err != nil:
			c.load.unanswered.Add(1)
		case code/100 != 2:
			return nil, fatalError{fmt.Sprintf("%s of %s: %d %s", path, pc, code, answer)}
		default:
			return answer, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%s of %s: nobody answers: %w", path, pc, err)
		case <-time.After(pause):
		}
	}
}

// newToken has the identity provider give a token for the next request. It does not take part in the chaos, but may be slow.
func (c *controlPlane) newToken(ctx context.Context, pc string) error {
	for {
		var err error
		if c.used, err = c.f.token(ctx, c.hc, pc); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("a token for %s: %w", pc, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// useAgain sends another request with the token of the last one, as somebody might who has seen it: whichever replica gets it refuses it.
func (c *controlPlane) useAgain(ctx context.Context, pc string) error {
	code, answer, err := c.once(ctx, pc, "of-somebody-else/suspend", []byte(`{"messageId":"m"}`))
	if err != nil {
		return nil // nobody has answered
	}
	if code != http.StatusUnauthorized {
		return fatalError{fmt.Sprintf("a token that was used before, at %s: %d %s", pc, code, answer)}
	}
	c.load.refused.Add(1)
	return nil
}

func (c *controlPlane) once(ctx context.Context, pc, path string, body []byte) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+"/participants/"+pc+"/dataflows/"+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+c.used)
	res, err := c.hc.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(res.Body)
	return res.StatusCode, answer, err
}

// run takes one flow after the other through its life until stop is closed.
func (c *controlPlane) run(ctx context.Context, stop <-chan struct{}, name string, offers map[string]gatewayapi.Dataset) {
	defer c.hc.CloseIdleConnections()
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		default:
		}
		pc := fleetTenantID(c.rnd.IntN(fleetTenants))
		f := &flow{pc: pc, id: fmt.Sprintf("%s-%s-%d", pc, name, n)}
		if err := c.life(ctx, f, offers[pc]); err != nil {
			c.load.fault("flow %s: %v", f.id, err)
			if ctx.Err() != nil {
				return
			}
		}
		c.load.mu.Lock()
		c.load.flows = append(c.load.flows, f)
		c.load.mu.Unlock()
	}
}

// step sends one signal to a flow and notes what must come of it.
func (c *controlPlane) step(ctx context.Context, f *flow, what, kind string, to dps.State, m map[string]any) ([]byte, error) {
	select {
	case <-time.After(time.Duration(10+c.rnd.IntN(60)) * time.Millisecond): // a steady rate
	case <-ctx.Done():
	}
	m["messageId"] = fmt.Sprintf("%s-%d", f.id, len(f.kinds))
	path := f.id + "/" + what
	if what == "prepare" || what == "start" {
		path = what
	}
	b, err := c.signal(ctx, f.pc, path, m)
	if err == nil {
		f.kinds, f.state = append(f.kinds, kind), to
	}
	return b, err
}

// life is a provider's or a consumer's pull, suspended and resumed as often as chance has it, and one of its ends.
func (c *controlPlane) life(ctx context.Context, f *flow, d gatewayapi.Dataset) error {
	first := map[string]any{
		"participantId": "did:web:" + f.pc + ".example", "counterPartyId": counterParty, "dataspaceContext": "http-dsp-profile-2025-1",
		"processId": f.id, "agreementId": "agreement-" + d.ID, "datasetId": d.ID, "profile": dps.ProfileHTTPPull, "claims": map[string]any{},
	}
	provider := c.rnd.IntN(3) > 0
	if provider {
		if _, err := c.step(ctx, f, "start", catalogue.DataFlowStarted, dps.Started, first); err != nil {
			return err
		}
	} else {
		if _, err := c.step(ctx, f, "prepare", catalogue.DataFlowPrepared, dps.Prepared, first); err != nil {
			return err
		}
		if _, err := c.step(ctx, f, "started", catalogue.DataFlowStarted, dps.Started, map[string]any{"dataAddress": map[string]any{
			"@type": "DataAddress", "endpointType": dps.ProfileHTTPPull, "endpoint": "http://provider.example/data",
			"endpointProperties": []any{
				map[string]any{"@type": "EndpointProperty", "name": "authorization", "value": "a-token"},
				map[string]any{"@type": "EndpointProperty", "name": "authType", "value": "bearer"},
			},
		}}); err != nil {
			return err
		}
	}
	for range c.rnd.IntN(3) {
		if _, err := c.step(ctx, f, "suspend", catalogue.DataFlowSuspended, dps.Suspended, map[string]any{"reason": "suspend"}); err != nil {
			return err
		}
		if !provider { // a consumer's resume brings the address
			break
		}
		if _, err := c.step(ctx, f, "resume", catalogue.DataFlowResumed, dps.Started, map[string]any{}); err != nil {
			return err
		}
	}
	switch n := c.rnd.IntN(3); {
	case n == 0 || f.state == dps.Suspended:
		_, err := c.step(ctx, f, "terminate", catalogue.DataFlowTerminated, dps.Terminated, map[string]any{"reason": "terminate"})
		return err
	case n == 1:
		_, err := c.step(ctx, f, "completed", catalogue.DataFlowCompleted, dps.Completed, map[string]any{})
		return err
	}
	return c.word(ctx, f)
}

// word has a function say that a flow has done its work, again and again until that is taken.
func (c *controlPlane) word(ctx context.Context, f *flow) error {
	for {
		err := c.f.api.Complete(ctx, f.pc, f.id)
		if err == nil {
			f.kinds, f.state, f.word = append(f.kinds, catalogue.DataFlowCompleted), dps.Completed, true
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("completed by a function: %w", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// offer publishes a file of so many bytes at each tenant, under an agreement that is approved, as the functions do.
func (f *fleet) offer(t *testing.T, key string, size int64) map[string]gatewayapi.Dataset {
	t.Helper()
	out := map[string]gatewayapi.Dataset{}
	for i := range fleetTenants {
		pc := fleetTenantID(i)
		bucket := f.path("buckets/" + pc)
		content := make([]byte, size)
		_, _ = rand.NewChaCha8([32]byte{byte(i)}).Read(content)
		if err := os.WriteFile(filepath.Join(bucket, key), content, 0o600); err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(content)
		out[pc] = f.register(t, pc, key, hex.EncodeToString(sum[:]))
	}
	return out
}

func (f *fleet) register(t *testing.T, pc, key, sum string) gatewayapi.Dataset {
	t.Helper()
	store, err := objectstore.Open(t.Context(), tenant.Bucket{Name: "files", URL: "file://" + f.path("buckets/"+pc)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close() }() // only read from
	o, err := store.Head(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	d := gatewayapi.Dataset{
		ID: publishing.DatasetID(pc, "files", key), Bucket: "files", Key: key, Rule: "all", Size: o.Size, SHA256: sum,
		StoreETag: o.ETag, ContentType: "application/octet-stream", Modified: o.Modified, PublishedAt: time.Now().UTC(),
	}
	if _, err := f.api.Put(t.Context(), pc, gatewayapi.KindDataset, d.ID, d, gatewayapi.Always()); err != nil {
		t.Fatal(err)
	}
	id := gatewayapi.AgreementRecordID("agreement-" + d.ID)
	if _, err := f.api.Put(t.Context(), pc, gatewayapi.KindDecision, id, gatewayapi.Decision{
		ID: id, AgreementID: "agreement-" + d.ID, DatasetID: d.ID, CounterPartyID: counterParty, Verdict: gatewayapi.Approved, Rule: "all",
		By: "rules", Mode: "veto", DecidedAt: time.Now().UTC(),
	}, gatewayapi.Always()); err != nil {
		t.Fatal(err)
	}
	return d
}
