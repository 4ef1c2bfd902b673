package main

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/functions/internal/gatewaytest"
	"github.com/tidegate/tidegate/functions/slices"
	"github.com/tidegate/tidegate/functions/stores"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/function/functiontest"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/objectstore"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

const (
	pc     = "consumer"
	flowID = "consumer-flow-1"
	token  = "the-flow's-token"
)

// provider serves one object with ranges, and misbehaves as a test says.
type provider struct {
	*httptest.Server
	mu       sync.Mutex
	content  []byte
	requests int
	served   int64
	// misbehave, if not nil, may answer the n-th request (from 1) itself and returns true then.
	misbehave func(w http.ResponseWriter, r *http.Request, n int) bool
	noDigest  bool
	rate      int
}

func newProvider(t *testing.T, size int) *provider {
	t.Helper()
	p := &provider{content: randomBytes(1, size)}
	p.Server = httptest.NewServer(p)
	t.Cleanup(p.Close)
	return p
}

func randomBytes(seed byte, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

func sumOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func reprDigestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
}

func (p *provider) replace(content []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.content = content
}

// slow sets the speed: bytes per 10 ms, 0 = as fast as it goes.
func (p *provider) slow(rate int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rate = rate
}

func (p *provider) speed() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rate
}

func (p *provider) counts() (requests int, served int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.requests, p.served
}

func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.requests++
	n, content, misbehave := p.requests, p.content, p.misbehave
	p.mu.Unlock()
	if r.Header.Get("Authorization") != "Bearer "+token {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	h := w.Header()
	h.Set("ETag", `"`+sumOf(content)+`"`)
	h.Set("Content-Type", "text/csv")
	if !p.noDigest {
		h.Set("Repr-Digest", reprDigestOf(content))
	}
	if misbehave != nil && misbehave(w, r, n) {
		return
	}
	http.ServeContent(&throttled{ResponseWriter: w, p: p, r: r}, r, "", time.Time{}, strings.NewReader(string(content)))
}

// throttled counts what is served and slows it down.
type throttled struct {
	http.ResponseWriter
	p    *provider
	r    *http.Request
	free int // bytes until the next pause
}

func (w *throttled) Write(b []byte) (int, error) {
	written := 0
	for len(b) > 0 {
		n := len(b)
		rate := w.p.speed()
		if rate > 0 {
			if w.free == 0 {
				select {
				case <-time.After(10 * time.Millisecond):
				case <-w.r.Context().Done():
					return written, w.r.Context().Err()
				}
				w.free = rate
			}
			n = min(n, w.free)
			w.free -= n
		}
		m, err := w.ResponseWriter.Write(b[:n])
		written += m
		w.p.mu.Lock()
		w.p.served += int64(m)
		w.p.mu.Unlock()
		if err != nil {
			return written, err
		}
		if rate > 0 {
			_ = http.NewResponseController(w.ResponseWriter).Flush()
		}
		b = b[n:]
	}
	return written, nil
}

type bench struct {
	t        *testing.T
	dir      string
	tenant   *tenant.Tenant
	gateway  *gatewaytest.Gateway
	provider *provider
	handler  *handler
	draining chan struct{}
}

func newBench(t *testing.T, size int) *bench {
	t.Helper()
	dir := t.TempDir()
	b := &bench{t: t, dir: dir, gateway: gatewaytest.New(t), provider: newProvider(t, size), draining: make(chan struct{})}
	b.tenant = &tenant.Tenant{
		ParticipantContextID: pc,
		Buckets:              []tenant.Bucket{{Name: "inbox", URL: "file://" + dir}},
		Sinks:                []tenant.Sink{{Name: "in", Bucket: "inbox"}},
	}
	b.handler = b.newHandler()
	b.plan("in/data.csv", int64(size), sumOf(b.provider.content))
	b.flow(dps.Started)
	b.gateway.SetAddress(pc, flowID, dps.DataAddress{Endpoint: b.provider.URL + "/data/1", EndpointProperties: []dps.EndpointProperty{
		{Name: dps.PropertyAuthorization, Value: token}, {Name: dps.PropertyAuthType, Value: "bearer"},
	}})
	return b
}

