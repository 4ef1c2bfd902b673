package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/functions/internal/gatewaytest"
	"github.com/tidegate/tidegate/functions/publishing"
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
	pc     = "provider"
	flowID = "provider-flow-1"
	token  = "the-flow's-token"
)

// endpoint is a consumer's. It keeps what a broken push has brought and tells by HEAD how much that is, unless it is plain.
type endpoint struct {
	*httptest.Server
	plain bool
	rate  time.Duration // pause after each read

	busy      sync.Mutex
	mu        sync.Mutex
	content   []byte
	digest    string
	complete  bool
	stored    int // times that all was there
	puts      int
	received  int64 // bytes in all, lost ones too
	ranges    []string
	misbehave func(w http.ResponseWriter, r *http.Request, put int) bool // true: it has answered
}

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer "+token {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	e.mu.Lock()
	if r.Method == http.MethodPut {
		e.puts++
		e.ranges = append(e.ranges, r.Header.Get("Content-Range"))
	}
	n, misbehave := e.puts, e.misbehave
	e.mu.Unlock()
	if misbehave != nil && misbehave(w, r, n) {
		return
	}
	if !e.busy.TryLock() { // a push that broke is still being taken in
		w.WriteHeader(http.StatusTooManyRequests)
		return
	}
	defer e.busy.Unlock()
	if r.Method == http.MethodHead {
		if e.plain {
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		e.progress(w)
		return
	}
	e.mu.Lock()
	if start, _, _ := strings.Cut(strings.TrimPrefix(r.Header.Get("Content-Range"), "bytes "), "-"); start != strconv.Itoa(len(e.content)) {
		e.content = nil
	}
	e.digest, e.complete = r.Header.Get("Repr-Digest"), false
	e.mu.Unlock()
	if err := e.read(r.Body); err != nil {
		return
	}
	e.mu.Lock()
	e.complete = true
	e.stored++
	e.mu.Unlock()
	if e.plain {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	e.progress(w)
}

// read takes a body in; nil if it has come to its end.
func (e *endpoint) read(body io.Reader) error {
	buf := make([]byte, 64<<10)
	for {
		n, err := body.Read(buf)
		e.mu.Lock()
		e.content = append(e.content, buf[:n]...)
		e.received += int64(n)
		e.mu.Unlock()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		time.Sleep(e.pause())
	}
}

func (e *endpoint) progress(w http.ResponseWriter) {
	e.mu.Lock()
	defer e.mu.Unlock()
	w.Header().Set("Upload-Offset", strconv.Itoa(len(e.content)))
	w.Header().Set("Upload-Complete", map[bool]string{false: "?0", true: "?1"}[e.complete])
	if e.digest != "" {
		w.Header().Set("Repr-Digest", e.digest)
	}
}

// slow sets the pause after each read.
func (e *endpoint) slow(d time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.rate = d
}

func (e *endpoint) pause() time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.rate
}

func (e *endpoint) counts() (puts int, received int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.puts, e.received
}

type bench struct {
	t        *testing.T
	dir      string
	content  []byte
	dataset  string
	tenant   *tenant.Tenant
	gateway  *gatewaytest.Gateway
	consumer *endpoint
	handler  *handler
	draining chan struct{}
}

func newBench(t *testing.T, size int) *bench {
	t.Helper()
	b := &bench{t: t, dir: t.TempDir(), gateway: gatewaytest.New(t), consumer: &endpoint{}, draining: make(chan struct{})}
	b.consumer.Server = httptest.NewServer(b.consumer)
	t.Cleanup(b.consumer.Close)
	b.dataset = publishing.DatasetID(pc, "outbox", "data.csv")
	b.tenant = &tenant.Tenant{ParticipantContextID: pc, Buckets: []tenant.Bucket{{Name: "outbox", URL: "file://" + b.dir}}}
	pool := stores.New()
	t.Cleanup(pool.Close)
	b.handler = &handler{
		mover: mover(b, b.gateway.Client), stores: pool, gateway: b.gateway.Client, consumer: consumerClient(&http.Transport{DisableKeepAlives: true, ExpectContinueTimeout: time.Second}),
		draining: b.draining, now: time.Now,
		cfg: slices.Config{
			SliceTime: 5 * time.Second, LeaseTime: 2 * time.Second, StallTime: 2 * time.Second, MaxRefusals: 3,
			RefusalPause: time.Millisecond, ErrorPause: time.Millisecond,
		},
	}
	b.content = make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b.content)
	b.publish(b.content)
	b.flow(dps.Started)
	b.gateway.SetAddress(pc, flowID, *dps.NewBearerAddress(dps.ProfileHTTPPush, b.consumer.URL+"/ingest/1", token))
	return b
}

