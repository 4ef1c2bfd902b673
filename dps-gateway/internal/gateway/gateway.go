package gateway

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/dps-gateway/internal/agreement"
	"github.com/tidegate/tidegate/dps-gateway/internal/approver"
	"github.com/tidegate/tidegate/dps-gateway/internal/controlplane"
	"github.com/tidegate/tidegate/dps-gateway/internal/data"
	"github.com/tidegate/tidegate/dps-gateway/internal/dataflow"
	"github.com/tidegate/tidegate/dps-gateway/internal/flowstore"
	"github.com/tidegate/tidegate/dps-gateway/internal/hook"
	"github.com/tidegate/tidegate/dps-gateway/internal/internalapi"
	"github.com/tidegate/tidegate/dps-gateway/internal/metrics"
	"github.com/tidegate/tidegate/dps-gateway/internal/outbox"
	"github.com/tidegate/tidegate/dps-gateway/internal/parked"
	"github.com/tidegate/tidegate/dps-gateway/internal/records"
	"github.com/tidegate/tidegate/dps-gateway/internal/redisconn"
	"github.com/tidegate/tidegate/dps-gateway/internal/registration"
	"github.com/tidegate/tidegate/dps-gateway/internal/renewal"
	"github.com/tidegate/tidegate/dps-gateway/internal/signaling"
	"github.com/tidegate/tidegate/dps-gateway/internal/token"
	"github.com/tidegate/tidegate/shared/auth"
	"github.com/tidegate/tidegate/shared/did"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/objectstore"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

// Gateway is a gateway whose listeners are open.
type Gateway struct {
	cfg       Config
	log       zerolog.Logger
	rdb       redis.UniversalClient
	tenants   *tenant.Registry
	clients   *clients
	planes    *controlplane.Client
	store     *flowstore.Redis
	relay     *outbox.Relay
	registrar *registration.Registrar
	data      *data.Server
	guard     *guard
	dids      *did.Resolver
	health    *health
	listeners []*listener
}

// files are what the configuration names and must be there.
type files struct {
	internal     *auth.SharedSecret
	controlPlane *auth.SharedSecret
	signer       *auth.Signer
	tenants      *tenant.Registry
	hooks        hook.URLs
}

// Open reads the files, opens the addresses and puts the parts together. It connects to nothing. On an error, which joins all
// faults, nothing is left open. Run must follow.
func Open(ctx context.Context, cfg Config, log zerolog.Logger) (*Gateway, error) {
	log = log.With().Str("program", "dps-gateway").Logger()
	cfg.SignalingURL, cfg.PublicURL = strings.TrimRight(cfg.SignalingURL, "/"), strings.TrimRight(cfg.PublicURL, "/")
	f, err := readFiles(cfg, log)
	if err != nil {
		return nil, err
	}
	listeners, err := openListeners(ctx, cfg)
	if err != nil {
		return nil, err
	}
	rdb, err := redisconn.Open(cfg.Redis)
	if err != nil {
		closeAll(listeners)
		return nil, err
	}
	g := &Gateway{
		cfg: cfg, log: log, rdb: rdb, tenants: f.tenants, clients: newClients(f.internal, cfg), listeners: listeners,
	}
	g.assemble(f)
	return g, nil
}

func readFiles(cfg Config, log zerolog.Logger) (f files, err error) {
	var faults []error
	note := func(setting string, err error) {
		if err != nil {
			faults = append(faults, problem.Field(setting, "%w", err))
		}
	}
	f.internal, err = auth.NewSharedSecret(cfg.InternalTokenFile)
	note("INTERNAL_TOKEN_FILE", err)
	f.controlPlane, err = auth.NewSharedSecret(cfg.ControlPlaneKeyFile)
	note("CONTROLPLANE_KEY_FILE", err)
	f.hooks, err = hook.ParseURLs(cfg.HookURLs)
	note("HOOK_URLS", err)
	f.tenants, err = tenant.Open(cfg.TenantsDir, log, hooksKnown(f.hooks))
	note("TENANTS_DIR", err)
	if len(faults) == 0 { // the key may be made here: not by a process that does not start
		f.signer, err = auth.LoadOrCreateSigningKey(cfg.SigningKeyFile)
		note("SIGNING_KEY_FILE", err)
	}
	return f, errors.Join(faults...)
}

func openListeners(ctx context.Context, cfg Config) ([]*listener, error) {
	var (
		all    []*listener
		faults []error
	)
	for _, a := range []struct{ setting, addr string }{
		{"SIGNALING_ADDR", cfg.SignalingAddr}, {"PUBLIC_ADDR", cfg.PublicAddr}, {"INTERNAL_ADDR", cfg.InternalAddr}, {"METRICS_ADDR", cfg.MetricsAddr},
	} {
		ln, err := listen(ctx, a.setting, a.addr)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		all = append(all, &listener{setting: a.setting, ln: ln})
	}
	if len(faults) > 0 {
		closeAll(all)
		return nil, errors.Join(faults...)
	}
	return all, nil
}

