// Package agreement finds the agreement under which a data flow moves data, for the functions that serve it: at the control plane's
// signaling API (DPS 1.0, agreement retrieval), or by the Management API where a control plane has none, as EDC has not.
//
// An agreement never changes, so it is asked for once and kept with the flow.
package agreement

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"time"

	"github.com/tidegate/tidegate/dps-gateway/internal/controlplane"
	"github.com/tidegate/tidegate/dps-gateway/internal/flowstore"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/management"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

// defaultWait bounds what a control plane may take.
const defaultWait = 10 * time.Second

// Flows are the data flows, and the agreements that are kept with them; *flowstore.Redis does.
type Flows interface {
	Get(ctx context.Context, pc, id string) (*flowstore.Flow, error)
	Agreement(ctx context.Context, pc, id string) ([]byte, error)
	KeepAgreement(ctx context.Context, pc, id string, agreement []byte) error
}

// ControlPlanes calls the signaling API of control planes; *controlplane.Client does.
type ControlPlanes interface {
	Ask(ctx context.Context, t *tenant.Tenant, controlPlane, method, path string, body []byte, limit int64) (*controlplane.Answer, error)
}

// Management is the part of the Management API that reads agreements.
type Management interface {
	GetAgreement(ctx context.Context, id string) (*management.Agreement, error)
}

// Finder finds agreements.
type Finder struct {
	Flows   Flows
	Tenants interface {
		Get(pc string) (*tenant.Tenant, bool)
	}
	Planes     ControlPlanes
	Management func(t *tenant.Tenant) (Management, error)
	Wait       time.Duration // for the control plane; default 10s
}

// Of returns the agreement of a data flow. Its error is of kind NotFound if there is no such flow, or its control plane tells of no
// agreement; Upstream or Timeout if the control plane is at fault; Unavailable if the store is.
func (f *Finder) Of(ctx context.Context, pc, id string) (*gatewayapi.Agreement, error) {
	kept, err := f.Flows.Agreement(ctx, pc, id)
	if err != nil {
		return nil, err
	}
	var a gatewayapi.Agreement
	if len(kept) > 0 && json.Unmarshal(kept, &a) == nil {
		return &a, nil
	}
	flow, err := f.Flows.Get(ctx, pc, id)
	if err != nil {
		return nil, err
	}
	t, ok := f.Tenants.Get(pc)
	if !ok {
		return nil, problem.New(problem.NotFound, "there is no such participant context")
	}
	found, err := f.ask(ctx, t, flow)
	if err != nil {
		return nil, err
	}
	if found.DatasetID != flow.DatasetID {
		return nil, problem.New(problem.Upstream, "the control plane's agreement is about another dataset than the data flow")
	}
	b, err := json.Marshal(found)
	if err != nil {
		return nil, problem.Wrap(problem.Internal, err, "the agreement")
	}
	return found, f.Flows.KeepAgreement(ctx, pc, id, b)
}

// ToldBy returns the agreement of a data flow that a control plane which has registered itself is about to make, or has made, as that one tells
// it; NotFound if it tells none. Nothing is kept: the flow may never come to be.
func (f *Finder) ToldBy(ctx context.Context, pc, controlPlane, dataFlowID string) (*gatewayapi.Agreement, error) {
	t, ok := f.Tenants.Get(pc)
	if !ok {
		return nil, problem.New(problem.NotFound, "there is no such participant context")
	}
	ctx, cancel := f.limited(ctx)
	defer cancel()
	a, err := f.signaling(ctx, t, controlPlane, dataFlowID)
	if a == nil && err == nil {
		err = problem.New(problem.NotFound, "the control plane %q serves no agreement of the data flow", controlPlane)
	}
	return a, err
}

// limited bounds what a control plane is waited for.
func (f *Finder) limited(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, cmp.Or(max(f.Wait, 0), defaultWait))
}

func (f *Finder) ask(ctx context.Context, t *tenant.Tenant, flow *flowstore.Flow) (*gatewayapi.Agreement, error) {
	ctx, cancel := f.limited(ctx)
	defer cancel()
	if t.ControlPlane.Dialect == tenant.DPS10 || flow.ControlPlane != "" {
		a, err := f.signaling(ctx, t, flow.ControlPlane, flow.DataFlowID)
		if a != nil || err != nil {
			return a, err
		}
	}
	if flow.ControlPlane != "" { // the document's Management API is not of the control plane that made this flow
		return nil, problem.New(problem.NotFound, "the control plane that made the data flow serves no agreement of it")
	}
	return f.management(ctx, t, flow)
}

// signaling asks the signaling API; nil if there is no such operation, or no such agreement.
func (f *Finder) signaling(ctx context.Context, t *tenant.Tenant, controlPlane, dataFlowID string) (*gatewayapi.Agreement, error) {
	path := "/transfers/" + url.PathEscape(dataFlowID) + "/agreement"
	res, err := f.Planes.Ask(ctx, t, controlPlane, http.MethodGet, path, nil, dps.MaxMessage)
	if err != nil {
		return nil, atFault(ctx, err)
	}
	switch res.Status {
	case http.StatusOK:
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return nil, nil
	default:
		return nil, problem.New(problem.Upstream, "the control plane answered %d when it was asked for the agreement", res.Status)
	}
	if res.Partial {
		return nil, problem.New(problem.Upstream, "the control plane's agreement is over %d bytes, or broke off", dps.MaxMessage)
	}
	a, err := dps.DecodeAgreement(res.Body)
	if err != nil {
		return nil, problem.Wrap(problem.Upstream, err, "the control plane's agreement can't be read")
	}
	return &gatewayapi.Agreement{
		ID: a.ID, DatasetID: a.Target, ProviderID: a.Assigner, ConsumerID: a.Assignee, SignedAt: a.Timestamp, Policy: a.Policy,
	}, nil
}

func (f *Finder) management(ctx context.Context, t *tenant.Tenant, flow *flowstore.Flow) (*gatewayapi.Agreement, error) {
	api, err := f.Management(t)
	if err != nil {
		return nil, atFault(ctx, err)
	}
	a, err := api.GetAgreement(ctx, flow.AgreementID)
	if problem.Is(err, problem.NotFound) {
		return nil, problem.New(problem.NotFound, "the control plane has no agreement %q", flow.AgreementID)
	}
	if err != nil {
		return nil, atFault(ctx, err)
	}
	out := &gatewayapi.Agreement{ID: a.AgreementID, DatasetID: a.AssetID, ProviderID: a.ProviderID, ConsumerID: a.ConsumerID, Policy: a.Policy}
	if out.ID == "" {
		out.ID = a.ID
	}
	if a.ContractSigningDate > 0 {
		out.SignedAt = time.Unix(a.ContractSigningDate, 0).UTC()
	}
	return out, nil
}

// atFault says that it was the control plane, and whether it failed or was slow.
func atFault(ctx context.Context, err error) error {
	if ctx.Err() != nil || problem.Is(err, problem.Timeout) {
		return problem.Wrap(problem.Timeout, err, "the control plane did not tell the agreement in time")
	}
	return problem.Wrap(problem.Upstream, err, "the control plane can't be asked for the agreement")
}
