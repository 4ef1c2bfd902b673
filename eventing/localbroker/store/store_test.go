package store_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/tidegate/tidegate/eventing/localbroker/store"
	"github.com/tidegate/tidegate/shared/problem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(tb testing.TB, dir string) *store.Store {
	tb.Helper()
	s, err := store.Open(dir)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

func record(tb testing.TB, id string) *store.Record {
	tb.Helper()
	e := event.New()
	e.SetID(id)
	e.SetType("t")
	e.SetSource("/s")
	e.SetExtension("number", 7)
	if err := e.SetData("application/json", []byte(`{ "not": "json`)); err != nil {
		tb.Fatal(err)
	}
	r := &store.Record{Accepted: time.Unix(5, 6), TTL: 255, Broker: "default/default", Headers: [][2]string{{"Traceparent", "00-a"}}}
	if err := r.FromEvent(&e); err != nil {
		tb.Fatal(err)
	}
	return r
}

func add(tb testing.TB, s *store.Store, id string, triggers ...string) uint64 {
	tb.Helper()
	seqs, err := s.Commit(&store.Change{Events: []store.NewEvent{{Record: record(tb, id), Triggers: triggers}}})
	if err != nil || len(seqs) != 1 {
		tb.Fatalf("%v, %v", seqs, err)
	}
	return seqs[0]
}

func deliveries(tb testing.TB, s *store.Store) []store.Delivery {
	tb.Helper()
	var out []store.Delivery
	if err := s.Deliveries(func(d store.Delivery) { out = append(out, d) }); err != nil {
		tb.Fatal(err)
	}
	return out
}

func TestAnEventStaysUntilItsLastDeliveryIsDoneAndSurvivesARestart(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	a := add(t, s, "a", "x/1", "x/2")
	b := add(t, s, "b", "x/1")
	failed := store.State{Attempts: 2, NotBefore: time.Unix(100, 0).UTC()}
	s.Defer(&store.Change{Update: []store.Delivery{{Key: store.Key{Seq: b, Trigger: "x/1"}, State: failed}}})
	s.Defer(&store.Change{Remove: []store.Key{{Seq: a, Trigger: "x/1"}}})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	s = open(t, dir)
	want := []store.Delivery{{Key: store.Key{Seq: a, Trigger: "x/2"}}, {Key: store.Key{Seq: b, Trigger: "x/1"}, State: failed}}
	if diff := cmp.Diff(want, deliveries(t, s)); diff != "" {
		t.Errorf("after a restart (-want +got):\n%s", diff)
	}
	got, err := s.Get(a)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(record(t, "a"), got); diff != "" {
		t.Errorf("the event (-want +got):\n%s", diff)
	}
	if n, size := s.Backlog(); n != 2 || size <= 0 {
		t.Errorf("backlog %d, %d bytes", n, size)
	}
	if _, err := s.Commit(&store.Change{Remove: []store.Key{want[0].Key, want[1].Key}}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(a); !problem.Is(err, problem.NotFound) {
		t.Errorf("a done event is still there: %v", err)
	}
	if n, size := s.Backlog(); n != 0 || size != 0 || s.Live(a) || s.Live(b) {
		t.Errorf("backlog %d, %d bytes, live %v %v; want nothing", n, size, s.Live(a), s.Live(b))
	}
	if c := add(t, s, "c", "x/1"); c <= b {
		t.Errorf("number %d is given again", c)
	}
}

func TestADeliveryMovesToTheDeadLetterLaneInOneStep(t *testing.T) {
	s := open(t, t.TempDir())
	seq := add(t, s, "a", "x/1")
	dead := store.Delivery{Key: store.Key{Seq: seq, DeadLetter: true, Trigger: "x/1"}, State: store.State{ErrorCode: 400, ErrorData: "e30=", ErrorDest: "http://x"}}
	s.Defer(&store.Change{Add: []store.Delivery{dead}, Remove: []store.Key{{Seq: seq, Trigger: "x/1"}}})
	if _, err := s.Commit(&store.Change{}); err != nil { // takes the deferred change along
		t.Fatal(err)
	}
	if diff := cmp.Diff([]store.Delivery{dead}, deliveries(t, s)); diff != "" {
		t.Error(diff)
	}
	if _, err := s.Get(seq); err != nil {
		t.Errorf("the event is gone: %v", err)
	}
}

func TestTheRecordGivesTheEventBack(t *testing.T) {
	e := event.New()
	e.SetID("ä")
	e.SetType("t")
	e.SetSource("https://x/ä?b=c")
	e.SetSubject("b/k \n1")
	e.SetTime(time.Date(2026, 1, 2, 3, 4, 5, 678, time.FixedZone("", 3600)))
	e.SetDataSchema("urn:x:y")
	e.SetExtension("yes", true)
	e.SetExtension("text", "1")
	e.SetDataContentType("application/octet-stream")
	e.DataEncoded = []byte{0, 1, 2, 255}
	r := &store.Record{}
	if err := r.FromEvent(&e); err != nil {
		t.Fatal(err)
	}
	got, err := r.Event()
	if err != nil {
		t.Fatal(err)
	}
	e.SetExtension("yes", "true") // as a header has it
	e.SetTime(e.Time().UTC())
	if diff := cmp.Diff(e.String(), got.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if string(got.Data()) != string(e.Data()) {
		t.Errorf("data %v", got.Data())
	}
}

func TestASecondProcessIsTurnedAway(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	if s, err := store.Open(dir); !problem.Is(err, problem.Conflict) {
		_ = s
		t.Errorf("got %v, want a conflict", err)
	}
}

func TestAfterCloseChangesAreRefused(t *testing.T) {
	s := open(t, t.TempDir())
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Commit(&store.Change{}); !problem.Is(err, problem.Unavailable) {
		t.Errorf("got %v, want unavailable", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("closing twice: %v", err)
	}
}

// The counters and the file agree with a plain model, whatever is done at the same time.
func TestManyAtOnceLeaveWhatIsNotDone(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	var mu sync.Mutex
	left := map[store.Key]bool{}
	var all sync.WaitGroup
	for w := range 8 {
		all.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(w)))
			for i := range 40 {
				triggers := []string{"x/1", "x/2", "x/3"}[:1+rng.IntN(3)]
				seq := add(t, s, fmt.Sprintf("%d-%d", w, i), triggers...)
				for _, trigger := range triggers {
					k := store.Key{Seq: seq, Trigger: trigger}
					switch rng.IntN(3) {
					case 0:
						s.Defer(&store.Change{Remove: []store.Key{k}})
						continue
					case 1:
						s.Defer(&store.Change{Update: []store.Delivery{{Key: k, State: store.State{Attempts: 1}}}})
					}
					mu.Lock()
					left[k] = true
					mu.Unlock()
				}
			}
		})
	}
	all.Wait()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	got := map[store.Key]bool{}
	for _, d := range deliveries(t, s) {
		got[d.Key] = true
		if _, err := s.Get(d.Seq); err != nil {
			t.Errorf("%v: %v", d.Key, err)
		}
	}
	if diff := cmp.Diff(left, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if n, _ := s.Backlog(); n != int64(len(left)) {
		t.Errorf("backlog %d, want %d", n, len(left))
	}
}
