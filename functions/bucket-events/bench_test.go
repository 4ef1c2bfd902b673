package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/functions/internal/gatewaytest"
	"github.com/tidegate/tidegate/functions/publishing"
	"github.com/tidegate/tidegate/functions/stores"
	"github.com/tidegate/tidegate/shared/function"
	"github.com/tidegate/tidegate/shared/function/functiontest"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/tenant"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	pc     = "provider"
	settle = 60 * time.Millisecond
)

// bench is a tenant with a folder, a gateway and a broker.
type bench struct {
	t       *testing.T
	dir     string
	mu      sync.Mutex
	all     []*tenant.Tenant
	gateway *gatewaytest.Gateway
	broker  *functiontest.Sink
	fn      *functiontest.Function
	parts   *parts
}

func newBench(t *testing.T, edit func(*config)) *bench {
	t.Helper()
	b := &bench{t: t, dir: t.TempDir(), gateway: gatewaytest.New(t)}
	b.all = []*tenant.Tenant{{
		ParticipantContextID: pc,
		Buckets:              []tenant.Bucket{{Name: "outbox", URL: "file://" + b.dir}},
		Policies:             []tenant.Policy{{Name: "open"}},
		Publish:              []tenant.PublishRule{{Name: "all", Bucket: "outbox", Policy: "open", Exclude: []string{"*.log"}}},
	}}
	cfg := config{Settle: settle, SweepEvents: 1000, Concurrency: 4, NotificationKeys: string(spellingForm)}
	if edit != nil {
		edit(&cfg)
	}
	b.fn = functiontest.Start(t, b.gateway.URL, "", nil, func(svc *function.Service) {
		cfg.Config = function.Config{TokenFile: functiontest.TokenFile(t), MaxEventBytes: 1 << 20, Deadline: 5 * time.Second}
		var err error
		if b.parts, err = assemble(cfg, svc, b); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(b.parts.pool.Close)
	})
	b.broker = b.fn.Sink
	return b
}

func (b *bench) Get(id string) (*tenant.Tenant, bool) {
	for _, t := range b.All() {
		if t.ParticipantContextID == id {
			return t, true
		}
	}
	return nil, false
}

func (b *bench) All() []*tenant.Tenant {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.all)
}

func (b *bench) setTenants(all ...*tenant.Tenant) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all = all
}

func (b *bench) tenant() *tenant.Tenant { return b.All()[0] }

// watch runs the watcher until the test ends.
func (b *bench) watch() {
	b.t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	var work sync.WaitGroup
	work.Go(func() {
		if err := b.parts.watcher.run(ctx); err != nil {
			b.t.Error(err)
		}
	})
	b.t.Cleanup(func() { stop(); work.Wait() })
}

func (b *bench) write(key, content string) {
	b.t.Helper()
	file := filepath.Join(b.dir, key)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// writeOld moves a file into the bucket that was left alone long ago. It is there whole, with its age, or not at all: a file that is told before
// it has got its age would be another one afterwards.
func (b *bench) writeOld(key, content string) {
	b.t.Helper()
	file := filepath.Join(b.t.TempDir(), "old")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		b.t.Fatal(err)
	}
	at := time.Now().Add(-time.Hour)
	if err := os.Chtimes(file, at, at); err != nil {
		b.t.Fatal(err)
	}
	to := filepath.Join(b.dir, key)
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.Rename(file, to); err != nil {
		b.t.Fatal(err)
	}
}

// published puts the record there that asset-publisher writes for the object as it is now.
func (b *bench) published(key string, edit func(*gatewayapi.Dataset)) {
	b.t.Helper()
	t := b.tenant()
	pool := stores.New()
	defer pool.Close()
	store, err := pool.Open(b.t.Context(), t, "outbox")
	if err != nil {
		b.t.Fatal(err)
	}
	o, _ := store.Head(b.t.Context(), key)
	rule, _ := publishing.Match(t, "outbox", key)
	d := gatewayapi.Dataset{
		ID: publishing.DatasetID(pc, "outbox", key), Bucket: "outbox", Key: key, StoreETag: o.ETag,
		Terms: publishing.Terms(t, rule, key), PublishedAt: time.Now(),
	}
	if edit != nil {
		edit(&d)
	}
	b.gateway.Put(b.t, pc, gatewayapi.KindDataset, d.ID, d)
}

// told is an event in short: "created a.txt".
func (b *bench) told() []string {
	b.t.Helper()
	short := map[string]string{catalogue.ObjectCreated: "created ", catalogue.ObjectChanged: "changed ", catalogue.ObjectRemoved: "removed "}
	var list []string
	for _, e := range b.broker.Events() {
		o, err := catalogue.Data[catalogue.Object](&e)
		if err != nil {
			b.t.Fatal(err)
		}
		if who, err := catalogue.ParticipantContextID(&e); err != nil || (who != pc && who != "second") {
			b.t.Errorf("event of %q, %v", who, err)
		}
		list = append(list, short[e.Type()]+o.Key)
	}
	return list
}

// waitFor waits for n different events and returns them in the order in which they came first: a sweep may tell again what
// the watcher has told, under the same id.
func (b *bench) waitFor(n int) []string {
	b.t.Helper()
	var list []string
	wait(b.t, "enough is told", func() bool {
		list = nil
		for _, s := range b.told() {
			if !slices.Contains(list, s) {
				list = append(list, s)
			}
		}
		return len(list) >= n
	})
	return list
}

func (b *bench) sweep() error {
	return b.sweeper().sweep(zerolog.New(zerolog.NewTestWriter(b.t)).WithContext(b.t.Context()))
}

func (b *bench) sweeper() *sweeper { return b.parts.sweeper }
