package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strconv"
	"time"

	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/management"
	"github.com/tidegate/tidegate/shared/problem"
)

// agreed plans the delivery, claims the record for the transfer, and starts it. The transfer's id follows from the record,
// so all of it can be done again.
func (j *job) agreed(ctx context.Context) (bool, error) {
	id := transferID(j.tenant.ParticipantContextID, j.record)
	if j.sub.OverHTTP() {
		if planned, err := j.plan(ctx, id); err != nil || !planned {
			return false, err
		}
	}
	j.record.State, j.record.TransferProcessID = gatewayapi.SupplyTransferring, id
	j.record.NextAttempt = j.now().UTC()
	if err := j.save(ctx); err != nil {
		return false, err
	}
	return false, j.start(ctx)
}

// plan says where the data is to be written, before there is a transfer that brings it. What can't be planned fails the record.
func (j *job) plan(ctx context.Context, id string) (planned bool, err error) {
	sink, ok := j.tenant.Sink(j.sub.Sink)
	if !ok {
		return false, j.fail(ctx, "the tenant's document has no sink "+j.sub.Sink)
	}
	plan := gatewayapi.Delivery{
		ID: id, DatasetID: j.record.DatasetID, Sink: sink.Name, Key: sink.Prefix + j.record.Name,
		Size: j.record.Size, UpdatedAt: j.now().UTC(),
	}
	if isDigest(j.record.Version) {
		plan.SHA256 = j.record.Version
	}
	_, err = j.gateway.Put(ctx, j.tenant.ParticipantContextID, gatewayapi.KindDelivery, id, &plan, gatewayapi.IfAbsent())
	switch {
	case err == nil, problem.Is(err, problem.Stale): // Stale: planned before, and perhaps under way
		return true, nil
	case problem.KindOf(err).Temporary():
		return false, err
	}
	return false, j.fail(ctx, "the delivery can't be planned: "+err.Error())
}

// start tells of the transfer and has the control plane start it; one that is there already is as good. After a failure it
// waits longer each time.
func (j *job) start(ctx context.Context) error {
	id := j.record.TransferProcessID
	if err := j.tell(ctx, j.tenant, catalogue.TransferRequested, id, catalogue.Transfer{
		TransferProcessID: id, DatasetID: j.record.DatasetID, AgreementID: j.record.AgreementID, CounterPartyID: j.record.CounterPartyID, Size: j.record.Size,
	}); err != nil {
		return err
	}
	_, err := j.cp.StartTransfer(ctx, id, j.sub.CounterParty, j.record.AgreementID, j.sub.TransferType())
	switch {
	case err == nil:
		return nil
	case !problem.KindOf(err).Temporary():
		return j.fail(ctx, "the transfer was refused: "+err.Error())
	}
	j.putOff("the transfer could not be started: " + err.Error())
	return errors.Join(err, j.save(ctx))
}

// transferring looks at what became of the transfer. What was delivered is what the delivery record says: the bytes are
// verified there, and the provider may have had a newer version by then.
func (j *job) transferring(ctx context.Context) (bool, error) {
	if !j.sub.OverHTTP() {
		return j.served(ctx)
	}
	d, err := j.delivery(ctx)
	if err != nil {
		return false, err
	}
	if d.Done {
		return j.delivered(ctx, d)
	}
	tp, err := j.transfer(ctx)
	if err != nil || tp == nil {
		return false, err
	}
	switch tp.State {
	case "TERMINATED", "TERMINATING", "COMPLETED", "COMPLETING":
		return j.over(ctx, tp)
	case "SUSPENDED", "SUSPENDING": // somebody means it to wait
		return false, nil
	}
	heard := latest(j.record.UpdatedAt, d.UpdatedAt, time.UnixMilli(tp.StateTimestamp))
	if j.now().Sub(heard) > stallTime {
		return false, j.giveUpTransfer(ctx, tp)
	}
	return false, nil
}

// transfer reads the transfer. One that the control plane does not know is started, once that is due, and nil.
func (j *job) transfer(ctx context.Context) (*management.Transfer, error) {
	tp, err := j.cp.GetTransfer(ctx, j.record.TransferProcessID)
	if !problem.Is(err, problem.NotFound) {
		return tp, err
	}
	if j.now().Before(j.record.NextAttempt) {
		return nil, nil
	}
	return nil, j.start(ctx)
}

// delivery reads the plan of the transfer, which the puller writes on; an empty one if there is none any more.
func (j *job) delivery(ctx context.Context) (*gatewayapi.Delivery, error) {
	var d gatewayapi.Delivery
	_, err := j.gateway.Get(ctx, j.tenant.ParticipantContextID, gatewayapi.KindDelivery, j.record.TransferProcessID, &d)
	if err != nil && !problem.Is(err, problem.NotFound) {
		return nil, err
	}
	return &d, nil
}

// over handles a transfer that has ended. The delivery is noted before the transfer is completed: so it is read after it, and
// only if it is not noted by then nothing was delivered.
func (j *job) over(ctx context.Context, tp *management.Transfer) (bool, error) {
	d, err := j.delivery(ctx)
	if err != nil {
		return false, err
	}
	if d.Done {
		return j.delivered(ctx, d)
	}
	reason := "the transfer was terminated"
	if tp.State == "COMPLETED" || tp.State == "COMPLETING" {
		reason = "the transfer was completed without a delivery"
	}
	return false, j.fail(ctx, reason+detail(tp))
}

func detail(tp *management.Transfer) string {
	if tp.ErrorDetail == "" {
		return ""
	}
	return ": " + tp.ErrorDetail
}

// delivered notes what has arrived.
func (j *job) delivered(ctx context.Context, d *gatewayapi.Delivery) (bool, error) {
	j.record.State, j.record.DeliveredVersion = gatewayapi.SupplyDelivered, d.SHA256
	if isDigest(j.record.Version) && d.SHA256 != j.record.Version {
		j.putOff("another version was delivered than the catalog offered")
	} else {
		j.record.Attempts, j.record.LastError = 0, ""
	}
	return true, j.save(ctx)
}

// giveUpTransfer terminates a transfer of which nothing is heard, so that it can't go on beside the next one.
func (j *job) giveUpTransfer(ctx context.Context, tp *management.Transfer) error {
	err := j.cp.TerminateTransfer(ctx, tp.ID, "nothing was heard of it in time")
	if err != nil && !problem.Is(err, problem.NotFound) { // it may have ended just now: the next look tells
		return problem.Wrap(problem.Unavailable, err, "transfer %s does not end and could not be terminated", tp.ID)
	}
	return j.fail(ctx, "nothing was heard of the transfer any more; its state was "+tp.State)
}

func latest(times ...time.Time) time.Time {
	var last time.Time
	for _, t := range times {
		if t.After(last) {
			last = t
		}
	}
	return last
}

// transferID is the id of a transfer: prefixed with the participant context, since EDC ids are global.
func transferID(pc string, s gatewayapi.Supply) string {
	sum := sha256.Sum256([]byte(s.ID + "\n" + s.AgreementID + "\n" + strconv.Itoa(s.Sequence)))
	return pc + "-" + hex.EncodeToString(sum[:16])
}
