package flowstore

import (
	"context"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tidegate/tidegate/dps-gateway/internal/keys"
	"github.com/tidegate/tidegate/shared/dps"
)

// watchBuffer is how many changes a reader may lag behind before it gets a Recheck instead.
const watchBuffer = 1024

// watchSilence is how long a connection may be silent before it is asked whether it is there, and then once more.
const watchSilence = 3 * time.Second

// PublishDataset tells open streams of every replica that a dataset was withdrawn or replaced. It may be called inside a
// pipeline.
func PublishDataset(ctx context.Context, rdb redis.Cmdable, pc, datasetID string) error {
	if err := rdb.Publish(ctx, keys.Changes(keys.Shard(pc)), "dataset\n"+pc+"\n\n"+datasetID).Err(); err != nil {
		return unavailable(err)
	}
	return nil
}

// decodeChange is the other side of the PUBLISH in transition.lua and of PublishDataset: four lines, of which the last may
// hold any byte.
func decodeChange(payload string) (Change, bool) {
	p := strings.SplitN(payload, "\n", 4)
	if len(p) != 4 {
		return Change{}, false
	}
	switch p[0] {
	case "flow":
		return Change{ParticipantContextID: p[1], State: dps.State(p[2]), DataFlowID: p[3]}, true
	case "dataset":
		return Change{ParticipantContextID: p[1], DatasetID: p[3]}, true
	}
	return Change{}, false
}

// Watch implements Store.
func (s *Redis) Watch(ctx context.Context) <-chan Change {
	out := make(chan Change, watchBuffer)
	channels := make([]string, keys.Shards)
	for i := range channels {
		channels[i] = keys.Changes(i)
	}
	go func() {
		defer close(out)
		missed := make(chan struct{}, 1)
		miss := func() {
			select {
			case missed <- struct{}{}:
			default:
			}
		}
		in := make(chan Change)
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.receive(ctx, channels, in, miss)
		}()
		defer func() { <-done }()
		tick := time.NewTicker(RecheckEvery)
		defer tick.Stop()
		for {
			c := Change{Recheck: true}
			select {
			case <-ctx.Done():
				return
			case c = <-in:
			case <-tick.C:
			case <-missed:
			}
			if !c.Recheck && len(out) == cap(out) {
				continue // the Recheck of the next tick stands for it
			}
			select {
			case out <- c:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

// receive reads the channels until ctx ends, over as many connections as it takes.
func (s *Redis) receive(ctx context.Context, channels []string, in chan<- Change, miss func()) {
	for ctx.Err() == nil {
		s.receiveOnce(ctx, channels, in, miss)
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond): // Redis is away: the rechecks go on meanwhile
		}
	}
}

func (s *Redis) receiveOnce(ctx context.Context, channels []string, in chan<- Change, miss func()) {
	ps := s.rdb.Subscribe(ctx, channels...)
	stop := context.AfterFunc(ctx, func() { _ = ps.Close() })
	defer func() {
		stop()
		_ = ps.Close()
	}()
	asked := false
	for {
		msg, err := ps.ReceiveTimeout(ctx, watchSilence)
		if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() && !asked && ctx.Err() == nil {
			asked = true
			err = ps.Ping(ctx) // a connection that is dead without a word is found out so
			if err == nil {
				continue
			}
		}
		if err != nil {
			miss()
			return
		}
		asked = false
		switch m := msg.(type) {
		case *redis.Subscription:
			miss() // what was told before the subscription stood
		case *redis.Message:
			if c, ok := decodeChange(m.Payload); ok {
				select {
				case in <- c:
				case <-ctx.Done():
					return
				}
			}
		}
	}
}
