package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/management"
	"github.com/tidegate/tidegate/shared/tenant"
)

// The bounds of one look at the tenants' negotiations. It goes from the newest back over all that began within recently, and
// further until settledInARow have nothing left to do: what an event has told is known already. A longer outage is made up
// for by the question that a provider start asks.
const (
	recently      = 10 * time.Minute
	settledInARow = 20
	maxLooked     = 1000             // negotiations of one tenant
	maxFaults     = 5                // of one tenant, then its control plane is taken to be in trouble
	tenantsAtOnce = 8                //
	tenantTime    = 20 * time.Second // for one tenant, so that one whose control plane hangs leaves the others their turn
	reconcilePage = 100
)

// reconcile finds the negotiations whose events were lost: the control plane's events come at most once. One tenant's
// failure does not keep it from the others, and is no reason for the broker to try again: the next tick does. A decision is
// told of when it is made; should the broker not take that event, the decision stands all the same.
func (h *handler) reconcile(ctx context.Context) {
	var work errgroup.Group
	work.SetLimit(tenantsAtOnce)
	for _, t := range h.tenants.All() {
		if len(t.Publish) == 0 {
			continue
		}
		work.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, tenantTime)
			defer cancel()
			if err := h.reconcileTenant(ctx, t); err != nil {
				zerolog.Ctx(ctx).Warn().Err(err).Str("participant_context_id", t.ParticipantContextID).Msg("negotiations could not be reconciled")
			}
			return nil
		})
	}
	_ = work.Wait() // each has logged its own fault
}

func (h *handler) reconcileTenant(ctx context.Context, t *tenant.Tenant) error {
	cp, err := h.controlPlane(t)
	if err != nil {
		return err
	}
	var faults []error
	settled, looked := 0, 0
	query := management.Query{
		Filter:    []management.Criterion{{OperandLeft: "type", Operator: "=", OperandRight: provider}},
		SortField: "createdAt", Desc: true, PageSize: reconcilePage,
	}
	since := h.now().Add(-recently)
	for n, err := range cp.QueryNegotiations(ctx, query) {
		if err != nil {
			return errors.Join(append(faults, err)...)
		}
		if looked++; looked > maxLooked {
			break
		}
		done, err := h.settled(ctx, t, n)
		if done {
			if settled++; settled >= settledInARow && time.UnixMilli(n.CreatedAt).Before(since) {
				break
			}
			continue
		}
		settled = 0
		if err == nil {
			err = h.catchUp(ctx, t, cp, n)
		}
		if err != nil { // one that can't be judged does not keep the others from it
			faults = append(faults, fmt.Errorf("negotiation %s: %w", n.ID, err))
			if len(faults) >= maxFaults || ctx.Err() != nil {
				break
			}
		}
	}
	return errors.Join(faults...)
}

// catchUp does what the lost event would have made the function do.
func (h *handler) catchUp(ctx context.Context, t *tenant.Tenant, cp controlPlane, n *management.Negotiation) error {
	e, err := h.judge(ctx, t, cp, n)
	if err != nil || e == nil {
		return err
	}
	return h.publish(ctx, e)
}

// settled tells whether there is nothing left to do about a negotiation.
func (h *handler) settled(ctx context.Context, t *tenant.Tenant, n *management.Negotiation) (bool, error) {
	id := n.ID
	if n.ContractAgreementID != "" {
		id = gatewayapi.AgreementRecordID(n.ContractAgreementID)
	} else if over(n.State) {
		return true, nil
	}
	d, _, err := h.decision(ctx, t.ParticipantContextID, id)
	if err != nil || d == nil {
		return false, err
	}
	switch d.Verdict {
	case gatewayapi.Rejected:
		return n.ContractAgreementID != "", nil // else it is open still: it was not terminated
	case gatewayapi.Review:
		person, _, err := h.decision(ctx, t.ParticipantContextID, standingID(d.CounterPartyID, d.DatasetID))
		return err == nil && person == nil, err
	case gatewayapi.Approved:
	}
	return true, nil
}
