package main

import (
	"context"
	"time"

	"github.com/tidegate/tidegate/shared/gatewayapi"
)

// settledTime is how long a transfer must have run for its failures before to be forgotten.
const settledTime = time.Minute

// served looks at what became of a transfer of a profile that a function serves. There is no plan and nothing that is heard of it on the
// way: a stream runs for as long as both sides want. Its completion is the delivery of the version; one that was terminated is begun
// anew, later each time.
func (j *job) served(ctx context.Context) (bool, error) {
	tp, err := j.transfer(ctx)
	if err != nil || tp == nil {
		return false, err
	}
	since := time.UnixMilli(tp.StateTimestamp)
	switch tp.State {
	case "COMPLETED", "COMPLETING":
		j.record.State, j.record.DeliveredVersion = gatewayapi.SupplyDelivered, j.record.Version
		j.record.Attempts, j.record.LastError = 0, ""
		return true, j.save(ctx)
	case "TERMINATED", "TERMINATING":
		return false, j.fail(ctx, "the transfer was terminated"+detail(tp))
	case "SUSPENDED", "SUSPENDING": // somebody means it to wait
		return false, nil
	case "STARTED":
		if j.record.Attempts == 0 || j.now().Sub(since) < settledTime {
			return false, nil
		}
		j.record.Attempts, j.record.LastError = 0, ""
		return false, j.save(ctx)
	}
	if j.now().Sub(latest(j.record.UpdatedAt, since)) > stallTime {
		return false, j.giveUpTransfer(ctx, tp)
	}
	return false, nil
}
