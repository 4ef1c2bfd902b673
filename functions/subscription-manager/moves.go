package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

const (
	atOnce    = 8                // datasets of one subscription that are moved along at the same time
	lookTime  = 30 * time.Second // of one look; then no further dataset is begun with, and the next look goes on
	maxFaults = 5                // that are told of one look
)

// errUnfinished says that a look had no time for all that was due.
var errUnfinished = errors.New("there was no time for all that is due; the next look goes on")

// moves runs the moves of one look, a few at the same time, and collects their faults.
type moves struct {
	*handler
	tenant *tenant.Tenant
	index  int
	until  time.Time // then nothing more is begun

	work       errgroup.Group
	mu         sync.Mutex
	faults     []error
	more       int // faults that are not kept
	unfinished bool
}

func newMoves(h *handler, t *tenant.Tenant, i int) *moves {
	m := &moves{handler: h, tenant: t, index: i, until: time.Now().Add(lookTime)}
	m.work.SetLimit(atOnce)
	return m
}

func (m *moves) fault(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.faults) < maxFaults {
		m.faults = append(m.faults, err)
	} else {
		m.more++
	}
}

// do runs f unless the time is over.
func (m *moves) do(datasetID string, f func() error) {
	m.work.Go(func() error {
		if time.Now().After(m.until) {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.unfinished = true
			return nil
		}
		if err := f(); err != nil {
			m.fault(fmt.Errorf("dataset %s: %w", datasetID, err))
		}
		return nil
	})
}

// move moves a dataset along.
func (m *moves) move(ctx context.Context, datasetID string, o *offering) {
	m.do(datasetID, func() error { return m.advance(ctx, m.tenant, m.index, datasetID, o) })
}

// again tries a dataset again without looking at the whole catalog, under the name that it has.
func (m *moves) again(ctx context.Context, cp controlPlane, r gatewayapi.Supply) {
	m.do(r.DatasetID, func() error {
		d, err := cp.Dataset(ctx, m.tenant.Subscribe[m.index].CounterParty, r.DatasetID)
		if problem.Is(err, problem.NotFound) {
			return nil // it is offered no more, for the time being
		}
		if err != nil {
			return err
		}
		selections, err := m.selections.Of(m.tenant)
		if err != nil {
			return err
		}
		wanted, err := selections[m.index].Wants(assetOf(d), m.now())
		if err != nil || !wanted || r.Name == "" {
			return err
		}
		return m.advance(ctx, m.tenant, m.index, r.DatasetID, &offering{Dataset: d, name: r.Name})
	})
}

// wait waits for all moves and returns what went wrong.
func (m *moves) wait() error {
	_ = m.work.Wait() // the faults are in faults
	if m.more > 0 {
		m.faults = append(m.faults, fmt.Errorf("and %d more", m.more))
	}
	if m.unfinished {
		m.faults = append(m.faults, errUnfinished)
	}
	return errors.Join(m.faults...)
}
