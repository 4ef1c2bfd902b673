package main

import (
	"context"
	"sync"
	"time"

	"github.com/tidegate/tidegate/functions/stores"
	"github.com/tidegate/tidegate/shared/auth"
	"github.com/tidegate/tidegate/shared/function"
	"github.com/tidegate/tidegate/shared/tenant"
)

// parts are the parts of the running function.
type parts struct {
	pool    *stores.Pool
	sweeper *sweeper
	watcher *watcher // nil without WATCH
	service *function.Service
}

func assemble(cfg config, svc *function.Service, registry tenants) (*parts, error) {
	secretFile := cfg.NotificationSecretFile
	if secretFile == "" {
		secretFile = cfg.TokenFile
	}
	secret, err := auth.NewSharedSecret(secretFile)
	if err != nil {
		return nil, err
	}
	p := &parts{pool: stores.New(), service: svc}
	sw := &sweeper{
		tenants: registry, stores: p.pool, gateway: svc.Gateway(), publish: svc.Publish,
		settle: cfg.Settle, maxEvents: cfg.SweepEvents, concurrency: cfg.Concurrency, now: time.Now,
	}
	p.sweeper = sw
	if cfg.Watch {
		teller := &changeTeller{
			tenants: registry, stores: p.pool, publish: svc.Publish, settle: cfg.Settle, log: *svc.Logger(), now: time.Now,
		}
		p.watcher = newWatcher(registry, sw, teller, cfg.Settle, cfg.Concurrency, *svc.Logger())
	}
	svc.HandleEvents((&handler{sweeper: sw}).Handle)
	svc.HandleOpen("POST "+pathNotifications, &webhook{
		tenants: registry, stores: p.pool, publish: svc.Publish, secret: secret, keys: spelling(cfg.NotificationKeys),
		maxBytes: cfg.MaxEventBytes, timeout: cfg.Deadline, concurrency: cfg.Concurrency, log: svc.Logger(),
	})
	return p, nil
}

// background watches tenants, and folders if asked to, until ctx ends. It returns a function that waits for the end of both.
func (p *parts) background(ctx context.Context, registry *tenant.Registry, cfg config) (wait func()) {
	ctx, cancel := context.WithCancel(ctx)
	var work sync.WaitGroup
	changed := func() {}
	if p.watcher != nil {
		changed = p.watcher.tenantsChanged
		work.Go(func() {
			if err := p.watcher.run(ctx); err != nil {
				p.service.Logger().Error().Err(err).Msg("folders are not watched: changes are found by the sweep only")
			}
		})
	}
	work.Go(func() { registry.Watch(ctx, cfg.TenantsEvery, changed) })
	return func() {
		cancel()
		work.Wait()
	}
}
