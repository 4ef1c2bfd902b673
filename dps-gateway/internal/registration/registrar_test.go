package registration_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/tidegate/tidegate/dps-gateway/internal/redistest"
	"github.com/tidegate/tidegate/dps-gateway/internal/registration"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// edc is the control planes of all tenants: what is registered, and how many calls to come fail.
type edc struct {
	mu     sync.Mutex
	planes map[string]*dps.DataPlaneRegistrationMessage
	fail   int
	calls  []string
}

func (e *edc) of(t *tenant.Tenant) (registration.DataPlanes, error) { return plane{e, t}, nil }

type plane struct {
	*edc
	t *tenant.Tenant
}

func (p plane) call(name string, do func()) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls = append(p.calls, name+" "+p.t.ParticipantContextID)
	if p.fail > 0 {
		p.fail--
		return problem.New(problem.Unavailable, "the control plane is away")
	}
	do()
	return nil
}

func (p plane) RegisterDataPlane(_ context.Context, m *dps.DataPlaneRegistrationMessage) error {
	return p.call("put", func() { p.planes[m.DataplaneID] = m })
}

func (p plane) DeleteDataPlane(_ context.Context, id string) error {
	return p.call("delete", func() { delete(p.planes, id) })
}

func (e *edc) ids() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var ids []string
	for id := range e.planes {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

func (e *edc) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.calls)
}

type tenants struct {
	mu    sync.Mutex
	all   []*tenant.Tenant
	known []string // in no force
}

func (t *tenants) Known(pc string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Contains(t.known, pc) || slices.ContainsFunc(t.all, func(a *tenant.Tenant) bool { return a.ParticipantContextID == pc })
}

func (t *tenants) All() []*tenant.Tenant {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.all)
}

func (t *tenants) set(all ...*tenant.Tenant) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all = all
}

func newTenant(t *testing.T, pc string) *tenant.Tenant {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return &tenant.Tenant{ParticipantContextID: pc, ControlPlane: tenant.ControlPlane{
		Dialect: tenant.EDCV, ManagementURL: "http://edc/management", Signaling: tenant.Signaling{
			DataplaneID: pc + "-tidegate", Labels: []string{"eu"}, Authorization: tenant.SignalingAuthorization{
				Type: tenant.SignalingOAuth2, TokenEndpoint: "http://idp/token", ClientID: "edc", ClientSecretFile: file,
			},
		},
	}}
}

func start(t *testing.T, ts *tenants, e *edc, every time.Duration) *registration.Registrar {
	t.Helper()
	rdb, _ := redistest.Mini(t)
	r, _ := startOn(t, rdb, ts, e, registration.Config{Every: every})
	return r
}

// startOn starts a registrar that shares its memory with others, and returns how to stop it.
func startOn(t *testing.T, rdb redis.UniversalClient, ts *tenants, e *edc, cfg registration.Config) (*registration.Registrar, func()) {
	t.Helper()
	r := registration.New(ts, e.of, registration.NewMemory(rdb), registration.Config{
		SignalingURL: "http://gateway:8081", JWKSURI: "http://gateway:8082/.well-known/jwks.json", Profiles: []string{dps.ProfileHTTPPull},
		Every: cfg.Every, Backoff: time.Millisecond, MaxPause: 5 * time.Millisecond, Timeout: cfg.Timeout, GiveUp: cfg.GiveUp,
	}, zerolog.Nop())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.Run(ctx)
	}()
	stop := sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(stop)
	return r, stop
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

func registered(r *registration.Registrar, pc string) func() bool {
	return func() bool { ok, _ := r.Status(pc); return ok }
}

func TestATenantIsRegisteredUntilItHolds(t *testing.T) {
	ts, e := &tenants{}, &edc{planes: map[string]*dps.DataPlaneRegistrationMessage{}, fail: 4}
	ts.set(newTenant(t, "a"))
	r := start(t, ts, e, time.Hour)
	eventually(t, "registered", registered(r, "a"))
	if e.count() != 5 {
		t.Errorf("%d calls, want 5", e.count())
	}
	if d := cmp.Diff(&dps.DataPlaneRegistrationMessage{
		DataplaneID: "a-tidegate", Endpoint: "http://gateway:8081/participants/a/dataflows", Profiles: []string{dps.ProfileHTTPPull},
		TransferTypes: []string{dps.ProfileHTTPPull}, Labels: []string{"eu"}, Authorization: &dps.Authorization{
			Type: "oauth2_client_credentials", TokenEndpoint: "http://idp/token", ClientID: "edc", ClientSecret: "s3cret",
			JWKSURI: "http://gateway:8082/.well-known/jwks.json",
		},
	}, e.planes["a-tidegate"]); d != "" {
		t.Error(d)
	}
}