func closeAll(all []*listener) {
	for _, l := range all {
		_ = l.ln.Close() // never served
	}
}

// assemble makes the parts and hands each what it needs.
func (g *Gateway) assemble(f files) {
	cfg, log := g.cfg, g.log
	g.dids = did.NewResolver(did.Options{PlainHTTP: cfg.DIDPlainHTTP, AllowPrivate: cfg.PrivatePeers})
	m := metrics.New()
	m.Backlog(g.rdb, g.tenantIDs, log)
	bell := outbox.NewBell()
	writer := outbox.NewWriter(g.rdb, bell)
	parkedWork := parked.New(g.rdb, bell)
	recs := records.New(g.rdb, cfg.Retention)
	g.store = flowstore.New(g.rdb, bell, cfg.Retention)
	issuer := token.NewIssuer(f.signer, cfg.PublicURL, cfg.TokenTTL).WithRenewal(token.Renewal{Offer: g.offer, ShortTTL: cfg.ShortTTL})
	decider := approver.New(functionOf(cfg.ApproverURL, g.tenants), g.clients.functions, cfg.DecisionWait)
	counted := m.Flows(g.store)
	hooks := hook.New(f.hooks, g.clients.functions, m)
	registrations := controlplane.NewRegistrations(g.rdb)
	g.planes = controlplane.New(f.signer, cfg.PublicURL, g.clients.outside).WithRegistered(registrations, g.store, g.clients.planes)
	agreements := &agreement.Finder{
		Flows: g.store, Tenants: g.tenants, Planes: g.planes,
		Management: func(t *tenant.Tenant) (agreement.Management, error) { return g.clients.of(t) },
	}
	flows := dataflow.New(counted, issuer, decider, dataflow.Options{
		AllowHTTP: cfg.AllowPlainHTTP, DecideTimeout: cfg.DecisionWait, HookWait: cfg.HookWait, ReportWithin: cfg.HookReportWithin, Hooks: hooks, Outbox: writer,
		Agreements: agreements,
	})
	transfers := func(t *tenant.Tenant) (outbox.Transfers, error) { return g.clients.of(t) }
	g.relay = outbox.NewRelay(g.rdb, bell, outbox.Config{
		Senders: map[outbox.Lane]outbox.Sender{
			outbox.LaneEvent:     outbox.NewEventSender(f.internal, cfg.Sink, g.clients.broker, cfg.EventWait),
			outbox.LaneCallback:  outbox.NewCallbackSender(g.tenants, transfers, g.planes, g.store).WithAnswers(g.store),
			outbox.LaneTerminate: outbox.NewTerminateSender(g.tenants, transfers, g.store),
			outbox.LaneHook:      hook.NewSender(hooks, g.store),
			outbox.LaneOverdue:   flows.Overdue(),
		},
		Parker: parkedWork, Observer: m, Drain: relayDrain(cfg.DrainTime),
	}, log)
	g.registrar = registration.New(g.tenants, func(t *tenant.Tenant) (registration.DataPlanes, error) { return g.clients.of(t) },
		registration.NewMemory(g.rdb), registration.Config{
			SignalingURL: cfg.SignalingURL, JWKSURI: cfg.PublicURL + "/.well-known/jwks.json", Profiles: []string{dps.ProfileHTTPPull, dps.ProfileHTTPPush},
		}, log)
	m.LeftOver(func() int { return len(g.registrar.Left()) })
	g.data = data.New(data.Config{
		DataServerURL: functionOf(cfg.DataServerURL, g.tenants), Wait: cfg.DataWait, Waiting: cfg.DataWaiting, Pause: cfg.DataPause, Stall: cfg.StallTime, Blind: cfg.BlindTime,
		Limits: tenant.Limits{ConcurrentStreams: cfg.MaxStreams, RequestsPerSecond: cfg.MaxRequestsPerSecond, BytesPerSecond: cfg.MaxBytesPerSecond},
	}, data.Deps{
		Tokens: issuer, Flows: g.store, Datasets: recs, Records: recs, Outbox: writer, Tenants: g.tenants, DataServer: g.clients.functions,
		Renew:      &token.Endpoint{Issuer: issuer, Flows: g.store, Tenants: g.tenants, DIDs: g.dids, Log: log},
		OpenBucket: objectstore.Open, Metrics: m, Log: log,
	})
	renewer := &renewal.Renewer{
		Flows: g.store, Tenants: g.tenants, Peers: g.clients.peers, Vault: g.clients.outside, Before: cfg.RenewBefore, AllowPlainHTTP: cfg.AllowPlainHTTP,
		Log: log,
	}
	g.guard = &guard{rdb: g.rdb, cfg: cfg.Redis, log: log}
	g.health = &health{rdb: g.rdb, guard: g.guard, tenantsDir: cfg.TenantsDir}

	patience := signaling.NewPatience(cfg.SignalWait, cfg.SignalsWaiting, g.health.writesTo)
	m.SignalsWaiting(patience.Waiting)

	g.listeners[0].server = newServer(signaling.New(signaling.Deps{
		URL: cfg.SignalingURL, Tenants: g.tenants, Flows: flows, Outbox: writer, Datasets: recs, Vetoer: decider, Keys: f.controlPlane, HTTP: g.clients.outside, Log: log,
		Patience:      patience,
		Registrations: registrations, Peers: g.clients.planes, AllowPlainHTTP: cfg.AllowPlainHTTP, AllowPrivate: cfg.PrivateControlPlanes,
	}), log)
	public := newServer(g.data.Handler(), log)
	public.ConnContext = data.ConnContext
	public.ReadTimeout, public.WriteTimeout = 0, 0
	g.listeners[1].server = public
	g.listeners[2].server = newServer(internalapi.New(internalapi.Deps{
		Secret: f.internal, Tenants: g.tenants, Flows: counted, Reports: flows, Records: recs, Addresses: renewer, Agreements: agreements, Parked: parkedWork, Outbox: writer, Registrations: g.registrar, Log: log,
	}), log)
	probes := http.NewServeMux()
	probes.HandleFunc("GET /healthz", g.health.live)
	probes.HandleFunc("GET /readyz", g.health.ready)
	probes.Handle("GET /metrics", m.Handler())
	if cfg.PPROF {
		profiles(probes)
	}
	g.listeners[3].server = newServer(probes, log)
	for _, l := range g.listeners {
		l.server.Handler = last(&g.health.draining, l.server.Handler)
	}
}

