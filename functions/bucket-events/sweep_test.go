package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/functions/internal/gatewaytest"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/objectstore"
	"github.com/tidegate/tidegate/shared/objectstore/objectstoretest"
	"github.com/tidegate/tidegate/shared/tenant"
)

func TestTheSweepTellsTheDifferences(t *testing.T) {
	b := newBench(t, nil)
	for _, key := range []string{"a.txt", "a/new.txt", "a/same.txt", "b.txt", "changed.txt", "half.txt", "ü 1+1%.txt", "terms.txt", "back.txt", "server.log", ".hidden", "x.tmp", "in/.git/x", "unruled.log"} {
		b.writeOld(key, key)
	}
	b.parts.sweeper.settle = time.Minute
	b.write("young.txt", "still being written")
	b.published("a/same.txt", nil)
	b.published("changed.txt", func(d *gatewayapi.Dataset) { d.StoreETag = "older" })
	b.published("terms.txt", func(d *gatewayapi.Dataset) { d.Terms = "older" })
	b.published("half.txt", func(d *gatewayapi.Dataset) { d.PublishedAt = time.Time{} })
	b.published("back.txt", func(d *gatewayapi.Dataset) { d.Withdrawn = true })
	b.published("gone-1.txt", nil)
	b.published("zz-gone-2.txt", nil)
	b.published("gone-half.txt", func(d *gatewayapi.Dataset) { d.Withdrawn = true })
	b.published("gone-done.txt", func(d *gatewayapi.Dataset) { d.Withdrawn, d.PublishedAt = true, time.Time{} })
	b.published("unruled.log", nil)
	b.published("elsewhere.txt", func(d *gatewayapi.Dataset) { d.Bucket, d.ID = "unpublished-bucket", "x" })

	if err := b.sweep(); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"changed changed.txt", "changed half.txt", "changed terms.txt",
		"created a.txt", "created a/new.txt", "created b.txt", "created back.txt", "created ü 1+1%.txt",
		"removed elsewhere.txt", "removed gone-1.txt", "removed gone-half.txt", "removed unruled.log", "removed zz-gone-2.txt",
	}
	got := b.told()
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}

	ids := func() []string {
		var list []string
		for _, e := range b.broker.Events() {
			list = append(list, e.ID())
		}
		slices.Sort(list)
		return list
	}
	before := ids()
	if err := b.sweep(); err != nil {
		t.Fatal(err)
	}
	if after := slices.Compact(ids()); !slices.Equal(before, after) {
		t.Errorf("a second sweep tells the same under other ids: %d ids became %d", len(before), len(after))
	}
}

func TestWhatIsPublishedIsNotToldAgain(t *testing.T) {
	b := newBench(t, nil)
	for i := range 20 {
		key := fmt.Sprintf("%d/%d.txt", i%3, i)
		b.writeOld(key, key)
		b.published(key, nil)
	}
	if err := b.sweep(); err != nil || len(b.told()) != 0 {
		t.Errorf("%v, told %v", err, b.told())
	}
}

func TestABucketThatCantBeReadIsNotEmpty(t *testing.T) {
	b := newBench(t, nil)
	b.writeOld("a.txt", "a")
	b.published("a.txt", nil)
	if err := os.Rename(b.dir, b.dir+"-unmounted"); err != nil {
		t.Fatal(err)
	}
	second := &tenant.Tenant{
		ParticipantContextID: "second", Buckets: []tenant.Bucket{{Name: "out", URL: "file://" + t.TempDir()}},
		Policies: []tenant.Policy{{Name: "open"}}, Publish: []tenant.PublishRule{{Name: "r", Bucket: "out", Policy: "open"}},
	}
	dir, _ := folderOf(second.Buckets[0].URL)
	file := filepath.Join(dir, "b.txt")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(file, old, old); err != nil {
		t.Fatal(err)
	}
	b.setTenants(b.tenant(), second)
	if err := b.sweep(); err == nil {
		t.Error("no failure was told")
	}
	if diff := cmp.Diff([]string{"created b.txt"}, b.told()); diff != "" {
		t.Errorf("one tenant's failure reaches another, or a lost folder looks empty (-want +got):\n%s", diff)
	}
}

