package outbox

import (
	"sync/atomic"

	"github.com/tidegate/tidegate/dps-gateway/internal/keys"
)

// Bell wakes the relay of this process when something was appended to a shard's outbox. What other replicas append, the
// relay finds by polling.
type Bell struct {
	rung   [keys.Shards]atomic.Bool
	wakeUp chan struct{}
}

// NewBell returns a bell.
func NewBell() *Bell { return &Bell{wakeUp: make(chan struct{}, 1)} }

// Ring says that something was appended for the tenant. It never waits. A nil Bell is silent.
func (b *Bell) Ring(pc string) {
	if b != nil {
		b.ring(keys.Shard(pc))
	}
}

func (b *Bell) ring(shard int) {
	b.rung[shard].Store(true)
	select {
	case b.wakeUp <- struct{}{}:
	default: // the relay has not come to the last one yet, and will find this one too
	}
}

// take tells whether the shard was rung since it was last taken.
func (b *Bell) take(shard int) bool { return b.rung[shard].Swap(false) }