// relayDrain is the part of the drain time that is the outbox's: what it can't send then stays in Redis.
func relayDrain(all time.Duration) time.Duration {
	return max(min(all/4, time.Second), time.Millisecond)
}

// Run serves until ctx ends, then drains: the listeners first, then the outbox, then the rest in reverse order of how it was
// opened. Its error is nil unless a listener failed, or Redis is one that would lose silently what is kept there.
func (g *Gateway) Run(ctx context.Context) error {
	if err := g.guard.check(ctx); err != nil {
		closeAll(g.listeners)
		return errors.Join(err, g.close())
	}
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var parts sync.WaitGroup
	parts.Go(func() {
		if err := g.guard.watch(background); err != nil {
			fail(err)
		}
	})
	parts.Go(func() { g.tenants.Watch(background, g.cfg.TenantsEvery, g.tenantsChanged) })
	parts.Go(func() { g.registrar.Run(background) })
	parts.Go(func() { g.relay.Run(background) })
	parts.Go(func() { g.data.Run(background, g.store.Watch(background)) })
	g.log.Info().Stringer("signaling", g.listeners[0].ln.Addr()).Stringer("public", g.listeners[1].ln.Addr()).
		Stringer("internal", g.listeners[2].ln.Addr()).Stringer("metrics", g.listeners[3].ln.Addr()).
		Int("tenants", len(g.tenants.All())).Msg("serving")
	err := serve(ctx, g.listeners[:3], g.listeners[3], g.cfg.DrainDelay, g.cfg.DrainTime-relayDrain(g.cfg.DrainTime), func() {
		g.health.draining.Store(true)
		g.log.Info().Dur("drain_time", g.cfg.DrainTime).Msg("stopping")
	})
	stop()
	parts.Wait()
	if cause := context.Cause(ctx); problem.Is(cause, problem.Invalid) { // the guard's
		err = errors.Join(err, cause)
	}
	err = errors.Join(err, g.close())
	g.log.Info().Msg("stopped")
	return err
}

// close closes what Open has opened, but the listeners.
func (g *Gateway) close() error {
	g.data.Close()
	g.dids.Close()
	g.clients.close()
	if err := g.rdb.Close(); err != nil {
		return problem.New(problem.Internal, "closing Redis: %w", err)
	}
	return nil
}

// Addrs are the addresses of the listeners: signaling, public, internal, metrics.
func (g *Gateway) Addrs() (signaling, public, internal, metrics string) {
	at := func(i int) string { return g.listeners[i].ln.Addr().String() }
	return at(0), at(1), at(2), at(3)
}

// offer is what a tenant's data addresses offer of renewal.
func (g *Gateway) offer(pc string) string {
	if t, ok := g.tenants.Get(pc); ok {
		return t.Renewal.Offer
	}
	return tenant.OfferOff
}

func (g *Gateway) tenantIDs() []string {
	all := g.tenants.All()
	ids := make([]string, len(all))
	for i, t := range all {
		ids[i] = t.ParticipantContextID
	}
	return ids
}

func (g *Gateway) tenantsChanged() {
	g.registrar.Changed()
	g.data.TenantsChanged()
	inForce := func(pc string) bool {
		_, ok := g.tenants.Get(pc)
		return ok
	}
	g.clients.forget(inForce)
	g.planes.Forget(inForce)
}
