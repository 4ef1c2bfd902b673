package flowstore

import (
	"context"

	"github.com/redis/go-redis/v9"

	"github.com/tidegate/tidegate/dps-gateway/internal/keys"
	"github.com/tidegate/tidegate/shared/gatewayapi"
)

// ServedRef names a flow and the dataset that it is to be served from.
type ServedRef struct {
	ParticipantContextID, DataFlowID, DatasetID string
}

// Served is what the data endpoint checks on every request: the flow, and the dataset's record beside it.
type Served struct {
	LiveFlow
	DatasetRevision string // "" = no such dataset
	DatasetSHA256   string // of the version on offer now
	Withdrawn       bool
}

// ServedMany reads flows and datasets in one round trip per shard; an unknown flow or dataset has zero values.
func (s *Redis) ServedMany(ctx context.Context, refs []ServedRef) ([]Served, error) {
	if len(refs) == 0 {
		return nil, nil
	}
	flows, datasets := make([]*redis.SliceCmd, len(refs)), make([]*redis.SliceCmd, len(refs))
	pipe := s.rdb.Pipeline()
	for i, r := range refs {
		flows[i] = pipe.HMGet(ctx, keys.Flow(r.ParticipantContextID, r.DataFlowID), liveFields...)
		datasets[i] = pipe.HMGet(ctx, keys.Record(r.ParticipantContextID, string(gatewayapi.KindDataset), r.DatasetID), servedFields...)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, unavailable(err)
	}
	out := make([]Served, len(refs))
	for i := range refs {
		d := datasets[i].Val()
		out[i] = Served{
			LiveFlow:        liveOf(flows[i].Val()),
			DatasetRevision: text(d, 0), DatasetSHA256: text(d, 1), Withdrawn: text(d, 2) == "1",
		}
	}
	return out, nil
}

var servedFields = []string{keys.RecordRevision, "sha256", "withdrawn"}
