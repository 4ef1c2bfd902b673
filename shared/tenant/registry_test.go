package tenant_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

func open(t *testing.T, dir string, v ...tenant.Validator) *tenant.Registry {
	t.Helper()
	r, err := tenant.Open(dir, zerolog.Nop(), v...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func reload(t *testing.T, r *tenant.Registry) bool {
	t.Helper()
	changed, err := r.Reload()
	if err != nil {
		t.Fatal(err)
	}
	return changed
}

func ids(r *tenant.Registry) string {
	var out []string
	for _, t := range r.All() {
		out = append(out, t.ParticipantContextID+"="+t.BPN)
	}
	return strings.Join(out, " ")
}

// with is a good document whose BPN tells its version.
func with(id, bpn string) string {
	return strings.Replace(document(id), "BPNL1", strconv.Quote(bpn), 1)
}

func problems(r *tenant.Registry) []string {
	var out []string
	for _, err := range r.Problems() {
		out = append(out, filepath.Base(err.Error()[:strings.IndexByte(err.Error(), ':')]))
	}
	return out
}

func TestABrokenDocumentStopsNoOtherTenant(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.yaml", "participantContextId: [\n")
	write(t, dir, "b.yaml", with("b", "1"))
	write(t, dir, "notes.txt", "no tenant")
	write(t, dir, ".hidden.yaml", "no tenant")
	r := open(t, dir)
	if got := ids(r); got != "b=1" {
		t.Errorf("in force: %s", got)
	}
	if diff := cmp.Diff([]string{"a.yaml"}, problems(r)); diff != "" {
		t.Errorf("problems -want +got:\n%s", diff)
	}
	if _, ok := r.Get("a"); ok {
		t.Error("a broken tenant is in force")
	}
}

func TestTheLastGoodVersionStaysInForce(t *testing.T) {
	dir := t.TempDir()
	file := write(t, dir, "a.yaml", with("a", "1"))
	r := open(t, dir)
	first, _ := r.Get("a")

	for _, broken := range []string{"", "a: [", with("a", "2") + "unknown: 1\n"} {
		write(t, dir, "a.yaml", broken)
		if !reload(t, r) {
			t.Errorf("%q changed nothing", broken)
		}
		if now, ok := r.Get("a"); !ok || now != first || len(r.Problems()) != 1 {
			t.Errorf("with %q: %v, problems %v", broken, now, r.Problems())
		}
	}
	if reload(t, r) {
		t.Error("a document that is as broken as before is a change")
	}
	write(t, dir, "a.yaml", with("a", "3"))
	reload(t, r)
	if got := ids(r); got != "a=3" || len(r.Problems()) != 0 {
		t.Errorf("after the repair: %s, problems %v", got, r.Problems())
	}
	if first.BPN != "1" {
		t.Error("a tenant that was read has changed under its reader")
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if !reload(t, r) {
		t.Error("a removed document is no change")
	}
	if _, ok := r.Get("a"); ok || len(r.All()) != 0 {
		t.Error("a tenant without a document is in force")
	}
}

func TestASuspendedTenantIsLikeAnUnknownOne(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.yaml", with("a", "1")+"suspended: true\n")
	r := open(t, dir)
	if _, ok := r.Get("a"); ok || len(r.All()) != 0 || len(r.Problems()) != 0 {
		t.Errorf("in force: %s, problems %v", ids(r), r.Problems())
	}
}

func TestATenantThatIsNotInForceIsKnown(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.yaml", with("suspended", "1")+"suspended: true\n")
	write(t, dir, "b.yaml", "participantContextId: \"broken\" # from the start\ndid: [\n")
	write(t, dir, "c.yaml", with("good", "1"))
	r := open(t, dir)
	for pc, want := range map[string]bool{"suspended": true, "broken": true, "good": true, "stranger": false, "": false} {
		if got := r.Known(pc); got != want {
			t.Errorf("%q is known: %v", pc, got)
		}
	}
	if err := os.Remove(filepath.Join(dir, "a.yaml")); err != nil {
		t.Fatal(err)
	}
	reload(t, r)
	if r.Known("suspended") {
		t.Error("a tenant whose document is gone is known")
	}
}

func TestTwoDocumentsOfOneParticipant(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "b.yaml", with("x", "first"))
	r := open(t, dir)
	write(t, dir, "a.yaml", with("x", "second"))
	reload(t, r)
	if got := ids(r); got != "x=first" {
		t.Errorf("in force: %s, want the one that was there", got)
	}
	if diff := cmp.Diff([]string{"a.yaml", "b.yaml"}, problems(r)); diff != "" {
		t.Errorf("problems -want +got:\n%s", diff)
	}
	want := filepath.Join(dir, "a.yaml") + `:1: participantContextId: "x" is claimed by ` + filepath.Join(dir, "b.yaml") + " too; until one of them gives way, what is in force stays"
	if got := r.Problems()[0].Error(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	write(t, dir, "b.yaml", with("x", "changed"))
	reload(t, r)
	if got := ids(r); got != "x=first" {
		t.Errorf("in force while both claim it: %s", got)
	}
	if err := os.Remove(filepath.Join(dir, "a.yaml")); err != nil {
		t.Fatal(err)
	}
	reload(t, r)
	if got := ids(r); got != "x=changed" || len(r.Problems()) != 0 {
		t.Errorf("after one gave way: %s, problems %v", got, r.Problems())
	}
}

func TestAtTheStartTheFirstFileOfTwoIsTaken(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "b.yaml", with("x", "b"))
	write(t, dir, "a.yaml", with("x", "a"))
	r := open(t, dir)
	if got := ids(r); got != "x=a" || len(r.Problems()) != 2 {
		t.Errorf("in force: %s, problems %v", got, r.Problems())
	}
	if _, err := tenant.OpenStrict(dir); err == nil {
		t.Error("OpenStrict took a clash")
	}
}

func TestADataPlaneIDIsClaimedToo(t *testing.T) {
	dir := t.TempDir()
	same := func(id string) string {
		return strings.Replace(document(id), "  signaling:\n", "  signaling:\n    dataplaneId: shared\n", 1)
	}
	write(t, dir, "a.yaml", same("a"))
	write(t, dir, "b.yaml", same("b"))
	r := open(t, dir)
	if got := ids(r); got != "a=BPNL1" {
		t.Errorf("in force: %s", got)
	}
	if len(r.Problems()) != 2 || !strings.Contains(r.Problems()[1].Error(), ":7: controlPlane.signaling.dataplaneId") {
		t.Errorf("problems: %v", r.Problems())
	}
}

// Whatever is written to the folder, no two tenants in force share a claim, and what is in force was a good version.
func TestNoTwoTenantsInForceShareAClaim(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir := t.TempDir()
		r, err := tenant.Open(dir, zerolog.Nop())
		if err != nil {
			rt.Fatal(err)
		}
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			for range rapid.IntRange(1, 3).Draw(rt, "writes") {
				file := filepath.Join(dir, rapid.SampledFrom([]string{"a.yaml", "b.yaml", "c.yaml"}).Draw(rt, "file"))
				switch rapid.IntRange(0, 4).Draw(rt, "what") {
				case 0:
					_ = os.Remove(file)
				case 1:
					_ = os.WriteFile(file, []byte("x: ["), 0o600)
				default:
					id := rapid.SampledFrom([]string{"x", "y", "z"}).Draw(rt, "id")
					plane := rapid.SampledFrom([]string{"", "p"}).Draw(rt, "plane")
					doc := document(id)
					if plane != "" {
						doc = strings.Replace(doc, "  signaling:\n", "  signaling:\n    dataplaneId: p\n", 1)
					}
					_ = os.WriteFile(file, []byte(doc), 0o600)
				}
			}
			before := map[string]bool{}
			for _, tn := range r.All() {
				before[tn.File()] = true
			}
			if _, err := r.Reload(); err != nil {
				rt.Fatal(err)
			}
			seen, planes := map[string]string{}, map[string]string{}
			for _, tn := range r.All() {
				if other, dup := seen[tn.ParticipantContextID]; dup {
					rt.Fatalf("%s and %s are both %s", other, tn.File(), tn.ParticipantContextID)
				}
				p := tn.ControlPlane.Signaling.DataplaneID
				if other, dup := planes[p]; dup {
					rt.Fatalf("%s and %s are both data plane %s", other, tn.File(), p)
				}
				seen[tn.ParticipantContextID], planes[p] = tn.File(), tn.File()
				if got, _ := r.Get(tn.ParticipantContextID); got != tn {
					rt.Fatal("Get and All differ")
				}
				delete(before, tn.File())
			}
			for file := range before { // what was in force is so still, unless its document is gone
				if _, err := os.Stat(file); err == nil {
					rt.Fatalf("%s was in force and is not any more", file)
				}
			}
			if len(r.Problems()) == 0 {
				files, _ := filepath.Glob(dir + "/*.yaml")
				if len(files) != len(r.All()) {
					rt.Fatalf("%d documents without a problem, %d tenants in force", len(files), len(r.All()))
				}
			}
		}
	})
}

