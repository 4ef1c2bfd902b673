package main

import (
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/management"
	"github.com/tidegate/tidegate/shared/tenant"
)

func TestEveryDatasetHasASafeKeyOfItsOwn(t *testing.T) {
	long := strings.Repeat("x", maxSegment)
	for _, tt := range []struct {
		name  string
		names []string // in the order of the datasets' ids
		want  []string // "" = a name made of the id
	}{
		{"names that differ", []string{"a.csv", "b/a.csv"}, []string{"a.csv", "b/a.csv"}},
		{"umlauts, spaces, plus and percent", []string{"März 1+1%.csv"}, []string{"März 1+1%.csv"}},
		{"the same name twice", []string{"a.csv", "a.csv"}, []string{"a.csv", "a~"}},
		{"the same name three times", []string{"a", "a", "a"}, []string{"a", "a~", "a~"}},
		{"a file where another has a folder", []string{"a/b.csv", "a"}, []string{"a/b.csv", "a~"}},
		{"a folder where another has a file", []string{"a", "a/b.csv"}, []string{"a", "dataset-"}},
		{"out of the sink", []string{"../../etc/passwd"}, []string{"dataset-"}},
		{"absolute", []string{"/etc/passwd.csv"}, []string{"dataset-"}},
		{"a backslash", []string{`..\a.csv`}, []string{"dataset-"}},
		{"a control character", []string{"a\n.csv"}, []string{"dataset-"}},
		{"an extension that is none", []string{"../a.c/v"}, []string{"dataset-"}},
		{"too long for a file system", []string{long, long + "y"}, []string{long, "dataset-"}},
		{"no name", []string{""}, []string{"id-0"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n, sink := newNames(), tenant.Sink{Name: "in", Bucket: "b", Prefix: "p/"}
			seen := map[string]bool{}
			for i, name := range tt.names {
				d := &management.Dataset{ID: "id-" + string(rune('0'+i)), Properties: map[string]any{"name": name}}
				got := n.of(sink, d, gatewayapi.SupplyID("s", d.ID), "")
				if !strings.HasPrefix(got, tt.want[i]) {
					t.Errorf("%q is named %q, want %q", name, got, tt.want[i])
				}
				if seen[got] || !isKey(sink.Prefix+got) {
					t.Errorf("%q is no key of its own", got)
				}
				seen[got] = true
				if again := n.of(sink, d, gatewayapi.SupplyID("s", d.ID), got); again != got {
					t.Errorf("%q becomes %q at the next look", got, again)
				}
			}
		})
	}
}

func TestTwoSubscriptionsWithOneSinkDoNotOverwriteEachOther(t *testing.T) {
	b := newBench(t)
	second := b.tenant.Subscribe[0]
	second.Name, second.Filter = "weather-2", "dataset.id == 'd2'"
	b.tenant.Subscribe[0].Filter = "dataset.id == 'd1'"
	b.tenant.Subscribe = append(b.tenant.Subscribe, second)
	b.offer(dataset("d1", "berlin.csv", "one"), dataset("d2", "berlin.csv", "two"))
	b.tick(0)
	b.conclude()
	b.tick(time.Minute)
	keys := map[string]bool{}
	for _, tp := range b.plane.Transfers() {
		keys[b.plan(tp.ID).Key] = true
	}
	if len(keys) != 2 || !keys["weather/berlin.csv"] {
		t.Errorf("two datasets are delivered to %v", keys)
	}
}

func TestACatalogThatNamesADatasetTwice(t *testing.T) {
	b := newBench(t)
	b.plane.Offer(dataset("d1", "berlin.csv", "one"), dataset("d1", "berlin.csv", "two"))
	b.content["d1"] = digest("one")
	b.supplied("d1")
	for range 3 {
		b.tick(time.Minute)
	}
	if n := len(b.plane.Transfers()); n != 1 {
		t.Errorf("it is transferred %d times", n)
	}
}

func TestVersionOf(t *testing.T) {
	for _, tt := range []struct {
		name       string
		properties map[string]any
		want       string
	}{
		{"a digest", map[string]any{"sha256": digest("x"), "version": "1"}, digest("x")},
		{"a digest in capitals", map[string]any{"sha256": strings.ToUpper(digest("x"))}, digest("x")},
		{"no digest", map[string]any{"version": 2.0, "modified": "2026"}, "2"},
		{"only a time", map[string]any{"modified": "2026-11-24"}, "2026-11-24"},
		{"nothing", nil, "unversioned"},
		{"something endless", map[string]any{"version": strings.Repeat("é", 1000)}, strings.Repeat("é", maxVersion/2)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := versionOf(&management.Dataset{Properties: tt.properties}); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestEachSubscriptionHasItsPace(t *testing.T) {
	day := 24 * time.Hour
	noon := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	p := newPace()
	step := func(after, every time.Duration, want look, complete bool) {
		t.Helper()
		got := p.begin("s", every, noon.Add(after))
		if got != want {
			t.Errorf("after %v: look is %d, want %d", after, got, want)
		}
		if got == nothing {
			return
		}
		if p.begin("s", every, noon.Add(after+day)) != nothing {
			t.Errorf("after %v: a second look begins while one runs", after)
		}
		p.end("s", got, every, complete)
	}
	step(0, day, catalog, false)
	step(10*time.Second, day, nothing, true)
	step(30*time.Second, day, catalog, true) // the first one was not complete
	step(50*time.Second, day, nothing, true)
	step(60*time.Second, day, records, true)
	step(90*time.Second, day, records, false)
	step(30*time.Second+day, day, catalog, true)
	step(40*time.Second+day, 5*time.Second, catalog, true) // the document says another pace now
	step(time.Minute+day, 0, nothing, true)
	step(70*time.Second+day, 0, catalog, true)
}

func TestWhatFailedIsTriedAgainThoughTheCatalogIsLookedAtOnceADay(t *testing.T) {
	b := newBench(t)
	b.tenant.Subscribe[0].Every = tenant.Duration(24 * time.Hour)
	b.offer(dataset("d1", "berlin.csv", "one"), dataset("d2", "bonn.csv", "one"))
	b.tick(0)
	b.plane.SetNegotiation(b.supply("d1").NegotiationID, "TERMINATED", "not now")
	b.tick(time.Minute) // notes it
	b.tick(time.Minute)
	if r := b.supply("d1"); r.State != gatewayapi.SupplyNegotiating || len(b.plane.Negotiations()) != 3 {
		t.Errorf("two minutes later the record is %+v", r)
	}
	b.conclude() // and no event tells of it
	b.tick(time.Minute)
	if r := b.supply("d2"); r.State != gatewayapi.SupplyTransferring {
		t.Errorf("the event was lost and the record is %+v", r)
	}
	b.offer(dataset("d1", "berlin.csv", "one"), dataset("d2", "bonn.csv", "one"), dataset("d3", "ulm.csv", "one"))
	b.tick(time.Minute)
	if r := b.supply("d3"); r.State != "" {
		t.Error("the catalog was looked at again although a day has not passed")
	}
	b.tick(24 * time.Hour)
	if r := b.supply("d3"); r.State != gatewayapi.SupplyNegotiating {
		t.Error("the catalog was not looked at after a day")
	}
}
