package main

import (
	"strconv"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/functions/lease"
	"github.com/tidegate/tidegate/shared/gatewayapi"
)

// hold is an invocation's hold on a delivery record.
type hold = lease.Lease[gatewayapi.Delivery]

func (j *job) record() lease.Record[gatewayapi.Delivery] {
	return lease.Record[gatewayapi.Delivery]{
		Gateway: j.gateway, ParticipantContextID: j.tenant.ParticipantContextID, Kind: gatewayapi.KindDelivery, ID: j.flow.DataFlowID,
		Time: j.cfg.LeaseTime, Now: j.now,
		Hold: func(d *gatewayapi.Delivery) (*string, *time.Time) { return &d.LeaseOwner, &d.LeaseUntil },
		Stamp: func(d *gatewayapi.Delivery, now time.Time) {
			d.UpdatedAt = now
			if d.Size >= 0 { // what is stored of a version that has gone may be longer than what the catalog says of the new one
				d.Offset = min(d.Offset, d.Size)
			}
		},
	}
}

// progressed is the follow-up event by which the next slice begins.
func (j *job) progressed(d gatewayapi.Delivery) (*event.Event, error) {
	return catalogue.New(name, j.tenant.ParticipantContextID, catalogue.TransferProgressed, j.flow.DataFlowID, catalogue.Transfer{
		TransferProcessID: j.flow.DataFlowID, DatasetID: d.DatasetID, AgreementID: j.flow.AgreementID, CounterPartyID: j.flow.CounterPartyID,
		Offset: d.Offset, Size: d.Size, Slice: d.Slices,
	}, strconv.FormatInt(d.Offset, 10), strconv.Itoa(d.Slices))
}
