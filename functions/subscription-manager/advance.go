package main

import (
	"context"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

const (
	maxSteps        = 8                // of one record in one go; more than any way through the states has
	maxRaces        = 3                // how often a record that somebody else has changed meanwhile is read again
	startTime       = 15 * time.Second // how long a negotiation's start may take
	claimTime       = 20 * time.Second // after which one that nobody has noted is looked for: whoever claimed it was killed
	lateTime        = time.Minute      // the same, after a start that timed out: the control plane may take it late
	searchTime      = 3 * time.Second  // the same, after a start that failed at once
	negotiationTime = time.Hour        // after which a negotiation that does not end is given up
	stallTime       = time.Hour        // after which a transfer is given up of which nothing was heard
	firstRetry      = 2 * time.Second
	lastRetry       = time.Hour
	versionTries    = 3    // how often a version is asked for when the provider sent another one
	agreementTries  = 6    // failures in a row, over 2 minutes, after which an agreement is taken to be of no use any more: a provider that starts anew may refuse for a while
	maxReason       = 1000 // bytes of a reason in a record
)

// job is one supply record that is moved along.
type job struct {
	*handler
	tenant  *tenant.Tenant
	sub     tenant.Subscription
	index   int // of the subscription in the document
	cp      controlPlane
	dataset *offering // nil = the catalog was not looked at, or does not have it
	record  gatewayapi.Supply
	rev     string // of the record; "" if there is none
}

// advance moves one record along as far as it goes now. d is the dataset as the catalog offers it, nil if only the record is
// known: then nothing new is begun.
func (h *handler) advance(ctx context.Context, t *tenant.Tenant, i int, datasetID string, d *offering) error {
	for range maxRaces {
		err := h.advanceOnce(ctx, t, i, datasetID, d)
		if !problem.Is(err, problem.Stale) {
			return err
		}
	}
	return nil // somebody else is at it, and takes the same steps
}

func (h *handler) advanceOnce(ctx context.Context, t *tenant.Tenant, i int, datasetID string, d *offering) error {
	j := &job{handler: h, tenant: t, sub: t.Subscribe[i], index: i, dataset: d}
	id := gatewayapi.SupplyID(j.sub.Name, datasetID)
	rev, err := h.gateway.Get(ctx, t.ParticipantContextID, gatewayapi.KindSupply, id, &j.record)
	switch {
	case err == nil:
		j.rev = rev
	case !problem.Is(err, problem.NotFound):
		return err
	case d == nil:
		return nil
	default:
		j.record = gatewayapi.Supply{ID: id, Subscription: j.sub.Name, CounterPartyID: j.sub.CounterParty.ID, DatasetID: datasetID}
	}
	if j.cp, err = h.controlPlane(t); err != nil {
		return err
	}
	for range maxSteps {
		more, err := j.step(ctx)
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// step takes the next step of the record; more tells whether another one may follow at once.
func (j *job) step(ctx context.Context) (more bool, err error) {
	switch j.record.State {
	case "":
		return j.begin(ctx)
	case gatewayapi.SupplyNegotiating:
		return j.negotiating(ctx)
	case gatewayapi.SupplyAgreed:
		return j.agreed(ctx)
	case gatewayapi.SupplyTransferring:
		return j.transferring(ctx)
	case gatewayapi.SupplyDelivered:
		if j.dataset == nil || !isNew(j.record, versionOf(j.dataset.Dataset), j.now()) {
			return false, nil
		}
		return j.begin(ctx)
	case gatewayapi.SupplyFailed:
		if j.dataset == nil || j.now().Before(j.record.NextAttempt) {
			return false, nil
		}
		return j.begin(ctx)
	}
	return false, problem.New(problem.Unprocessable, "supply %s is in state %q, which is none", j.record.ID, j.record.State)
}

// isNew tells whether the catalog offers a version that was not delivered. A version that was asked for when the provider sent
// another one is new again after a while, a few times: a catalog may lag behind the bytes, but it may also be right by now.
func isNew(s gatewayapi.Supply, version string, now time.Time) bool {
	switch {
	case version == s.DeliveredVersion:
		return false
	case version != s.Version:
		return true
	}
	return isDigest(version) && s.Attempts > 0 && s.Attempts < versionTries && !now.Before(s.NextAttempt)
}

// begin starts on a version of the dataset: with the agreement that there is, or with a negotiation.
func (j *job) begin(ctx context.Context) (bool, error) {
	if j.dataset == nil {
		return false, nil
	}
	j.record.Name = j.dataset.name
	if way := j.sub.TransferType(); !distributes(j.dataset.Dataset, way) {
		return false, j.fail(ctx, "the dataset has no distribution of the transfer profile "+way)
	}
	version := versionOf(j.dataset.Dataset)
	if j.record.Version != version {
		j.record.Attempts = 0
	}
	j.record.Version, j.record.Size = version, sizeOf(j.dataset.Dataset)
	j.record.TransferProcessID = ""
	j.record.Sequence++
	if j.record.AgreementID != "" && j.record.Attempts < agreementTries {
		j.record.State = gatewayapi.SupplyAgreed
		return true, j.save(ctx)
	}
	j.record.AgreementID = ""
	return j.negotiate(ctx)
}

// save writes the record if it is still the one that was read; problem.Stale if not.
func (j *job) save(ctx context.Context) error {
	j.record.UpdatedAt = j.now().UTC()
	cond := gatewayapi.IfAbsent()
	if j.rev != "" {
		cond = gatewayapi.IfRevision(j.rev)
	}
	rev, err := j.gateway.Put(ctx, j.tenant.ParticipantContextID, gatewayapi.KindSupply, j.record.ID, &j.record, cond)
	if err != nil {
		return err
	}
	j.rev = rev
	return nil
}

// fail notes why the record can't go on, and when it is tried again: later each time.
func (j *job) fail(ctx context.Context, reason string) error {
	was := j.record.State
	j.record.State = gatewayapi.SupplyFailed
	j.putOff(reason)
	if err := j.save(ctx); err != nil {
		return err
	}
	zerolog.Ctx(ctx).Info().Str("participant_context_id", j.tenant.ParticipantContextID).Str("subscription", j.sub.Name).
		Str("dataset_id", j.record.DatasetID).Str("was", string(was)).Str("reason", j.record.LastError).Int("attempts", j.record.Attempts).
		Msg("supply failed; it will be tried again")
	return nil
}

// putOff counts a failure and says when to try again.
func (j *job) putOff(reason string) {
	wait := lastRetry
	if j.record.Attempts < 12 { // 2 s doubled 11 times is over an hour
		wait = min(lastRetry, firstRetry<<j.record.Attempts)
	}
	j.record.LastError = strings.ToValidUTF8(reason[:min(len(reason), maxReason)], "")
	j.record.Attempts++
	j.record.NextAttempt = j.now().UTC().Add(wait)
}
