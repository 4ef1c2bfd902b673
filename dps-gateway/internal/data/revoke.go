package data

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidegate/tidegate/dps-gateway/internal/flowstore"
	"github.com/tidegate/tidegate/dps-gateway/internal/keys"
	"github.com/tidegate/tidegate/dps-gateway/internal/token"
	"github.com/tidegate/tidegate/shared/dps"
)

// recheckAtOnce is how many streams are read at once.
const recheckAtOnce = 500

// Run cuts streams that may not go on, as changes tells, until the channel is closed; and those of which that could not be found out
// for the blind time. States are read beside the loop, so that a Redis that hangs, or one node of it, holds up no other cut.
func (s *Server) Run(ctx context.Context, changes <-chan flowstore.Change) {
	var reads sync.WaitGroup
	defer reads.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	blind := time.NewTicker(min(s.cfg.Blind/8, time.Second))
	defer blind.Stop()
	var all atomic.Bool // all streams are being looked at
	read := func(list []*stream, then func()) {
		reads.Go(func() { s.recheck(ctx, list); then() })
	}
	for {
		select {
		case c, more := <-changes:
			switch {
			case !more:
				return
			case c.Recheck:
				s.housekeeping()
				if all.CompareAndSwap(false, true) {
					read(s.streams.where(everyStream), func() { all.Store(false) })
				}
			case c.DatasetID != "":
				if list := s.streams.where(func(st *stream) bool {
					return st.access.ParticipantContextID == c.ParticipantContextID && st.access.DatasetID == c.DatasetID
				}); len(list) > 0 {
					read(list, func() {})
				}
			case c.State != dps.Started && c.State != dps.Prepared: // a push may come as soon as the flow is prepared
				s.cut(s.streams.ofFlow(c.ParticipantContextID, c.DataFlowID), string(c.State))
			default: // another token is in force now
				if list := s.streams.ofFlow(c.ParticipantContextID, c.DataFlowID); len(list) > 0 {
					read(list, func() {})
				}
			}
		case <-blind.C:
			if lost := s.streams.where(func(st *stream) bool { return st.unseen() > s.cfg.Blind }); len(lost) > 0 {
				s.log.Error().Dur("for", s.cfg.Blind).Int("streams", len(lost)).Msg("whether streams may go on could not be read: they are cut")
				s.cut(lost, "unknown state")
			}
			// What could not be read is tried again, and soon enough, however short the blind time is.
			if late := s.streams.where(func(st *stream) bool { return st.unseen() > s.cfg.Blind/3 }); len(late) > 0 && all.CompareAndSwap(false, true) {
				read(late, func() { all.Store(false) })
			}
		}
	}
}

func everyStream(*stream) bool { return true }

// TenantsChanged cuts the streams of tenants that are not in force any more, and lets go of what was kept of tenants.
func (s *Server) TenantsChanged() {
	s.cut(s.streams.where(func(st *stream) bool {
		_, ok := s.Tenants.Get(st.access.ParticipantContextID)
		return !ok
	}), "tenant")
	gone := func(pc string) bool {
		_, ok := s.Tenants.Get(pc)
		return !ok
	}
	s.admission.forget(gone)
	s.pushes.forget(gone)
	s.fanout.doors.forget(gone)
	s.breakers.forget(gone)
}

func (s *Server) cut(list []*stream, why string) {
	for _, st := range list {
		st.stop()
		s.Metrics.StreamCut(st.access.ParticipantContextID)
		s.log.Info().Str("participant_context", st.access.ParticipantContextID).Str("process_id", st.access.DataFlowID).
			Str("why", why).Msg("stream cut")
	}
}

// recheck reads the state of streams and cuts those that may not go on. What can't be read in one round trip is read shard by
// shard, since on a Cluster the node of one may be away while the others are there.
func (s *Server) recheck(ctx context.Context, list []*stream) {
	for batch := range slices.Chunk(list, recheckAtOnce) {
		err := s.recheckBatch(ctx, batch)
		if err == nil || ctx.Err() != nil {
			continue
		}
		s.log.Warn().Err(err).Int("streams", len(batch)).Msg("the state of open streams can't be read")
		of := map[int][]*stream{}
		for _, st := range batch {
			shard := keys.Shard(st.access.ParticipantContextID)
			of[shard] = append(of[shard], st)
		}
		if len(of) == 1 {
			continue
		}
		var shards sync.WaitGroup
		for _, one := range of {
			shards.Go(func() { _ = s.recheckBatch(ctx, one) }) // said already; they count as unseen
		}
		shards.Wait()
	}
}

func (s *Server) recheckBatch(ctx context.Context, batch []*stream) error {
	ctx, cancel := context.WithTimeout(ctx, liveTimeout)
	defer cancel()
	refs := make([]flowstore.ServedRef, len(batch))
	for i, st := range batch {
		refs[i] = refOf(st.access)
	}
	asked := time.Now()
	states, err := s.Flows.ServedMany(ctx, refs)
	if err != nil {
		return err
	}
	for i, st := range batch {
		if may(st.access, &states[i], states[i].Keeps) != nil || ended(st.access) {
			s.cut([]*stream{st}, "recheck")
			continue
		}
		st.see(asked)
	}
	return nil
}

// ended tells whether an answer must end with its token. One that can be renewed is short so that the next request needs a newer
// one; what was begun in time ends with the flow.
func ended(a *token.Access) bool {
	_, renewable := flowstore.Family(a.TokenID)
	return !renewable && time.Now().After(a.Expiry)
}

// housekeeping lets go of buckets and breakers that nobody uses.
func (s *Server) housekeeping() {
	s.stores.closeIdle()
	s.breakers.forget(func(string) bool { return false })
}

func refOf(a *token.Access) flowstore.ServedRef {
	return flowstore.ServedRef{ParticipantContextID: a.ParticipantContextID, DataFlowID: a.DataFlowID, DatasetID: a.DatasetID}
}
