package flowstore

import (
	"context"

	"github.com/redis/go-redis/v9"

	"github.com/tidegate/tidegate/dps-gateway/internal/keys"
)

// keepAgreement writes to a flow that is there: one that has ended meanwhile must not come back without its retention.
var keepAgreement = redis.NewScript(`if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HSET', KEYS[1], 'agmt', ARGV[1]) end return 1`)

// Agreement is the agreement that is kept with a flow, as it was given to KeepAgreement; nil if there is none.
func (s *Redis) Agreement(ctx context.Context, pc, id string) ([]byte, error) {
	b, err := s.rdb.HGet(ctx, keys.Flow(pc, id), "agmt").Bytes()
	if err == redis.Nil { //nolint:errorlint // go-redis documents Nil as a plain sentinel
		return nil, nil
	}
	if err != nil {
		return nil, unavailable(err)
	}
	return b, nil
}

// KeepAgreement keeps an agreement with a flow, for as long as the flow is kept. Agreements never change.
func (s *Redis) KeepAgreement(ctx context.Context, pc, id string, agreement []byte) error {
	if err := keepAgreement.Run(ctx, s.rdb, []string{keys.Flow(pc, id)}, agreement).Err(); err != nil {
		return unavailable(err)
	}
	return nil
}
