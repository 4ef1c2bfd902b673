package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/management"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

const (
	tenantsAtOnce = 8                // whose subscriptions are looked after at the same time
	lookLimit     = 45 * time.Second // then what is still under way is given up: no control plane that hangs holds up the others
)

// offering is a dataset as the catalog offers it, and the name under which it is to be delivered.
type offering struct {
	*management.Dataset

	name string
}

// lookAll looks at every subscription that is due: the tenants at the same time, the subscriptions of one tenant one after the
// other, the one that has waited longest first. One that fails does not keep it from the others, and is no reason for the
// broker to try again: the next tick does.
func (h *handler) lookAll(ctx context.Context) {
	var work errgroup.Group
	work.SetLimit(tenantsAtOnce)
	for _, t := range h.tenants.All() {
		if len(t.Subscribe) == 0 {
			continue
		}
		work.Go(func() error {
			order := make([]int, len(t.Subscribe))
			for i := range order {
				order[i] = i
			}
			slices.SortStableFunc(order, func(a, b int) int {
				return h.pace.seen(paceKey(t, a)).Compare(h.pace.seen(paceKey(t, b)))
			})
			for _, i := range order {
				if ctx.Err() == nil {
					h.lookIfDue(ctx, t, i)
				}
			}
			return nil
		})
	}
	_ = work.Wait() // each has logged its own fault
}

func paceKey(t *tenant.Tenant, i int) string {
	return t.ParticipantContextID + "\n" + t.Subscribe[i].Name
}

func (h *handler) lookIfDue(ctx context.Context, t *tenant.Tenant, i int) {
	s := t.Subscribe[i]
	key, every := paceKey(t, i), time.Duration(s.Every)
	what := h.pace.begin(key, every, h.now())
	if what == nothing {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	err := h.look(ctx, t, i, what)
	h.pace.end(key, what, every, err == nil)
	if err != nil {
		zerolog.Ctx(ctx).Warn().Err(err).Str("participant_context_id", t.ParticipantContextID).Str("subscription", s.Name).
			Msg("the subscription could not be looked after completely")
	}
}

// look moves along what is due: whatever is under way or to be tried again, and, if the catalog is to be looked at, new
// datasets and new versions.
func (h *handler) look(ctx context.Context, t *tenant.Tenant, i int, what look) error {
	s := t.Subscribe[i]
	cp, err := h.controlPlane(t)
	if err != nil {
		return err
	}
	all, err := h.supplies(ctx, t)
	if err != nil {
		return err
	}
	m := newMoves(h, t, i)
	known := map[string]gatewayapi.Supply{}
	for _, r := range all {
		if r.Subscription == s.Name {
			known[r.DatasetID] = r
		}
	}
	taken := newNames()
	taken.claim(t, all)
	if what == catalog {
		h.lookAtCatalog(ctx, m, cp, known, taken)
	}
	for id, r := range known { // not in the catalog, not wanted any more, or not looked at
		switch {
		case underWay(r.State):
			m.move(ctx, id, nil)
		case what == records && r.State == gatewayapi.SupplyFailed && !h.now().Before(r.NextAttempt):
			m.again(ctx, cp, r)
		}
	}
	return m.wait()
}

// lookAtCatalog moves along what the catalog offers, and takes it out of known. Names are given in the order of the datasets'
// ids, so that two that look at the same catalog give the same.
func (h *handler) lookAtCatalog(ctx context.Context, m *moves, cp controlPlane, known map[string]gatewayapi.Supply, taken *names) {
	s := m.tenant.Subscribe[m.index]
	selections, err := h.selections.Of(m.tenant)
	if err != nil {
		m.fault(err)
		return
	}
	sink, ok := sinkOf(m.tenant, s)
	if !ok {
		m.fault(problem.New(problem.Unprocessable, "the tenant's document has no sink %s", s.Sink))
		return
	}
	var offers []*management.Dataset
	for d, err := range cp.Catalog(ctx, s.CounterParty, management.Query{}) {
		if err != nil {
			m.fault(err) // what was read of it counts
			break
		}
		offers = append(offers, d)
	}
	slices.SortStableFunc(offers, func(a, b *management.Dataset) int { return strings.Compare(a.ID, b.ID) })
	offers = slices.CompactFunc(offers, func(a, b *management.Dataset) bool { return a.ID == b.ID }) // named twice: the first counts
	for _, d := range offers {
		if d.ID == "" {
			continue
		}
		wanted, err := selections[m.index].Wants(assetOf(d), h.now())
		if err != nil {
			m.fault(fmt.Errorf("filter on dataset %s: %w", d.ID, err))
		}
		if !wanted { // what is under way for it ends all the same
			continue
		}
		r, have := known[d.ID]
		if h.due(r, have, versionOf(d)) {
			delete(known, d.ID)
			m.move(ctx, d.ID, &offering{Dataset: d, name: taken.of(sink, d, gatewayapi.SupplyID(s.Name, d.ID), r.Name)})
		}
	}
}

// supplies reads the records of a tenant.
func (h *handler) supplies(ctx context.Context, t *tenant.Tenant) ([]gatewayapi.Supply, error) {
	var all []gatewayapi.Supply
	for r, err := range gatewayapi.List[gatewayapi.Supply](ctx, h.gateway, t.ParticipantContextID, gatewayapi.KindSupply) {
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

// due tells from a record, as it was listed, whether there may be something to do.
func (h *handler) due(s gatewayapi.Supply, have bool, version string) bool {
	switch {
	case !have, underWay(s.State):
		return true
	case s.State == gatewayapi.SupplyDelivered:
		return isNew(s, version, h.now())
	}
	return !h.now().Before(s.NextAttempt)
}

func underWay(s gatewayapi.SupplyState) bool {
	return s == gatewayapi.SupplyNegotiating || s == gatewayapi.SupplyAgreed || s == gatewayapi.SupplyTransferring
}
