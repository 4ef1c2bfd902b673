package engine

import (
	"github.com/tidegate/tidegate/infra/sandbox/model"
	"github.com/tidegate/tidegate/infra/sandbox/store"
)

// Introduce registers the participant's control plane at its data plane, if it is one that registers itself. It does not wait.
func (e *Engine) Introduce(p *model.DataPlane) {
	if e.Planes.Registers(p) {
		e.wg.Go(func() { e.Planes.Register(e.life, p) })
	}
}

// Part takes that back, when the data plane is gone from here.
func (e *Engine) Part(p *model.DataPlane) {
	if e.Planes.Registers(p) {
		e.wg.Go(func() { e.Planes.Deregister(e.life, p) })
	}
}

// introduceAll does so at all data planes that are known, since what a configuration says of a control plane may have changed.
func (e *Engine) introduceAll() {
	var all []*model.DataPlane
	e.Store.View(func(tx *store.Tx) {
		for _, p := range e.Store.DataPlanes.All(tx) {
			all = append(all, p)
		}
	})
	for _, p := range all {
		e.Introduce(p)
	}
}