// newHandler is what another process would have.
func (b *bench) newHandler() *handler {
	pool := stores.New()
	b.t.Cleanup(pool.Close)
	transport := &http.Transport{DisableKeepAlives: true}
	return &handler{
		mover: mover(b, b.gateway.Client), stores: pool, gateway: b.gateway.Client, provider: providerClient(transport), draining: b.draining, now: time.Now,
		cfg: slices.Config{
			SliceTime: 5 * time.Second, LeaseTime: 2 * time.Second, StallTime: 2 * time.Second, MaxRefusals: 3,
			RefusalPause: time.Millisecond, ErrorPause: time.Millisecond,
		},
	}
}

func (b *bench) Expect(id string) (*tenant.Tenant, error) { return functiontest.Expect(b.tenant, id) }

func (b *bench) plan(key string, size int64, sha256 string) {
	b.t.Helper()
	b.gateway.Put(b.t, pc, gatewayapi.KindDelivery, flowID, gatewayapi.Delivery{
		ID: flowID, DatasetID: "ds", Sink: "in", Key: key, Size: size, SHA256: sha256,
	})
}

func (b *bench) flow(state dps.State) {
	b.gateway.SetFlow(gatewayapi.Flow{
		ParticipantContextID: pc, DataFlowID: flowID, State: state, Role: dps.Consumer, Direction: dps.Pull, Profile: dps.ProfileHTTPPull,
		AgreementID: "agreement", CounterPartyID: "did:web:provider", DatasetID: "ds",
	})
}

func (b *bench) started() *event.Event {
	b.t.Helper()
	e, err := catalogue.New("test", pc, catalogue.DataFlowStarted, flowID, catalogue.DataFlow{
		DataFlowID: flowID, Role: string(dps.Consumer), Direction: string(dps.Pull), DatasetID: "ds",
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return e
}

func (b *bench) delivery() gatewayapi.Delivery {
	b.t.Helper()
	d, _ := gatewaytest.Record[gatewayapi.Delivery](b.t, b.gateway, pc, gatewayapi.KindDelivery, flowID)
	return d
}

// once delivers the started event once.
func (b *bench) once() (*event.Event, error) {
	b.t.Helper()
	return b.handler.Handle(b.t.Context(), b.started())
}

// drive does what a broker does: it delivers again what failed in passing, and delivers replies, until the object is
// delivered, the event is acknowledged without a reply, or it is refused for good.
func (b *bench) drive(h *handler, e *event.Event) (*event.Event, error) {
	b.t.Helper()
	for range 200 {
		reply, err := h.Handle(b.t.Context(), e)
		switch {
		case err != nil && problem.EventStatus(err) < 500:
			return nil, err
		case err != nil:
			b.t.Logf("again: %v", err)
			time.Sleep(10 * time.Millisecond) // a broker's backoff
		case reply == nil || reply.Type() != catalogue.TransferProgressed:
			return reply, nil
		default:
			e = reply
		}
	}
	return nil, fmt.Errorf("no end after 200 deliveries")
}

// arrived checks that the object is there, whole, once, and that everybody knows.
func (b *bench) arrived(reply *event.Event, want []byte) catalogue.Delivered {
	b.t.Helper()
	if reply == nil || reply.Type() != catalogue.ObjectDelivered {
		b.t.Fatalf("reply is %v, want %s", reply, catalogue.ObjectDelivered)
	}
	d, err := catalogue.Data[catalogue.Delivered](reply)
	if err != nil {
		b.t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(b.dir, "in", "data.csv"))
	if err != nil {
		b.t.Fatal(err)
	}
	if sumOf(got) != sumOf(want) {
		b.t.Errorf("%d bytes arrived, digest differs from the %d expected", len(got), len(want))
	}
	if d.SHA256 != sumOf(want) || d.Size != int64(len(want)) {
		b.t.Errorf("told: %+v", d)
	}
	if r := b.delivery(); !r.Done || r.LeaseOwner != "" || r.SHA256 != d.SHA256 {
		b.t.Errorf("record: %+v", r)
	}
	if b.gateway.Completed(flowID) == 0 {
		b.t.Error("the flow was not completed")
	}
	return d
}

// abort cuts the connection after n bytes of the right answer.
func abort(n int) func(w http.ResponseWriter, r *http.Request, content []byte) {
	return func(w http.ResponseWriter, _ *http.Request, content []byte) {
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		_, _ = w.Write(content[:n])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}

// stored is how many bytes have reached the sink, visible or not.
func (b *bench) stored() int64 {
	info, err := os.Stat(filepath.Join(b.dir, objectstore.PartialFile(flowID)))
	if err != nil {
		return 0
	}
	return info.Size()
}