func TestADocumentIsReadAgainWhenWhatItLacksAppears(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.yaml", strings.Replace(document("a"), "clientSecretFile: ", "clientSecretFile: late #", 1))
	r := open(t, dir)
	if len(r.Problems()) != 1 {
		t.Fatalf("problems: %v", r.Problems())
	}
	write(t, dir, "late", "secret")
	if !reload(t, r) || ids(r) != "a=BPNL1" {
		t.Errorf("in force: %q, problems %v", ids(r), r.Problems())
	}
}

func TestWatchSeesTheLinkSwapOfAConfigMap(t *testing.T) {
	defer goleak.VerifyNone(t)
	dir := t.TempDir()
	version := func(name, bpn string) {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name), "a.yaml", with("a", bpn))
		if err := os.Symlink(name, filepath.Join(dir, "..tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	version("..v1", "1")
	if err := os.Symlink(filepath.Join("..data", "a.yaml"), filepath.Join(dir, "a.yaml")); err != nil {
		t.Fatal(err)
	}
	r := open(t, dir)
	ctx, cancel := context.WithCancel(t.Context())
	changes := make(chan string, 10)
	var done sync.WaitGroup
	done.Go(func() { r.Watch(ctx, time.Millisecond, func() { changes <- ids(r) }) })
	version("..v2", "2")
	select {
	case got := <-changes:
		if got != "a=2" {
			t.Errorf("after the swap: %s", got)
		}
	case <-time.After(10 * time.Second):
		t.Error("the swap was not seen")
	}
	cancel()
	done.Wait()
	if len(changes) != 0 {
		t.Errorf("%d more changes, though nothing changed", len(changes))
	}
}

func TestReadersSeeOneConsistentSetWhileTheFolderChanges(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.yaml", with("a", "0"))
	write(t, dir, "b.yaml", with("b", "0"))
	r := open(t, dir)
	var stop atomic.Bool
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for !stop.Load() {
				if len(r.All()) != 2 {
					t.Error("a reader saw a set that never was")
					return
				}
				if tn, ok := r.Get("a"); !ok || tn.ParticipantContextID != "a" {
					t.Error("a reader saw no tenant")
					return
				}
			}
		})
	}
	for i := range 100 {
		write(t, dir, "a.yaml", with("a", fmt.Sprint(i)))
		reload(t, r)
	}
	stop.Store(true)
	readers.Wait()
}