func TestASweepTellsNoMoreThanItsShare(t *testing.T) {
	b := newBench(t, func(c *config) { c.SweepEvents = 3 })
	for i := range 8 {
		b.writeOld(fmt.Sprintf("%d.txt", i), "x")
	}
	told := map[string]bool{}
	for range 3 {
		_ = b.sweep() // says that there is more
		for _, s := range b.told() {
			key := s[len("created "):]
			if !told[key] {
				told[key] = true
				b.published(key, nil)
			}
		}
	}
	if len(told) != 8 {
		t.Errorf("after three sweeps %d of 8 are told", len(told))
	}
}

func TestTheSweepOfAnS3Bucket(t *testing.T) {
	b := newBench(t, func(c *config) { c.Settle = 0 })
	b.tenant().Buckets[0] = objectstoretest.StartS3(t).Bucket(t, "outbox")
	store, err := objectstore.Open(t.Context(), b.tenant().Buckets[0])
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	for _, key := range []string{"a.txt", "a/b.txt", "same.txt", "ü 1+1%.txt", "x.tmp"} {
		if _, err := store.Put(t.Context(), key, "text/plain", strings.NewReader(key)); err != nil {
			t.Fatal(err)
		}
	}
	b.published("same.txt", nil)
	b.published("a-gone.txt", nil)
	if err := b.sweep(); err != nil {
		t.Fatal(err)
	}
	got := b.told()
	slices.Sort(got)
	if diff := cmp.Diff([]string{"created a.txt", "created a/b.txt", "created ü 1+1%.txt", "removed a-gone.txt"}, got); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}

func TestTheSchedule(t *testing.T) {
	b := newBench(t, nil)
	b.writeOld("a.txt", "a")
	tick := func(schedule string) *event.Event {
		e := event.New()
		e.SetID("1")
		e.SetType(catalogue.Schedule)
		e.SetSource("/apis/v1/namespaces/default/pingsources/sweep")
		if schedule != "" {
			e.SetExtension(catalogue.ExtSchedule, schedule)
		}
		return &e
	}
	if status, reply := b.fn.Send(t, tick(catalogue.ScheduleSweep)); status != 204 || reply != nil || len(b.waitFor(1)) != 1 {
		t.Errorf("status %d, reply %v", status, reply)
	}
	if status, _ := b.fn.Send(t, tick(catalogue.ScheduleSupply)); status != 422 {
		t.Errorf("another function's schedule: status %d, want 422", status)
	}
	b.gateway.Fail(func(string, string) gatewaytest.Fault { return gatewaytest.Before })
	if status, _ := b.fn.Send(t, tick(catalogue.ScheduleSweep)); status != 204 {
		t.Errorf("with the gateway down: status %d, want 204, since the next tick tries again", status)
	}
}

func TestCommonPrefix(t *testing.T) {
	for want, prefixes := range map[string][]string{"": {"a/", "b/"}, "in/": {"in/x", "in/y"}, "in/x": {"in/x"}, "i": {"in/", "in/a", "i"}} {
		ten := &tenant.Tenant{}
		for _, p := range prefixes {
			ten.Publish = append(ten.Publish, tenant.PublishRule{Bucket: "b", Prefix: p}, tenant.PublishRule{Bucket: "other", Prefix: "zz"})
		}
		if got, any := commonPrefix(ten, "b"); got != want || !any {
			t.Errorf("%v: %q, want %q", prefixes, got, want)
		}
	}
	if _, any := commonPrefix(&tenant.Tenant{}, "b"); any {
		t.Error("a bucket without a rule is listed")
	}
}