func TestProfilesThatFunctionsServeAreRegistered(t *testing.T) {
	e, ts := &edc{planes: map[string]*dps.DataPlaneRegistrationMessage{}}, &tenants{}
	ten := newTenant(t, "a")
	ts.set(ten)
	r := start(t, ts, e, time.Hour)
	offers := func(want ...string) func() bool {
		return func() bool {
			e.mu.Lock()
			defer e.mu.Unlock()
			p := e.planes["a-tidegate"]
			return p != nil && slices.Equal(p.Profiles, want) && slices.Equal(p.TransferTypes, want)
		}
	}
	eventually(t, "the gateway's own", offers(dps.ProfileHTTPPull))
	more := *ten
	more.Profiles = []tenant.Profile{{Profile: dps.ProfileHTTPPull, Hook: "gate"}, {Profile: "nats-stream-pull", Hook: "nats-stream"}}
	ts.set(&more)
	r.Changed()
	eventually(t, "and a function's", offers(dps.ProfileHTTPPull, "nats-stream-pull"))
}

func TestARegistrationIsRepeated(t *testing.T) {
	ts, e := &tenants{}, &edc{planes: map[string]*dps.DataPlaneRegistrationMessage{}}
	ts.set(newTenant(t, "a"))
	start(t, ts, e, 10*time.Millisecond)
	eventually(t, "registered", func() bool { return len(e.ids()) == 1 })
	e.mu.Lock()
	clear(e.planes) // the control plane loses it
	e.mu.Unlock()
	eventually(t, "registered again", func() bool { return len(e.ids()) == 1 })
}

func TestTenantsComeChangeAndGo(t *testing.T) {
	ts, e := &tenants{}, &edc{planes: map[string]*dps.DataPlaneRegistrationMessage{}}
	a, b := newTenant(t, "a"), newTenant(t, "b")
	r := start(t, ts, e, time.Hour)
	ts.set(a)
	r.Changed()
	eventually(t, "a", func() bool { return fmt.Sprint(e.ids()) == "[a-tidegate]" })
	ts.set(a, b)
	r.Changed()
	eventually(t, "a and b", func() bool { return fmt.Sprint(e.ids()) == "[a-tidegate b-tidegate]" })
	if n := e.count(); n != 2 {
		t.Errorf("%d calls for two tenants: the one that did not change was registered again", n)
	}
	renamed := *b
	renamed.ControlPlane.Signaling.DataplaneID = "b-2"
	ts.set(a, &renamed)
	r.Changed()
	eventually(t, "b under its new id only", func() bool { return fmt.Sprint(e.ids()) == "[a-tidegate b-2]" })
	ts.set(a)
	r.Changed()
	eventually(t, "b is gone", func() bool { return fmt.Sprint(e.ids()) == "[a-tidegate]" && !registered(r, "b")() })
}

func TestATenantThatComesBackIsNotDeregisteredLate(t *testing.T) {
	ts, e := &tenants{}, &edc{planes: map[string]*dps.DataPlaneRegistrationMessage{}}
	a := newTenant(t, "a")
	ts.set(a)
	r := start(t, ts, e, time.Hour)
	for range 30 {
		eventually(t, "registered", registered(r, "a"))
		ts.set()
		r.Changed()
		eventually(t, "forgotten", func() bool { return !registered(r, "a")() })
		e.mu.Lock()
		e.fail = 2 // so that the farewell is still being tried when the tenant is back
		e.mu.Unlock()
		ts.set(a)
		r.Changed()
	}
	eventually(t, "registered", registered(r, "a"))
	time.Sleep(50 * time.Millisecond) // longer than all tries of a farewell
	if fmt.Sprint(e.ids()) != "[a-tidegate]" {
		t.Errorf("registered are %v", e.ids())
	}
}

func TestWhatStandsInTheWayIsShown(t *testing.T) {
	ts, e := &tenants{}, &edc{planes: map[string]*dps.DataPlaneRegistrationMessage{}, fail: 1 << 30}
	a, b := newTenant(t, "a"), newTenant(t, "b")
	b.ControlPlane.Signaling.Authorization.ClientSecretFile = "/nowhere/secret"
	ts.set(a, b)
	r := start(t, ts, e, time.Hour)
	for pc, want := range map[string]string{
		"a": "registration: the control plane is away",
		"b": "registration: the client secret of the signaling authorization can't be read",
	} {
		eventually(t, pc, func() bool { ok, p := r.Status(pc); return !ok && fmt.Sprint(p) == "["+want+"]" })
	}
}
