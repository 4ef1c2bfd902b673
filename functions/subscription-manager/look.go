package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/tidegate/tidegate/functions/rules"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/management"
	"github.com/tidegate/tidegate/shared/tenant"
)

const (
	atOnce       = 8                // datasets that are moved along at the same time
	defaultEvery = 30 * time.Second // between two looks at a catalog, if the document says nothing
)

// offering is a dataset as the catalog offers it, and the name under which it is to be delivered.
type offering struct {
	*management.Dataset

	name string
}

// looks remembers when each catalog was looked at last: the schedule ticks for all tenants alike, each subscription has a
// pace of its own. A new process knows nothing and looks at once.
type looks struct {
	mu   sync.Mutex
	last map[string]time.Time
}

func newLooks() *looks { return &looks{last: map[string]time.Time{}} }

// due tells whether it is time, and if so notes it.
func (l *looks) due(key string, every time.Duration, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if last, ok := l.last[key]; ok && now.Sub(last) < every {
		return false
	}
	l.last[key] = now
	return true
}

// lookAll looks at every subscription that is due. One that fails does not keep it from the others, and is no reason for the
// broker to try again: the next tick does.
func (h *handler) lookAll(ctx context.Context) {
	for _, t := range h.tenants.All() {
		for i, s := range t.Subscribe {
			every := time.Duration(s.Every)
			if every <= 0 {
				every = defaultEvery
			}
			if !h.looks.due(t.ParticipantContextID+"\n"+s.Name, every, h.now()) {
				continue
			}
			if err := h.look(ctx, t, i); err != nil {
				zerolog.Ctx(ctx).Warn().Err(err).Str("participant_context_id", t.ParticipantContextID).Str("subscription", s.Name).
					Msg("the subscription could not be looked after completely")
			}
		}
	}
}

// look compares a catalog with what was delivered, and moves along what is due: new datasets, new versions, and whatever is
// under way.
func (h *handler) look(ctx context.Context, t *tenant.Tenant, i int) error {
	s := t.Subscribe[i]
	selection, err := rules.CompileSelection(s, i)
	if err != nil {
		return err
	}
	cp, err := h.controlPlane(t)
	if err != nil {
		return err
	}
	known, err := h.supplies(ctx, t, s)
	if err != nil {
		return err
	}
	taken := names{}
	for _, r := range known {
		taken[r.Name] = r.DatasetID
	}
	var (
		work errgroup.Group
		mu   sync.Mutex
		errs []error
	)
	work.SetLimit(atOnce)
	move := func(datasetID string, o *offering) {
		work.Go(func() error {
			if err := h.advance(ctx, t, i, datasetID, o); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, fmt.Errorf("dataset %s: %w", datasetID, err))
			}
			return nil
		})
	}
	for d, err := range cp.Catalog(ctx, s.CounterParty, management.Query{}) {
		if err != nil {
			errs = append(errs, err)
			break
		}
		wanted, err := selection.Wants(assetOf(d), h.now())
		if err != nil {
			errs = append(errs, fmt.Errorf("filter on dataset %s: %w", d.ID, err))
			continue
		}
		if !wanted { // what is under way for it ends all the same, below
			continue
		}
		record, have := known[d.ID]
		delete(known, d.ID)
		if h.due(record, have, versionOf(d)) {
			move(d.ID, &offering{Dataset: d, name: taken.of(d)})
		}
	}
	for id, record := range known { // no longer wanted or in the catalog, or the catalog could not be read to its end
		if underWay(record.State) {
			move(id, nil)
		}
	}
	_ = work.Wait() // the faults are in errs
	return errors.Join(errs...)
}

// supplies reads the records of a subscription, by dataset.
func (h *handler) supplies(ctx context.Context, t *tenant.Tenant, s tenant.Subscription) (map[string]gatewayapi.Supply, error) {
	known := map[string]gatewayapi.Supply{}
	for r, err := range gatewayapi.List[gatewayapi.Supply](ctx, h.gateway, t.ParticipantContextID, gatewayapi.KindSupply) {
		if err != nil {
			return nil, err
		}
		if r.Subscription == s.Name {
			known[r.DatasetID] = r
		}
	}
	return known, nil
}

// due tells from a record, as it was listed, whether there may be something to do.
func (h *handler) due(s gatewayapi.Supply, have bool, version string) bool {
	switch {
	case !have, underWay(s.State):
		return true
	case s.State == gatewayapi.SupplyDelivered:
		return isNew(s, version)
	}
	return !h.now().Before(s.NextAttempt)
}

func underWay(s gatewayapi.SupplyState) bool {
	return s == gatewayapi.SupplyNegotiating || s == gatewayapi.SupplyAgreed || s == gatewayapi.SupplyTransferring
}

// isNew tells whether the catalog offers a version that was neither delivered nor is what the record is about.
func isNew(s gatewayapi.Supply, version string) bool {
	return version != s.Version && version != s.DeliveredVersion
}
