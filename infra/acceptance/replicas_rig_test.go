package acceptance

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/infra/internal/service"
	"github.com/tidegate/tidegate/infra/internal/supervisor"
	"github.com/tidegate/tidegate/shared/auth"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/loopback"
)

const (
	fleetTenants = 8 // they are spread over the shards of the state
	drainTime    = 12 * time.Second
	drainDelay   = 1500 * time.Millisecond
	probeEvery   = 200 * time.Millisecond
)

// fleet is several gateways on one redis-server, behind what a Kubernetes Service is, with a data server; around them a broker
// and control planes that write down what they are told.
type fleet struct {
	dir     string
	bin     string
	redis   string // address
	service *service.Service
	outside *outside
	idp     string // of the control planes
	server  *supervisor.Process
	api     *gatewayapi.Client
	env     []string

	mu       sync.Mutex
	gateways []*gatewayProcess
	made     int
}

type gatewayProcess struct {
	*supervisor.Process

	name                        string
	signaling, public, internal string
	ready                       string
}

// The service's listeners.
const (
	atSignaling = iota
	atPublic
	atInternal
)

const fleetTenant = `participantContextId: %[1]s
did: did:web:%[1]s.example
controlPlane:
  managementUrl: %[2]s/management
  signalingUrl: %[2]s/signaling
  profile: http-dsp-profile-2025-1
  signaling:
    authorization:
      type: oauth2_client_credentials
      tokenEndpoint: %[5]s/oauth/token
      clientId: cp-%[1]s
      clientSecretFile: %[3]s
      issuer: %[5]s
      jwksUrl: %[5]s/keys
auth:
  type: client_credentials
  tokenEndpoint: %[2]s/token
  clientId: tidegate
  clientSecretFile: %[3]s
buckets:
  - name: files
    url: file://%[4]s
limits:
  bytesPerSecond: 8388608
`

const (
	secretPrefix = "a-secret-of-the-acceptance-tests-"
	clientSecret = secretPrefix + "client-secret"
)

func fleetTenantID(i int) string { return fmt.Sprintf("t%02d", i%fleetTenants) }

// startFleet starts n gateways and waits until all are ready.
func startFleet(t *testing.T, n int) *fleet {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Fatalf("redis-server is not installed: run 'make test-tools' first: %v", err)
	}
	dir, err := os.MkdirTemp("", "tidegate-replicas-") //nolint:usetesting // a failed test keeps it, to be looked at
	if err != nil {
		t.Fatal(err)
	}
	f := &fleet{dir: dir, bin: binDir(t), outside: newOutside(t)}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("logs are kept in", dir)
			return
		}
		_ = os.RemoveAll(dir)
	})
	sandbox := freeAddr(t)
	f.idp = "http://" + sandbox + "/idp"
	f.files(t)
	f.startRedis(t)
	f.startIDP(t, sandbox)
	if f.service, err = service.Start(t.Context(), 3, probeEvery); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.service.Close)
	f.outside.callers = auth.NewVerifier(auth.VerifierConfig{
		Issuer: "http://" + f.service.Addr(atPublic), JWKSURL: "http://" + f.service.Addr(atPublic) + "/.well-known/jwks.json",
		Audience: f.outside.plane.url + "/signaling",
	}, nil)
	secret, err := auth.NewSharedSecret(f.path("internal-token"))
	if err != nil {
		t.Fatal(err)
	}
	f.api = gatewayapi.NewClient("http://"+f.service.Addr(atInternal), &http.Client{Timeout: 10 * time.Second, Transport: secret.Transport(&http.Transport{})})
	dataServer := freeAddr(t)
	host, port, _ := strings.Cut(dataServer, ":")
	f.server = runProgram(t, supervisor.Program{
		Name: "data-server", Path: filepath.Join(f.bin, "data-server"), Log: f.path("data-server.log"), Health: "http://" + dataServer + "/readyz",
		Env: append(fleetEnv(), "HOST="+host, "PORT="+port, "K_SINK="+f.outside.broker.url, "GATEWAY_URL=http://"+f.service.Addr(atInternal),
			"INTERNAL_TOKEN_FILE="+f.path("internal-token"), "TENANTS_DIR="+f.path("tenants")),
	})
	f.env = append(fleetEnv(),
		"SIGNALING_URL=http://"+f.service.Addr(atSignaling), "PUBLIC_URL=http://"+f.service.Addr(atPublic), "REDIS_URL=redis://"+f.redis+"/0",
		"K_SINK="+f.outside.broker.url, "TENANTS_DIR="+f.path("tenants"), "INTERNAL_TOKEN_FILE="+f.path("internal-token"),
		"CONTROLPLANE_KEY_FILE="+f.path("controlplane-key"), "SIGNING_KEY_FILE="+f.path("signing-key.pem"), "APPROVER_URL="+f.outside.plane.url,
		"DATA_SERVER_URL=http://"+dataServer, "ALLOW_PLAIN_HTTP=true", "DRAIN_TIME="+drainTime.String(), "DRAIN_DELAY="+drainDelay.String(),
		"TENANT_CONCURRENT_STREAMS=10000",
	)
	if _, err := auth.LoadOrCreateSigningKey(f.path("signing-key.pem")); err != nil { // one for all replicas
		t.Fatal(err)
	}
	for range n {
		f.addGateway(t)
	}
	eventually(t, 30*time.Second, func() string {
		if ready := f.service.ReadyNow(); len(ready) < n {
			return fmt.Sprint("ready are only ", ready)
		}
		return ""
	})
	return f
}