func TestWhenTheFolderVanishesTheTenantsStay(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tenants")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "a.yaml", with("a", "1"))
	r := open(t, dir)
	if err := os.Rename(dir, dir+".gone"); err != nil {
		t.Fatal(err)
	}
	if changed, err := r.Reload(); err == nil || !changed {
		t.Errorf("changed %v, error %v", changed, err)
	}
	if changed, _ := r.Reload(); changed {
		t.Error("the same failure is told twice")
	}
	if ids(r) != "a=1" || len(r.Problems()) != 1 {
		t.Errorf("in force: %s, problems %v", ids(r), r.Problems())
	}
	if err := os.Rename(dir+".gone", dir); err != nil {
		t.Fatal(err)
	}
	if reload(t, r); len(r.Problems()) != 0 {
		t.Errorf("problems: %v", r.Problems())
	}
}

func TestOpenNeedsAFolder(t *testing.T) {
	if _, err := tenant.Open(filepath.Join(t.TempDir(), "none"), zerolog.Nop()); err == nil {
		t.Error("a folder that is not there was opened")
	}
}

func TestOpenStrictTellsEveryFaultOfEveryDocument(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.yaml", with("a", "1")+"one: 1\ntwo: 2\n")
	write(t, dir, "b.yaml", with("b", "1"))
	write(t, dir, "c.yaml", with("c", "1"))
	_, err := tenant.OpenStrict(dir, func(tn *tenant.Tenant) error {
		if tn.ParticipantContextID == "c" {
			return problem.Field("bpn", "is not to our taste")
		}
		return nil
	})
	if err == nil || strings.Count(err.Error(), "\n") != 2 || !strings.Contains(err.Error(), "c.yaml:15: bpn: is not to our taste") {
		t.Errorf("error = %v", err)
	}
	if !problem.Is(err, problem.Invalid) {
		t.Errorf("kind = %v", problem.KindOf(err))
	}
	if r, err := tenant.OpenStrict("testdata/complete"); err != nil || len(r.All()) != 1 {
		t.Errorf("the complete document: %v", err)
	}
}

