package outbox

import "github.com/tidegate/tidegate/dps-gateway/internal/keys"

// Bell wakes the relay of this process when something was appended to a shard's outbox. What other replicas append, the
// relay finds by polling.
type Bell struct {
	shards [keys.Shards]chan struct{}
}

// NewBell returns a bell.
func NewBell() *Bell {
	b := new(Bell)
	for i := range b.shards {
		b.shards[i] = make(chan struct{}, 1)
	}
	return b
}

// Ring says that something was appended for the tenant. It never waits. A nil Bell is silent.
func (b *Bell) Ring(pc string) {
	if b == nil {
		return
	}
	select {
	case b.shards[keys.Shard(pc)] <- struct{}{}:
	default: // rung already
	}
}

func (b *Bell) shard(i int) <-chan struct{} { return b.shards[i] }
