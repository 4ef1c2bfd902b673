package outbox_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tidegate/tidegate/dps-gateway/internal/keys"
	"github.com/tidegate/tidegate/dps-gateway/internal/outbox"
	"github.com/tidegate/tidegate/dps-gateway/internal/redistest"
)

// await has a flow fall due after a time.
func await(t *testing.T, rdb redis.UniversalClient, pc, flow string, after time.Duration) {
	t.Helper()
	at := redis.Z{Score: float64(time.Now().Add(after).UnixMilli()), Member: pc + "\n" + flow}
	if err := rdb.ZAdd(t.Context(), keys.Due(keys.Shard(pc)), at).Err(); err != nil {
		t.Fatal(err)
	}
}

// TestWhatIsDueIsSentOnce, by whichever relay holds the shard, and nothing before its time.
func TestWhatIsDueIsSentOnce(t *testing.T) {
	redistest.Each(t, func(t *testing.T, rdb redis.UniversalClient) {
		t.Helper()
		s := newStand(rdb)
		to := &sink{}
		cfg := s.config(to)
		cfg.Senders[outbox.LaneOverdue] = to
		var want []string
		for i := range 250 { // more of one shard than fall due in one step
			flow := fmt.Sprintf("line\nbreak-%03d", i)
			await(t, rdb, "a", flow, -time.Minute)
			want = append(want, "a/"+flow+"/0")
		}
		await(t, rdb, "b", "soon", 50*time.Millisecond)
		await(t, rdb, "b", "later", time.Hour)
		want = append(want, "b/soon/0")
		s.run(t, cfg)
		s.run(t, cfg)
		eventually(t, "all are sent", func() bool { return len(to.names()) >= len(want) && s.left(t) == 0 })
		got := to.names()
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("sent are %d, want %d: %q", len(got), len(want), got)
		}
		if n := rdb.ZCard(t.Context(), keys.Due(keys.Shard("b"))).Val(); n != 1 {
			t.Errorf("%d wait on, want the one whose time has not come", n)
		}
	})
}