// An operator's log of a start with many tenants tells how many there are, and has lines of their own only for what is wrong.
func TestTheLogSumsUpWhatIsInForceAndNamesWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	for i := range 300 {
		id := fmt.Sprintf("tenant-%03d", i)
		write(t, dir, id+".yaml", document(id))
	}
	write(t, dir, "broken.yaml", "participantContextId: broken\n")
	var log bytes.Buffer
	r, err := tenant.Open(dir, zerolog.New(&log))
	if err != nil {
		t.Fatal(err)
	}
	said := func() string {
		defer log.Reset()
		return log.String()
	}
	first := said()
	if lines := strings.Count(first, "\n"); lines != 2 {
		t.Errorf("a start with 300 tenants and a broken document is %d lines, want one for all and one for the broken one:\n%s", lines, first)
	}
	for _, want := range []string{`"in_force":300,"taken":300,`, `"tenant-000"`, "broken.yaml", "did: is missing"} {
		if !strings.Contains(first, want) {
			t.Errorf("the log of the start lacks %s:\n%s", want, first)
		}
	}
	if strings.Contains(first, "tenant-150") {
		t.Errorf("the log of the start names all tenants:\n%s", first)
	}

	reload(t, r)
	if again := said(); again != "" {
		t.Errorf("nothing changed, and the log has\n%s", again)
	}

	write(t, dir, "tenant-150.yaml", with("tenant-150", "BPNL2"))
	if err := os.Remove(filepath.Join(dir, "tenant-200.yaml")); err != nil {
		t.Fatal(err)
	}
	reload(t, r)
	want := `{"level":"info","in_force":299,"taken":1,"taken_participant_contexts":["tenant-150"],` +
		`"removed":1,"removed_participant_contexts":["tenant-200"],"message":"tenants' documents were read"}` + "\n"
	if diff := cmp.Diff(want, said()); diff != "" {
		t.Errorf("one changed and one removed (-want +got):\n%s", diff)
	}

	write(t, dir, "tenant-150.yaml", "x: [")
	reload(t, r)
	if broke := said(); strings.Count(broke, "\n") != 1 || !strings.Contains(broke, `"in_force":true`) || !strings.Contains(broke, "tenant-150.yaml:1") {
		t.Errorf("one was broken, and the log has\n%s", broke)
	}
}
