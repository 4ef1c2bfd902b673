package data

import (
	"context"
	"time"

	"github.com/tidegate/tidegate/dps-gateway/internal/flowstore"
	"github.com/tidegate/tidegate/dps-gateway/internal/token"
	"github.com/tidegate/tidegate/shared/dps"
)

// failClosed is how long streams go on while their state can't be read.
const failClosed = 30 * time.Second

// Run cuts streams that may not go on, as changes tells, until the channel is closed.
func (s *Server) Run(ctx context.Context, changes <-chan flowstore.Change) {
	checked := time.Now()
	for c := range changes {
		switch {
		case c.Recheck:
			s.housekeeping()
			if s.recheck(ctx, s.streams.where(func(*token.Access) bool { return true })) {
				checked = time.Now()
			} else if time.Since(checked) > failClosed {
				s.log.Error().Dur("for", failClosed).Msg("the state of open streams can't be read: all are cut")
				s.cut(s.streams.where(func(*token.Access) bool { return true }), "unknown state")
			}
		case c.DatasetID != "":
			s.recheck(ctx, s.streams.where(func(a *token.Access) bool {
				return a.ParticipantContextID == c.ParticipantContextID && a.DatasetID == c.DatasetID
			}))
		case c.State != dps.Started && c.State != dps.Prepared: // a push may come as soon as the flow is prepared
			s.cut(s.streams.ofFlow(c.ParticipantContextID, c.DataFlowID), string(c.State))
		default: // another token is in force now
			s.recheck(ctx, s.streams.ofFlow(c.ParticipantContextID, c.DataFlowID))
		}
	}
}

// TenantsChanged cuts the streams of tenants that are not in force any more, and lets go of what was kept of tenants.
func (s *Server) TenantsChanged() {
	s.cut(s.streams.where(func(a *token.Access) bool {
		_, ok := s.Tenants.Get(a.ParticipantContextID)
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

// recheck reads the state of streams and cuts those that may not go on; false if some state can't be read.
func (s *Server) recheck(ctx context.Context, list []*stream) bool {
	ok := true
	for len(list) > 0 {
		batch := list[:min(len(list), 500)]
		list = list[len(batch):]
		refs := make([]flowstore.ServedRef, len(batch))
		for i, st := range batch {
			refs[i] = refOf(st.access)
		}
		bctx, cancel := context.WithTimeout(ctx, liveTimeout)
		states, err := s.Flows.ServedMany(bctx, refs)
		cancel()
		if err != nil {
			s.log.Warn().Err(err).Int("streams", len(batch)).Msg("the state of open streams can't be read")
			ok = false
			continue
		}
		for i, st := range batch {
			if may(st.access, &states[i], states[i].Keeps) != nil || ended(st.access) {
				s.cut([]*stream{st}, "recheck")
			}
		}
	}
	return ok
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
