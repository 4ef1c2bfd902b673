// Package local runs a whole deployment on one machine: embedded Redis, the sandbox dataspace with two tenants, the local
// broker, the gateway and the functions, each a process of its own, configured by nothing but its environment, as in a cluster.
package local

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/infra/internal/embeddedredis"
	"github.com/tidegate/tidegate/infra/internal/story"
	"github.com/tidegate/tidegate/infra/internal/supervisor"
	"github.com/tidegate/tidegate/shared/auth"
	"github.com/tidegate/tidegate/shared/gatewayapi"
)

// The bounds of a start and a stop. The stop's parts add up to less than the five seconds that Ctrl-C may take.
const (
	startTimeout     = 60 * time.Second
	stopFunctions    = 2 * time.Second
	stopGateway      = 1500 * time.Millisecond
	stopSandbox      = 500 * time.Millisecond
	registrationPoll = 20 * time.Millisecond
)

// Deployment is a running deployment.
type Deployment struct {
	Layout

	Gateway *gatewayapi.Client

	log       zerolog.Logger
	redis     *embeddedredis.Server
	story     *http.Server
	sandbox   *supervisor.Process
	broker    *supervisor.Process
	gateway   *supervisor.Process
	functions []*supervisor.Process
}

// Options say how a deployment is run.
type Options struct {
	BinDir string         // where the programs are
	Teller *story.Teller  // may be set by NewTeller's owner; required
	Log    zerolog.Logger // what the launcher itself has to say
	Env    []string       // added to every program's environment
}

// Prepare makes the files of a deployment and checks all that can be wrong before anything is started: ports, programs,
// tenants' documents, buckets.
func Prepare(l Layout, binDir string) (*auth.SharedSecret, error) {
	if err := l.checkPorts(); err != nil {
		return nil, err
	}
	for _, name := range append([]string{"sandbox", "local-broker", "dps-gateway"}, Functions...) {
		if _, err := os.Stat(filepath.Join(binDir, name)); err != nil {
			return nil, fmt.Errorf("program %s is not built: run 'make build': %w", name, err)
		}
	}
	if err := l.writeFiles(); err != nil {
		return nil, err
	}
	if err := checkTenants(l.Tenants()); err != nil {
		return nil, err
	}
	hooks, err := l.hooks()
	if err != nil {
		return nil, err
	}
	for _, name := range hooks {
		if _, err := os.Stat(filepath.Join(binDir, name)); err != nil {
			return nil, fmt.Errorf("a tenant's profiles name the function %s, which is not built: %w", name, err)
		}
	}
	return auth.NewSharedSecret(l.TokenFile())
}

// Start starts everything and returns when all tenants' data planes are registered. If something fails, nothing is left running.
func Start(ctx context.Context, l Layout, secret *auth.SharedSecret, o Options) (_ *Deployment, err error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	d := &Deployment{
		Layout:  l,
		log:     o.Log,
		Gateway: gatewayapi.NewClient(l.InternalURL(), &http.Client{Timeout: 10 * time.Second, Transport: secret.Transport(http.DefaultTransport)}),
	}
	defer func() {
		if err != nil {
			stopCtx, done := context.WithTimeout(context.WithoutCancel(ctx), startTimeout)
			defer done()
			err = errors.Join(err, d.Stop(stopCtx))
		}
	}()
	if d.redis, err = embeddedredis.Start(ctx, l.addr(portRedis), l.path("state", "redis.snapshot"), o.Log); err != nil {
		return nil, err
	}
	if err := d.serveStory(ctx, o.Teller); err != nil {
		return nil, err
	}
	run := func(name string, port int, health string, env ...string) *supervisor.Process {
		if err != nil {
			return nil
		}
		var p *supervisor.Process
		p, err = supervisor.Start(supervisor.Program{
			Name: name, Path: filepath.Join(o.BinDir, name), Log: filepath.Join(l.Logs(), name+".log"), Health: l.url(port) + health,
			Env: append(append(baseEnv(), env...), o.Env...),
		}, o.Log)
		return p
	}
	functions, err := l.programs()
	if err != nil {
		return nil, err
	}
	d.sandbox = run("sandbox", portSandbox, "/healthz", "SANDBOX_CONFIG="+l.path("sandbox.yaml"))
	d.broker = run("local-broker", portBroker, "/readyz", l.brokerEnv(functions)...)
	d.gateway = run("dps-gateway", portMetrics, "/readyz", l.gatewayEnv(functions)...)
	for i, name := range functions {
		settings, serr := l.settings(name)
		if serr != nil {
			return nil, serr
		}
		if p := run(name, portFunctions+i, "/readyz", append(l.functionEnv(i), settings...)...); p != nil {
			d.functions = append(d.functions, p)
		}
	}
	if err != nil {
		return nil, err
	}
	for _, p := range d.Processes() {
		if err := p.Ready(ctx); err != nil {
			return nil, err
		}
	}
	if err := d.registered(ctx); err != nil {
		return nil, err
	}
	return d, nil
}

// Processes are the programs that run, in the order in which they were started.
func (d *Deployment) Processes() []*supervisor.Process {
	var out []*supervisor.Process
	for _, p := range append([]*supervisor.Process{d.sandbox, d.broker, d.gateway}, d.functions...) {
		if p != nil {
			out = append(out, p)
		}
	}
	return out
}

// Stop drains and stops everything, callers before callees, and saves the state.
func (d *Deployment) Stop(ctx context.Context) error {
	supervisor.Stop(stopFunctions, d.functions...)
	supervisor.Stop(stopGateway, present(d.gateway, d.broker)...)
	supervisor.Stop(stopSandbox, present(d.sandbox)...)
	var errs []error
	if d.story != nil {
		errs = append(errs, d.story.Close())
	}
	if d.redis != nil {
		errs = append(errs, d.redis.Stop(ctx))
	}
	return errors.Join(errs...)
}

func present(ps ...*supervisor.Process) []*supervisor.Process {
	var out []*supervisor.Process
	for _, p := range ps {
		if p != nil {
			out = append(out, p)
		}
	}
	return out
}

func (d *Deployment) serveStory(ctx context.Context, t *story.Teller) error {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", d.addr(portStory))
	if err != nil {
		return fmt.Errorf("story: %w", err)
	}
	d.story = &http.Server{Handler: t, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		if err := d.story.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			d.log.Error().Err(err).Msg("the story has ended")
		}
	}()
	return nil
}

// registered waits until the control plane knows the data plane of each tenant.
func (d *Deployment) registered(ctx context.Context) error {
	for {
		known, missing := 0, []string(nil)
		for t, err := range d.Gateway.Tenants(ctx) {
			if err != nil {
				missing = append(missing, err.Error())
				break
			}
			known++
			if !t.Registered {
				missing = append(missing, t.ParticipantContextID+": "+strings.Join(t.Problems, "; "))
			}
		}
		if known > 0 && len(missing) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("data planes are not registered (%s): %w", strings.Join(missing, ", "), context.Cause(ctx))
		case <-time.After(registrationPoll):
		}
	}
}