func fleetEnv() []string {
	return []string{"LOG_LEVEL=info", "PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TMPDIR=" + os.TempDir()}
}

func (f *fleet) path(name string) string { return filepath.Join(f.dir, name) }

func (f *fleet) files(t *testing.T) {
	t.Helper()
	for _, d := range []string{"tenants", "redis"} {
		if err := os.MkdirAll(f.path(d), 0o750); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"internal-token", "controlplane-key", "client-secret"} {
		if err := os.WriteFile(f.path(name), []byte(secretPrefix+name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i := range fleetTenants {
		pc := fleetTenantID(i)
		bucket := f.path("buckets/" + pc)
		if err := os.MkdirAll(bucket, 0o750); err != nil {
			t.Fatal(err)
		}
		doc := fmt.Sprintf(fleetTenant, pc, f.outside.plane.url, f.path("client-secret"), bucket, f.idp)
		if err := os.WriteFile(f.path("tenants/"+pc+".yaml"), []byte(doc), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func freeAddr(t *testing.T) string {
	t.Helper()
	addr, err := loopback.Addr()
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

// runProgram runs a program until the test ends.
func runProgram(t *testing.T, p supervisor.Program) *supervisor.Process {
	t.Helper()
	pr, err := supervisor.Start(p, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { supervisor.Stop(drainTime+3*time.Second, pr) })
	return pr
}

func (f *fleet) startRedis(t *testing.T) {
	t.Helper()
	f.redis = startRedis(t, f.path("redis"), f.path("redis.log"))
}

// startIDP starts the identity provider from which the control planes have their tokens: the sandbox's, which is used for nothing else.
func (f *fleet) startIDP(t *testing.T, addr string) {
	t.Helper()
	config := fmt.Sprintf("listen: %s\nstateDir: %s\nadminKeyFile: %s\nparticipants:\n", addr, f.path("sandbox"), f.path("client-secret"))
	for i := range fleetTenants {
		pc := fleetTenantID(i)
		config += fmt.Sprintf("  - id: %[1]s\n    identity: did:web:%[1]s.example\n    clients:\n      - {id: cp-%[1]s, secretFile: %[2]s, role: controlplane, audience: [%[1]s-tidegate]}\n",
			pc, f.path("client-secret"))
	}
	if err := os.WriteFile(f.path("sandbox.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	runProgram(t, supervisor.Program{
		Name: "sandbox", Path: filepath.Join(f.bin, "sandbox"), Log: f.path("sandbox.log"), Health: "http://" + addr + "/healthz",
		Env: append(fleetEnv(), "SANDBOX_CONFIG="+f.path("sandbox.yaml")),
	})
	eventually(t, time.Minute, func() string {
		if _, err := f.token(t.Context(), http.DefaultClient, fleetTenantID(0)); err != nil {
			return err.Error()
		}
		return ""
	})
}

// token asks for a token of the control plane of a tenant.
func (f *fleet) token(ctx context.Context, hc *http.Client, pc string) (string, error) {
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {"cp-" + pc}, "client_secret": {clientSecret}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.idp+"/oauth/token", strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := hc.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = res.Body.Close() }()
	var got struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.NewDecoder(res.Body).Decode(&got); err != nil || got.AccessToken == "" {
		return "", fmt.Errorf("the identity provider answers %d: %w", res.StatusCode, err)
	}
	return got.AccessToken, nil
}

// startRedis starts a redis-server and returns its address.
func startRedis(t *testing.T, dir, log string) string {
	t.Helper()
	addr := freeAddr(t)
	_, port, _ := strings.Cut(addr, ":")
	bin, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatal(err)
	}
	runProgram(t, supervisor.Program{
		Name: "redis-server", Path: bin, Env: fleetEnv(), Log: log,
		Args: []string{"--bind", "127.0.0.1", "--port", port, "--save", "", "--dir", dir, "--appendonly", "yes"},
	})
	rdb := redis.NewClient(&redis.Options{Addr: addr, DisableIdentity: true})
	defer func() { _ = rdb.Close() }() // only asked
	eventually(t, time.Minute, func() string {
		if err := rdb.Ping(t.Context()).Err(); err != nil {
			return err.Error()
		}
		return ""
	})
	return addr
}

// addGateway starts one more gateway and puts it behind the service.
func (f *fleet) addGateway(t *testing.T) *gatewayProcess {
	t.Helper()
	f.mu.Lock()
	f.made++
	g := &gatewayProcess{name: fmt.Sprintf("dps-gateway-%d", f.made), signaling: freeAddr(t), public: freeAddr(t), internal: freeAddr(t)}
	f.mu.Unlock()
	metrics := freeAddr(t)
	g.ready = "http://" + metrics + "/readyz"
	var err error
	g.Process, err = supervisor.Start(supervisor.Program{
		Name: g.name, Path: filepath.Join(f.bin, "dps-gateway"), Log: f.path(g.name + ".log"), Health: g.ready,
		Env: append([]string{"SIGNALING_ADDR=" + g.signaling, "PUBLIC_ADDR=" + g.public, "INTERNAL_ADDR=" + g.internal, "METRICS_ADDR=" + metrics}, f.env...),
	}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.stopGateway(g) })
	f.service.Add(service.Replica{Name: g.name, Ready: g.ready, Addrs: []string{g.signaling, g.public, g.internal}})
	f.mu.Lock()
	f.gateways = append(f.gateways, g)
	f.mu.Unlock()
	return g
}

// stopGateway stops a gateway as a rollout does, and returns how long that took.
func (f *fleet) stopGateway(g *gatewayProcess) time.Duration {
	f.mu.Lock()
	found := false
	for i, other := range f.gateways {
		if other == g {
			f.gateways = append(f.gateways[:i:i], f.gateways[i+1:]...)
			found = true
			break
		}
	}
	f.mu.Unlock()
	if !found {
		return 0
	}
	began := time.Now()
	supervisor.Stop(drainTime+3*time.Second, g.Process)
	took := time.Since(began)
	f.service.Remove(g.name)
	return took
}

// all are the gateways that run now.
func (f *fleet) all() []*gatewayProcess {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]*gatewayProcess(nil), f.gateways...)
}

// readyWithin waits until n gateways get connections.
func (f *fleet) readyWithin(ctx context.Context, n int) error {
	for len(f.service.ReadyNow()) < n {
		select {
		case <-ctx.Done():
			return fmt.Errorf("ready are only %v: %w", f.service.ReadyNow(), ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}
