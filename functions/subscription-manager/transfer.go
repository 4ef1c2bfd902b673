package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strconv"

	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
)

// agreed plans the delivery, claims the record for the transfer, and starts it. The transfer's id follows from the record,
// so all of it can be done again.
func (j *job) agreed(ctx context.Context) (bool, error) {
	sink, ok := j.tenant.Sink(j.sub.Sink)
	if !ok {
		return false, j.fail(ctx, "the tenant's document has no sink "+j.sub.Sink)
	}
	pc := j.tenant.ParticipantContextID
	id := transferID(pc, j.record)
	plan := gatewayapi.Delivery{
		ID: id, DatasetID: j.record.DatasetID, Sink: sink.Name, Key: sink.Prefix + j.record.Name,
		Size: j.record.Size, UpdatedAt: j.now().UTC(),
	}
	if len(j.record.Version) == sha256.Size*2 {
		plan.SHA256 = j.record.Version
	}
	_, err := j.gateway.Put(ctx, pc, gatewayapi.KindDelivery, id, &plan, gatewayapi.IfAbsent())
	if err != nil && !problem.Is(err, problem.Stale) { // Stale: planned before, and perhaps under way
		return false, err
	}
	j.record.State, j.record.TransferProcessID = gatewayapi.SupplyTransferring, id
	if err := j.save(ctx); err != nil {
		return false, err
	}
	return false, j.start(ctx)
}

// start has the control plane start the transfer; one that is there already is as good.
func (j *job) start(ctx context.Context) error {
	id, err := j.cp.StartTransfer(ctx, j.record.TransferProcessID, j.sub.CounterParty, j.record.AgreementID, dps.ProfileHTTPPull)
	if err != nil {
		if !problem.KindOf(err).Temporary() {
			return j.fail(ctx, "the transfer was refused: "+err.Error())
		}
		return err
	}
	if id != j.record.TransferProcessID {
		return j.fail(ctx, "the control plane gave the transfer another id than was asked for")
	}
	return j.tell(ctx, j.tenant, catalogue.TransferRequested, id, catalogue.Transfer{
		TransferProcessID: id, DatasetID: j.record.DatasetID, AgreementID: j.record.AgreementID, CounterPartyID: j.record.CounterPartyID, Size: j.record.Size,
	})
}

// transferring looks at what became of the transfer. What was delivered is what the delivery record says: the bytes are
// verified there, and the provider may have had a newer version by then.
func (j *job) transferring(ctx context.Context) (bool, error) {
	var d gatewayapi.Delivery
	_, err := j.gateway.Get(ctx, j.tenant.ParticipantContextID, gatewayapi.KindDelivery, j.record.TransferProcessID, &d)
	if err != nil && !problem.Is(err, problem.NotFound) {
		return false, err
	}
	if d.Done {
		j.record.State, j.record.DeliveredVersion = gatewayapi.SupplyDelivered, d.SHA256
		j.record.Attempts, j.record.LastError = 0, ""
		return true, j.save(ctx)
	}
	tp, err := j.cp.GetTransfer(ctx, j.record.TransferProcessID)
	if problem.Is(err, problem.NotFound) {
		return false, j.start(ctx)
	}
	if err != nil {
		return false, err
	}
	switch tp.State {
	case "TERMINATED", "TERMINATING":
		reason := "the transfer was terminated"
		if tp.ErrorDetail != "" {
			reason += ": " + tp.ErrorDetail
		}
		return false, j.fail(ctx, reason)
	case "COMPLETED":
		return false, j.fail(ctx, "the transfer was completed without a delivery")
	}
	return false, nil
}

// transferID is the id of a transfer: prefixed with the participant context, since EDC ids are global.
func transferID(pc string, s gatewayapi.Supply) string {
	sum := sha256.Sum256([]byte(s.ID + "\n" + s.AgreementID + "\n" + strconv.Itoa(s.Sequence)))
	return pc + "-" + hex.EncodeToString(sum[:16])
}
