package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/shared/tenant"
)

func watching(c *config) { c.Watch = true }

func TestFilesThatAppearAreTold(t *testing.T) {
	b := newBench(t, watching)
	b.writeOld("before.txt", "was there before we started")
	b.watch()
	b.waitFor(1)
	b.write("a.txt", "a")
	b.waitFor(2)
	b.write("deep/er/b ü+%.txt", "b") // folders made a moment ago
	b.waitFor(3)
	b.write("x.part", "unfinished")
	b.write(".hidden/c.txt", "hidden")
	b.write("server.log", "excluded")
	if err := os.Rename(filepath.Join(b.dir, "x.part"), filepath.Join(b.dir, "x.txt")); err != nil {
		t.Fatal(err)
	}
	b.waitFor(4)
	b.write("a.txt", "another a")
	b.waitFor(5)
	if err := os.Remove(filepath.Join(b.dir, "a.txt")); err != nil {
		t.Fatal(err)
	}
	want := []string{"created before.txt", "created a.txt", "created deep/er/b ü+%.txt", "created x.txt", "changed a.txt", "removed a.txt"}
	if diff := cmp.Diff(want, b.waitFor(6)); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}

func TestAFileThatIsWrittenSlowlyIsToldOnce(t *testing.T) {
	const settle = 500 * time.Millisecond
	b := newBench(t, func(c *config) { c.Watch, c.Settle = true, settle })
	b.watch()
	f, err := os.Create(filepath.Join(b.dir, "slow.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for range 12 { // in all several times as long as it takes to settle
		if _, err := f.WriteString("line\n"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(settle / 5)
	}
	if early := b.told(); len(early) != 0 {
		t.Errorf("told while it was written: %v", early)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	b.waitFor(1)
	b.write("marker.txt", "the end")
	if diff := cmp.Diff([]string{"created slow.txt", "created marker.txt"}, b.waitFor(2)); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}

func TestFoldersThatMove(t *testing.T) {
	b := newBench(t, watching)
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "in.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	b.watch()
	if err := os.Rename(outside, filepath.Join(b.dir, "moved")); err != nil {
		t.Fatal(err)
	}
	b.waitFor(1)
	b.published("moved/in.txt", nil)
	if err := os.Rename(filepath.Join(b.dir, "moved"), filepath.Join(b.dir, "again")); err != nil {
		t.Fatal(err)
	}
	got := b.waitFor(3)
	slices.Sort(got)
	if diff := cmp.Diff([]string{"created again/in.txt", "created moved/in.txt", "removed moved/in.txt"}, got); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
	b.published("again/in.txt", nil)
	b.write("again/new.txt", "x") // the folder is watched under its new name
	wait(t, "the new file is told", func() bool { return slices.Contains(b.told(), "created again/new.txt") })
}

func TestTheBucketsFolderComesAndGoes(t *testing.T) {
	const settle = 500 * time.Millisecond // what is told has its record by then
	b := newBench(t, func(c *config) { c.Watch, c.Settle = true, settle })
	away := b.dir + "-away"
	if err := os.Rename(b.dir, away); err != nil {
		t.Fatal(err)
	}
	b.watch()
	if err := os.Mkdir(b.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	b.writeOld("a.txt", "a")
	b.waitFor(1)
	b.published("a.txt", nil)
	if err := os.Rename(b.dir, b.dir+"-gone"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(3 * settle) // time to tell a removal, which would be wrong
	if err := os.Rename(b.dir+"-gone", b.dir); err != nil {
		t.Fatal(err)
	}
	b.writeOld("b.txt", "b")
	if diff := cmp.Diff([]string{"created a.txt", "created b.txt"}, b.waitFor(2)); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}

func TestTenantsThatComeWhileWeWatch(t *testing.T) {
	b := newBench(t, watching)
	b.watch()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "old.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	b.setTenants(b.tenant(), &tenant.Tenant{
		ParticipantContextID: "second", Buckets: []tenant.Bucket{{Name: "out", URL: "file://" + dir}},
		Policies: []tenant.Policy{{Name: "open"}}, Publish: []tenant.PublishRule{{Name: "r", Bucket: "out", Policy: "open"}},
	})
	b.parts.watcher.tenantsChanged()
	b.waitFor(1)
	if err := os.WriteFile(filepath.Join(dir, "new.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	b.waitFor(2)
	b.setTenants(b.tenant())
	b.parts.watcher.tenantsChanged()
	b.write("first.txt", "x")
	if diff := cmp.Diff([]string{"created old.txt", "created new.txt", "created first.txt"}, b.waitFor(3)); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}

func TestNothingIsLostWhileTheBrokerIsDown(t *testing.T) {
	b := newBench(t, watching)
	b.broker.Answer(503, 503, 503, 503, 503, 503)
	b.watch()
	for _, key := range []string{"a.txt", "b.txt", "c.txt", "d.txt", "e.txt", "f.txt", "g.txt"} {
		b.write(key, key)
	}
	got := b.waitFor(7)
	slices.Sort(got)
	if len(slices.Compact(got)) != 7 {
		t.Errorf("told %v", got)
	}
}

func TestSettler(t *testing.T) {
	at := func(ms int) time.Time { return time.UnixMilli(int64(ms)) }
	s := newSettler(100*time.Millisecond, 2)
	a, c := place{pc, "b", "a"}, place{pc, "b", "c"}
	s.touch(change{place: a, created: true, last: at(0)})
	s.touch(change{place: a, last: at(90)})
	if got := s.due(at(100), 9); len(got) != 0 {
		t.Errorf("due too early: %v", got)
	}
	got := s.due(at(190), 9)
	if len(got) != 1 || !got[0].created {
		t.Fatalf("due: %v; want it, as created", got)
	}
	s.touch(change{place: a, last: at(200)})
	if got := s.due(at(900), 9); len(got) != 0 {
		t.Errorf("told a second time while it is being told: %v", got)
	}
	s.done(a)
	if got := s.due(at(900), 0); len(got) != 0 {
		t.Errorf("more than asked for: %v", got)
	}
	if got := s.due(at(900), 1); len(got) != 1 {
		t.Errorf("due after the first telling: %v", got)
	}
	if !s.touch(change{place: a}) || !s.touch(change{place: c}) || s.touch(change{place: place{pc, "b", "d"}}) || !s.touch(change{place: c}) {
		t.Error("the limit of what waits does not hold")
	}
}

func wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("gave up waiting until %s", what)
		}
	}
}
