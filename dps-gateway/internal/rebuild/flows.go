package rebuild

import (
	"context"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/tidegate/tidegate/dps-gateway/internal/flowstore"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/management"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

// signal marks a flow that a rebuild has made.
const signal flowstore.Signal = "rebuild"

// stateOf is the state of the data flow of a transfer process, "" if there is none (yet, or any more): what the control plane has
// been answered, not what it is about to ask for.
func stateOf(tp *management.Transfer) dps.State {
	switch tp.State {
	case "REQUESTING", "REQUESTED":
		if tp.Type == string(dps.Consumer) {
			return dps.Prepared
		}
	case "STARTING", "STARTUP_REQUESTED":
		if tp.Type == string(dps.Consumer) {
			return dps.Prepared
		}
	case "STARTED", "SUSPENDING", "SUSPENDING_REQUESTED", "COMPLETING", "COMPLETING_REQUESTED", "TERMINATING", "TERMINATING_REQUESTED":
		return dps.Started
	case "SUSPENDED", "RESUMING", "RESUMING_REQUESTED", "RESUMED":
		return dps.Suspended
	}
	return ""
}

// flows brings back the data flows of a tenant that are not at their end. Its addresses and tokens are gone: what that means is
// said, and done if Options.Terminate says so. A flow is brought back before its transfer is terminated, since the control
// plane's own terminate signal must find it.
func (r *Rebuilder) flows(ctx context.Context, t *tenant.Tenant, cp ControlPlane, agreements map[string]agreementView, rep *report) error {
	var lost []*management.Transfer
	for tp, err := range cp.QueryTransfers(ctx, management.Query{PageSize: pageSize}) {
		if err != nil {
			return fmt.Errorf("transfers: %w", err)
		}
		if tp.State == "COMPLETED" || tp.State == "TERMINATED" {
			continue
		}
		var outcome flowstore.Outcome // "" = there is no flow
		if state := stateOf(tp); state != "" {
			var err error
			if outcome, err = r.restore(ctx, t, tp, state, agreements, rep); err != nil {
				return err
			}
		}
		if tp.Type != string(dps.Consumer) || strings.HasPrefix(tp.State, "TERMINATING") || strings.HasPrefix(tp.State, "COMPLETING") {
			continue
		}
		whole, err := r.whole(ctx, t, tp, outcome)
		if err != nil {
			return err
		}
		if !whole {
			lost = append(lost, tp)
		}
	}
	r.terminate(ctx, cp, lost, rep)
	return nil
}

// terminations is how many transfers of a tenant are terminated at the same time: a control plane that is at work on one may hold
// the answer for a while.
const terminations = 16

// terminate ends transfers that can't go on, if it is to, and tells of those that nobody ends.
func (r *Rebuilder) terminate(ctx context.Context, cp ControlPlane, lost []*management.Transfer, rep *report) {
	if !r.Options.Terminate {
		for _, tp := range lost {
			rep.lose("consumer's transfer %s (%s): its data address or its delivery plan is gone. -terminate ends it, and the subscription starts another", tp.ID, tp.State)
		}
		return
	}
	errs := make([]error, len(lost))
	var work errgroup.Group
	work.SetLimit(terminations)
	for i, tp := range lost {
		work.Go(func() error {
			errs[i] = cp.TerminateTransfer(ctx, tp.ID, "the data plane has lost its state")
			return nil
		})
	}
	_ = work.Wait() // each error is told of
	for i, tp := range lost {
		if err := errs[i]; err != nil && !problem.Is(err, problem.Conflict) && !problem.Is(err, problem.NotFound) { // these: it ended by itself
			rep.lose("consumer's transfer %s (%s): its data address or its delivery plan is gone, and it could not be terminated: %v", tp.ID, tp.State, err)
			continue
		}
		rep.add("transfers terminated whose data address or delivery plan was gone: subscriptions start others")
	}
}

// whole tells whether a consumer's transfer can go on: its flow was there, and it is known where the data goes. One that is whole is left
// alone if a rebuild runs once too often.
func (r *Rebuilder) whole(ctx context.Context, t *tenant.Tenant, tp *management.Transfer, outcome flowstore.Outcome) (bool, error) {
	if outcome == flowstore.Applied {
		return false, nil
	}
	if tp.TransferType != "" && !dps.IsHTTP(tp.TransferType) { // its function knows where to, unless the flow is one that a rebuild has made
		return outcome != flowstore.Replayed, nil
	}
	_, err := r.Records.Get(ctx, t.ParticipantContextID, gatewayapi.KindDelivery, tp.ID)
	if problem.Is(err, problem.NotFound) {
		return false, nil
	}
	return err == nil, err
}

// restore writes a flow that is missing: Applied. Replayed is one that a rebuild has made before and nothing has moved since, any other
// outcome one that was there; "" if it can't be written.
func (r *Rebuilder) restore(ctx context.Context, t *tenant.Tenant, tp *management.Transfer, state dps.State, agreements map[string]agreementView, rep *report) (flowstore.Outcome, error) {
	a, ok := agreements[tp.ContractID]
	if !ok {
		rep.lose("transfer %s (%s): %v", tp.ID, tp.State, errNoAgreement)
		return "", nil
	}
	f := &flowstore.Flow{}
	f.ParticipantContextID, f.DataFlowID, f.State, f.Role, f.Direction = t.ParticipantContextID, tp.ID, state, dps.Role(tp.Type), dps.Pull
	f.Profile, f.ParticipantID, f.CounterPartyID = tp.TransferType, t.DID, a.provider
	f.Hook = t.Hook(tp.TransferType)
	f.DataspaceContext, f.AgreementID, f.DatasetID = t.ControlPlane.Profile, tp.ContractID, tp.AssetID
	if f.Role == dps.Provider {
		f.CounterPartyID = a.consumer
	}
	if strings.HasSuffix(strings.ToLower(tp.TransferType), "push") {
		f.Direction = dps.Push
	}
	res, err := r.Flows.Apply(ctx, &flowstore.Transition{
		ParticipantContextID: t.ParticipantContextID, DataFlowID: tp.ID, Signal: signal, Fingerprint: string(signal), New: f, To: state, Now: now(),
	})
	if err != nil {
		return "", err
	}
	if res.Outcome != flowstore.Applied {
		rep.add("data flows that were there")
		return res.Outcome, nil
	}
	rep.add(fmt.Sprintf("data flows of the %s brought back, %s", strings.ToLower(tp.Type), state))
	if f.Role == dps.Provider && f.Direction == dps.Pull && tp.State == "STARTED" {
		rep.lose("provider's transfer %s: its access token is gone. It gets another when the transfer is suspended and resumed, or when its consumer starts another", tp.ID)
	}
	return res.Outcome, nil
}
