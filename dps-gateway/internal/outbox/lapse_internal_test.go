package outbox

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/dps-gateway/internal/keys"
	"github.com/tidegate/tidegate/dps-gateway/internal/redistest"
	"github.com/tidegate/tidegate/shared/problem"
)

// sometimes refuses until it is told to take.
type sometimes struct {
	takes atomic.Bool
	taken chan string
}

func (s *sometimes) Send(_ context.Context, e *Entry) error {
	if !s.takes.Load() {
		return problem.New(problem.Unavailable, "not now")
	}
	s.taken <- e.Subject
	return nil
}

// A lease that ran out and was had again before the relay noticed must not leave behind lines that nobody walks any more: what the
// gap stopped is sent, and so is what comes after it.
func TestALeaseThatIsHadAgainAfterAGapLeavesNothingBehind(t *testing.T) {
	rdb, _ := redistest.Mini(t)
	to := &sometimes{taken: make(chan string, 10)}
	r := NewRelay(rdb, NewBell(), Config{
		Senders: map[Lane]Sender{LaneEvent: to}, Backoff: time.Millisecond, MaxPause: time.Millisecond, MinTries: 1 << 30,
	}, zerolog.Nop())
	defer r.sends.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w := NewWriter(rdb, nil)
	appendOne := func() {
		t.Helper()
		if err := w.Append(ctx, &Entry{Lane: LaneEvent, Kind: "k", PC: "a", Subject: "flow"}); err != nil {
			t.Fatal(err)
		}
	}
	number := keys.Shard("a")
	var held [keys.Shards]bool
	held[number] = true

	appendOne()
	r.apply(ctx, held, time.Now().Add(50*time.Millisecond), false)
	first := r.shards[number]
	r.readShards(ctx, r.due(true))
	for deadline := time.Now().Add(time.Minute); first.mine() || first.busy(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the gap stops nothing")
		}
	}
	to.takes.Store(true)
	appendOne()
	r.apply(ctx, held, time.Now().Add(time.Hour), false)
	r.readShards(ctx, r.due(true))
	for range 2 {
		select {
		case <-to.taken:
		case <-time.After(time.Minute):
			t.Fatal("nobody sends it")
		}
	}
}
