// Package rebuild brings back into an empty Redis what can be known without it: data flows from the transfer processes of the
// tenants' control planes, the dataset records of publishers from their assets and buckets, and the supply records of
// subscriptions from agreements, the catalog and what lies at the sinks.
//
// It runs while no gateway does, and writes only what is not there, so it may run again. What it can't bring back it says: data
// addresses and access tokens are secrets that only the other side had, the outbox and parked work are gone, and so is a
// person's verdict. Datasets that have changed meanwhile come back by the next sweep of the buckets, and decisions when a start
// or a resume asks for them; those of flows that are live already by Decisions.
package rebuild

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/tidegate/tidegate/dps-gateway/internal/flowstore"
	"github.com/tidegate/tidegate/dps-gateway/internal/records"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/management"
	"github.com/tidegate/tidegate/shared/objectstore"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

// ControlPlane is what a tenant's control plane is asked for.
type ControlPlane interface {
	QueryTransfers(ctx context.Context, q management.Query) iter.Seq2[*management.Transfer, error]
	QueryAgreements(ctx context.Context, q management.Query) iter.Seq2[*management.Agreement, error]
	QueryAssets(ctx context.Context, q management.Query) iter.Seq2[*management.Asset, error]
	QueryNegotiations(ctx context.Context, q management.Query) iter.Seq2[*management.Negotiation, error]
	Catalog(ctx context.Context, cp tenant.CounterParty, q management.Query) iter.Seq2[*management.Dataset, error]
	TerminateTransfer(ctx context.Context, id, reason string) error
}

// Flows is the store of data flows.
type Flows interface {
	Apply(ctx context.Context, t *flowstore.Transition) (flowstore.Result, error)
}

// Records is the store of records.
type Records interface {
	Get(ctx context.Context, pc string, kind gatewayapi.Kind, id string) (*records.Record, error)
	Put(ctx context.Context, pc string, kind gatewayapi.Kind, id string, body []byte, cond records.Condition) (string, error)
}

// Decider has the decision on an agreement made and recorded.
type Decider interface {
	Decide(ctx context.Context, req gatewayapi.DecideRequest) (gatewayapi.Decision, error)
}

// Options choose what is done about what can't be brought back.
type Options struct {
	Terminate bool // transfers of which the consumer's data address is lost, so that subscriptions start others
	SkipSinks bool // do not read the sinks: then everything is delivered once more
}

// Rebuilder does it.
type Rebuilder struct {
	Tenants []*tenant.Tenant
	Of      func(t *tenant.Tenant) (ControlPlane, error)
	Flows   Flows
	Records Records
	Decider Decider
	Open    func(ctx context.Context, b tenant.Bucket) (objectstore.Store, error)
	Out     io.Writer // the report
	Options Options
}

// Outcome sums up a run.
type Outcome struct {
	Lost   int // flows and supplies that need somebody's action, or come a second time
	Failed int // tenants that could not be rebuilt to the end
}

// agreementView is what is kept in memory of an agreement.
type agreementView struct {
	id, dataset, provider, consumer string
	signed                          int64
}

// report is what was found for one tenant, by what it is.
type report struct {
	done map[string]int
	lost []string
}

func (r *report) add(what string)              { r.done[what]++ }
func (r *report) lose(format string, a ...any) { r.lost = append(r.lost, fmt.Sprintf(format, a...)) }

// Run rebuilds datasets, flows and supplies of all tenants. One tenant's failure stops no other.
func (r *Rebuilder) Run(ctx context.Context) Outcome {
	return r.each(ctx, func(ctx context.Context, t *tenant.Tenant, cp ControlPlane, rep *report) error {
		agreements, err := agreementsOf(ctx, cp)
		if err != nil {
			return err
		}
		if err := r.datasets(ctx, t, cp, rep); err != nil {
			return err
		}
		if err := r.flows(ctx, t, cp, agreements, rep); err != nil {
			return err
		}
		return r.supplies(ctx, t, cp, agreements, rep)
	})
}

// Decisions has the decisions on the agreements of live provider flows made again. Their datasets must be back: it runs when the
// gateway and the functions do, and a sweep has been through.
func (r *Rebuilder) Decisions(ctx context.Context) Outcome {
	return r.each(ctx, func(ctx context.Context, t *tenant.Tenant, cp ControlPlane, rep *report) error {
		agreements, err := agreementsOf(ctx, cp)
		if err != nil {
			return err
		}
		return r.decisions(ctx, t, cp, agreements, rep)
	})
}

func (r *Rebuilder) each(ctx context.Context, one func(context.Context, *tenant.Tenant, ControlPlane, *report) error) (sum Outcome) {
	for _, t := range r.Tenants {
		rep := &report{done: map[string]int{}}
		cp, err := r.Of(t)
		if err == nil {
			err = one(ctx, t, cp, rep)
		}
		r.print(t.ParticipantContextID, rep, err)
		sum.Lost += len(rep.lost)
		if err != nil {
			sum.Failed++
		}
		if ctx.Err() != nil {
			return sum
		}
	}
	return sum
}

// print tells what became of a tenant. A report that nobody reads any more is no failure.
func (r *Rebuilder) print(pc string, rep *report, err error) {
	say := func(format string, a ...any) { _, _ = fmt.Fprintf(r.Out, format+"\n", a...) }
	say("%s:", pc)
	for _, what := range slices.Sorted(maps.Keys(rep.done)) {
		say("  %6d %s", rep.done[what], what)
	}
	for _, l := range rep.lost {
		say("  lost: %s", l)
	}
	switch {
	case err != nil:
		say("  FAILED: %v", err)
	case len(rep.done)+len(rep.lost) == 0:
		say("  nothing to bring back")
	}
}

func agreementsOf(ctx context.Context, cp ControlPlane) (map[string]agreementView, error) {
	all := map[string]agreementView{}
	for a, err := range cp.QueryAgreements(ctx, management.Query{PageSize: pageSize}) {
		if err != nil {
			return nil, fmt.Errorf("agreements: %w", err)
		}
		all[a.ID] = agreementView{a.ID, a.AssetID, a.ProviderID, a.ConsumerID, a.ContractSigningDate}
	}
	return all, nil
}

// create writes a record if there is none, and tells whether there was none.
func (r *Rebuilder) create(ctx context.Context, t *tenant.Tenant, kind gatewayapi.Kind, id string, record any) (made bool, err error) {
	doc, err := json.Marshal(record)
	if err != nil {
		return false, fmt.Errorf("%s %s: %w", kind, id, err)
	}
	_, err = r.Records.Put(ctx, t.ParticipantContextID, kind, id, doc, records.Condition{IfNoneMatch: "*"})
	if problem.Is(err, problem.Stale) {
		return false, nil
	}
	return err == nil, err
}

// pageSize of queries.
const pageSize = 250

// now is when records are written.
func now() time.Time { return time.Now().UTC() }

var errNoAgreement = errors.New("the control plane knows no agreement of it")
