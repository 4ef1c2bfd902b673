package flowstore_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/dps-gateway/internal/flowstore"
	"github.com/tidegate/tidegate/dps-gateway/internal/keys"
	"github.com/tidegate/tidegate/dps-gateway/internal/outbox"
	"github.com/tidegate/tidegate/dps-gateway/internal/redistest"
)

// TestRotationsFollowTheModel: the token in force and the one before may be renewed and nothing else may, whatever came before.
func TestRotationsFollowTheModel(t *testing.T) {
	redistest.Each(t, func(t *testing.T, rdb redis.UniversalClient) {
		t.Helper()
		s := flowstore.New(rdb, outbox.NewBell(), time.Hour)
		run := 0
		rapid.Check(t, func(rt *rapid.T) {
			run++
			flow := fmt.Sprintf("f-%d", run)
			set := func(fields ...any) {
				if err := rdb.HSet(t.Context(), keys.Flow("p", flow), fields...).Err(); err != nil {
					rt.Fatal(err)
				}
			}
			family, serial, token, previous, started := "a", 0, "a.0", "", true
			set("state", "STARTED", "head", "PROVIDER\nPULL\n\n\n\n\n", "tok", token)
			issued := []string{token}
			for range rapid.IntRange(1, 20).Draw(rt, "steps") {
				serial++
				switch rapid.IntRange(0, 5).Draw(rt, "step") {
				case 0: // a suspension takes the token away
					started = false
					set("state", "SUSPENDED")
					_ = rdb.HDel(t.Context(), keys.Flow("p", flow), "tok")
				case 1: // a resumption begins another family
					started, previous = true, ""
					family = fmt.Sprintf("r%d", serial)
					token = fmt.Sprintf("%s.%d", family, serial)
					issued = append(issued, token)
					set("state", "STARTED", "tok", token)
				default:
					presented := rapid.SampledFrom(issued).Draw(rt, "presented")
					next := fmt.Sprintf("%s.%d", family, serial)
					got, err := s.Rotate(t.Context(), &flowstore.Rotation{
						ParticipantContextID: "p", DataFlowID: flow, Presented: presented, Next: next, Assertion: fmt.Sprintf("%s-%d", flow, serial), TTL: time.Minute,
					})
					if err != nil {
						rt.Fatal(err)
					}
					want := flowstore.RotationRefused
					if started && (presented == token || presented == previous) {
						want = flowstore.RotationApplied
						token, previous = next, presented
						issued = append(issued, next)
					}
					if got != want {
						rt.Fatalf("%s presented, %s in force, %s before: %s, want %s", presented, token, previous, got, want)
					}
				}
				live, err := s.Live(t.Context(), "p", flow)
				if err != nil {
					rt.Fatal(err)
				}
				for _, id := range issued {
					if got, want := live.Takes(id), started && (id == token || id == previous); got != want {
						rt.Fatalf("%s in force, %s before: %s is taken: %v", token, previous, id, got)
					}
				}
			}
		})
	})
}

func TestAnAssertionRenewsOnceButItsOwnRepeatIsNoReplay(t *testing.T) {
	redistest.Each(t, func(t *testing.T, rdb redis.UniversalClient) {
		t.Helper()
		s := flowstore.New(rdb, outbox.NewBell(), time.Hour)
		if err := rdb.HSet(t.Context(), keys.Flow("p", "f"), "state", "STARTED", "head", "PROVIDER\nPULL\n\n\n\n\n", "tok", "a.0").Err(); err != nil {
			t.Fatal(err)
		}
		for i, step := range []struct {
			presented, next, assertion string
			want                       flowstore.Rotated
		}{
			{"a.0", "a.1", "x", flowstore.RotationApplied},
			{"a.0", "a.1", "x", flowstore.RotationApplied}, // the client of Redis sends it again when an answer is lost
			{"a.0", "a.2", "x", flowstore.RotationReplayed},
			{"a.1", "a.2", "y", flowstore.RotationApplied},
			{"a.0", "a.1", "x", flowstore.RotationReplayed},
			{"b.1", "b.2", "z", flowstore.RotationRefused},
			{"a", "a.3", "w", flowstore.RotationRefused},
		} {
			got, err := s.Rotate(t.Context(), &flowstore.Rotation{
				ParticipantContextID: "p", DataFlowID: "f", Presented: step.presented, Next: step.next, Assertion: step.assertion, TTL: time.Minute,
			})
			if err != nil || got != step.want {
				t.Errorf("step %d: %s, %v, want %s", i, got, err, step.want)
			}
		}
	})
}