func (b *bench) Expect(id string) (*tenant.Tenant, error) { return functiontest.Expect(b.tenant, id) }

// publish writes the object and registers it as the dataset.
func (b *bench) publish(content []byte) {
	b.t.Helper()
	if err := os.WriteFile(filepath.Join(b.dir, "data.csv"), content, 0o600); err != nil {
		b.t.Fatal(err)
	}
	store, err := objectstore.Open(b.t.Context(), b.tenant.Buckets[0])
	if err != nil {
		b.t.Fatal(err)
	}
	defer store.Close()
	o, err := store.Head(b.t.Context(), "data.csv")
	if err != nil {
		b.t.Fatal(err)
	}
	b.gateway.Put(b.t, pc, gatewayapi.KindDataset, b.dataset, gatewayapi.Dataset{
		ID: b.dataset, Bucket: "outbox", Key: "data.csv", Size: o.Size, SHA256: sumOf(content), StoreETag: o.ETag, ContentType: "text/csv",
	})
}

func sumOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func (b *bench) flow(state dps.State) {
	b.gateway.SetFlow(gatewayapi.Flow{
		ParticipantContextID: pc, DataFlowID: flowID, State: state, Role: dps.Provider, Direction: dps.Push, Profile: dps.ProfileHTTPPush,
		AgreementID: "agreement", CounterPartyID: "did:web:consumer", DatasetID: b.dataset,
	})
}

func event1(t *testing.T, id string) *event.Event {
	t.Helper()
	e, err := catalogue.New("test", pc, catalogue.DataFlowStarted, "x", catalogue.DataFlow{DataFlowID: id, Role: "PROVIDER", Direction: "PUSH"})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func (b *bench) started() *event.Event { return event1(b.t, flowID) }

func (b *bench) push() gatewayapi.Push {
	b.t.Helper()
	d, _ := gatewaytest.Record[gatewayapi.Push](b.t, b.gateway, pc, gatewayapi.KindPush, flowID)
	return d
}

// drive does what a broker does: it delivers again what failed in passing, and delivers replies. It returns the number of slices.
func (b *bench) drive() (replies int, _ error) {
	b.t.Helper()
	e := b.started()
	for range 200 {
		reply, err := b.handler.Handle(b.t.Context(), e)
		switch {
		case err != nil && problem.EventStatus(err) < 500:
			return replies, err
		case err != nil:
			b.t.Logf("again: %v", err)
			time.Sleep(10 * time.Millisecond) // a broker's backoff
		case reply == nil:
			return replies, nil
		default:
			e = reply
			replies++
		}
	}
	return replies, fmt.Errorf("no end after 200 deliveries")
}

// arrived asserts that the consumer has it all, once, and that the flow was completed.
func (b *bench) arrived() {
	b.t.Helper()
	b.consumer.mu.Lock()
	defer b.consumer.mu.Unlock()
	if sumOf(b.consumer.content) != sumOf(b.content) || !b.consumer.complete || b.consumer.stored != 1 {
		b.t.Errorf("the consumer has %d bytes of %d, complete %v, %d times", len(b.consumer.content), len(b.content), b.consumer.complete, b.consumer.stored)
	}
	if n := b.gateway.Completed(flowID); n == 0 {
		b.t.Error("the flow was not completed")
	}
	if e := b.gateway.Errored(flowID); len(e) > 0 {
		b.t.Errorf("the flow was given up: %v", e)
	}
	if p := b.push(); !p.Done || p.LeaseOwner != "" || p.Offset != int64(len(b.content)) {
		b.t.Errorf("the record: %+v", p)
	}
}
