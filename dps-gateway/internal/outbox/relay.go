package outbox

import "context"

// Parker takes entries that were given up. It removes the entry from the stream and keeps it, in one step.
type Parker interface {
	Park(ctx context.Context, e *Entry, reason string) error
}
