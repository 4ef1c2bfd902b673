package bench

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tidegate/tidegate/infra/internal/supervisor"
	"github.com/tidegate/tidegate/shared/auth"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/tenant"
)

// tenants is how many tenants signals are spread over: a provider that serves one tenant only is not what the gateway is for.
const tenants = 8

func tenantID(i int) string { return fmt.Sprintf("bench%d", i%tenants) }

// world is a gateway process with a Redis process and a data server process, and what stands around them.
type world struct {
	processes

	b         *bench
	dir       string
	more      []tenant.Bucket // of every tenant, beside its folder
	outside   *outside
	rdb       *redis.Client
	redis     *supervisor.Process
	gateway   *supervisor.Process
	api       *gatewayapi.Client
	internal  string   // address of the internal listener
	env       []string // of the gateway
	signaling string   // addresses
	public    string
	metrics   string
	flows     int64
}

const tenantDocument = `participantContextId: %[1]s
did: did:web:%[1]s.example
controlPlane:
  managementUrl: %[2]s/management
  signalingUrl: %[2]s/signaling
  profile: http-dsp-profile-2025-1
  signaling:
    dataplaneId: %[1]s-tidegate
    authorization:
      type: oauth2_client_credentials
      tokenEndpoint: %[2]s/token
      clientId: %[5]s
      clientSecretFile: %[3]s
      issuer: %[2]s
      jwksUrl: %[2]s/keys
      audience: tidegate
auth:
  type: client_credentials
  tokenEndpoint: %[2]s/token
  clientId: tidegate
  clientSecretFile: %[3]s
buckets:
  - name: files
    url: file://%[4]s
`

// newWorld starts everything. Each tenant has its bucket of files, and those that are given. When it fails nothing is left running.
func newWorld(ctx context.Context, b *bench, name string, more ...tenant.Bucket) (_ *world, err error) {
	w := &world{b: b, dir: filepath.Join(b.dir, name), more: more}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	if w.outside, err = b.around(ctx); err != nil {
		return nil, err
	}
	if err := w.writeFiles(); err != nil {
		return nil, err
	}
	addrs, err := freeAddrs(5)
	if err != nil {
		return nil, err
	}
	dataServer := addrs[4]
	w.signaling, w.public, w.metrics = addrs[0], addrs[1], addrs[3]
	if w.redis, w.rdb, err = startRedis(ctx, &w.processes, filepath.Join(w.dir, "redis")); err != nil {
		return nil, err
	}
	secret, err := auth.NewSharedSecret(w.path("internal-token"))
	if err != nil {
		return nil, fmt.Errorf("internal token: %w", err)
	}
	w.internal = addrs[2]
	w.api = gatewayapi.NewClient("http://"+addrs[2], &http.Client{Timeout: 10 * time.Second, Transport: secret.Transport(http.DefaultTransport)})
	w.env = append(baseEnv(),
		"SIGNALING_ADDR="+w.signaling, "PUBLIC_ADDR="+w.public, "INTERNAL_ADDR="+addrs[2], "METRICS_ADDR="+w.metrics,
		"SIGNALING_URL=http://"+w.signaling, "PUBLIC_URL=http://"+w.public, "REDIS_URL=redis://"+w.rdb.Options().Addr+"/0",
		"K_SINK=http://"+w.outside.broker.addr+"/", "TENANTS_DIR="+w.path("tenants"), "INTERNAL_TOKEN_FILE="+w.path("internal-token"),
		"CONTROLPLANE_KEY_FILE="+w.path("controlplane-key"), "SIGNING_KEY_FILE="+w.path("signing-key.pem"),
		"APPROVER_URL="+w.outside.url, "DATA_SERVER_URL=http://"+dataServer, "ALLOW_PLAIN_HTTP=true",
	)
	if b.Profile != "" {
		w.env = append(w.env, "PPROF=true")
	}
	server, err := b.function("data-server", dataServer, w)
	if err != nil {
		return nil, err
	}
	if _, err := w.ready(ctx, server); err != nil {
		return nil, err
	}
	return w, w.startGateway(ctx)
}

func (w *world) startGateway(ctx context.Context) error {
	path, err := w.b.program("dps-gateway")
	if err != nil {
		return err
	}
	w.gateway, err = w.ready(ctx, supervisor.Program{
		Name: "dps-gateway", Path: path, Env: w.env, Log: w.path("dps-gateway.log"), Health: "http://" + w.metrics + "/readyz",
	})
	return err
}

// replica is a further gateway on the same Redis, with the same settings but for its addresses and what is given.
type replica struct {
	process                              *supervisor.Process
	signaling, public, internal, metrics string
}

func (w *world) startReplica(ctx context.Context, settings ...string) (*replica, error) {
	path, err := w.b.program("dps-gateway")
	if err != nil {
		return nil, err
	}
	addrs, err := freeAddrs(4)
	if err != nil {
		return nil, err
	}
	r := &replica{signaling: addrs[0], public: addrs[1], internal: addrs[2], metrics: addrs[3]}
	settings = append([]string{
		"SIGNALING_ADDR=" + r.signaling, "PUBLIC_ADDR=" + r.public, "INTERNAL_ADDR=" + r.internal, "METRICS_ADDR=" + r.metrics,
	}, settings...)
	env := slices.DeleteFunc(slices.Clone(w.env), func(old string) bool {
		name, _, _ := strings.Cut(old, "=")
		return slices.ContainsFunc(settings, func(s string) bool { return strings.HasPrefix(s, name+"=") })
	})
	r.process, err = w.ready(ctx, supervisor.Program{
		Name: "dps-gateway", Path: path, Env: append(env, settings...), Log: w.path("dps-gateway-" + r.signaling + ".log"), Health: "http://" + r.metrics + "/readyz",
	})
	return r, err
}

func (w *world) stopGateway() {
	supervisor.Stop(stopTime, w.gateway)
	w.all = slices.DeleteFunc(w.all, func(p *supervisor.Process) bool { return p == w.gateway })
}

// function says how a function is run, listening on addr.
func (b *bench) function(name, addr string, w *world) (supervisor.Program, error) {
	path, err := b.program(name)
	if err != nil {
		return supervisor.Program{}, err
	}
	host, port, _ := strings.Cut(addr, ":")
	return supervisor.Program{
		Name: name, Path: path, Log: w.path(name + ".log"), Health: "http://" + addr + "/readyz",
		Env: append(baseEnv(),
			"HOST="+host, "PORT="+port, "K_SINK=http://"+w.outside.broker.addr+"/", "GATEWAY_URL=http://127.0.0.1:1",
			"INTERNAL_TOKEN_FILE="+w.path("internal-token"), "TENANTS_DIR="+w.path("tenants"),
		),
	}, nil
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

func (w *world) bucket(pc string) string { return w.path("buckets/" + pc) }

func (w *world) writeFiles() error {
	for _, d := range []string{"tenants", "redis", "buckets"} {
		if err := os.MkdirAll(w.path(d), 0o750); err != nil {
			return fmt.Errorf("folder: %w", err)
		}
	}
	for _, name := range []string{"internal-token", "controlplane-key", "client-secret"} {
		raw := make([]byte, 24)
		if _, err := rand.Read(raw); err != nil {
			return fmt.Errorf("secret: %w", err)
		}
		if err := os.WriteFile(w.path(name), []byte(hex.EncodeToString(raw)), 0o600); err != nil {
			return fmt.Errorf("secret: %w", err)
		}
	}
	for i := range tenants {
		pc := tenantID(i)
		if err := os.Mkdir(w.bucket(pc), 0o750); err != nil {
			return fmt.Errorf("bucket: %w", err)
		}
		var doc strings.Builder
		_, _ = fmt.Fprintf(&doc, tenantDocument, pc, w.outside.url, w.path("client-secret"), w.bucket(pc), tokenSubject) // it never fails
		for _, more := range w.more {
			_, _ = fmt.Fprintf(&doc, "  - name: %s\n    url: %q\n    credentialsFile: %s\n", more.Name, more.URL, more.CredentialsFile)
		}
		if err := os.WriteFile(w.path("tenants/"+pc+".yaml"), []byte(doc.String()), 0o600); err != nil {
			return fmt.Errorf("tenant: %w", err)
		}
	}
	return nil
}

// close ends everything. What it ends is only asked to, so there is no error worth telling.
func (w *world) close() {
	if w.rdb != nil {
		_ = w.rdb.Close()
	}
	w.stop()
}

// startRedis starts a redis-server whose append-only file is on, synchronised every second: what the gateway is to be run with.
func startRedis(ctx context.Context, ps *processes, dir string) (*supervisor.Process, *redis.Client, error) {
	bin, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, nil, fmt.Errorf("run 'make test-tools': %w", err)
	}
	addrs, err := freeAddrs(1)
	if err != nil {
		return nil, nil, err
	}
	_, port, _ := strings.Cut(addrs[0], ":")
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, nil, fmt.Errorf("redis-server: %w", err)
	}
	p, err := ps.start(supervisor.Program{
		Name: "redis-server", Path: bin, Env: baseEnv(), Log: filepath.Join(dir, "log"),
		Args: []string{"--bind", "127.0.0.1", "--port", port, "--save", "", "--dir", dir, "--appendonly", "yes", "--appendfsync", "everysec"},
	})
	if err != nil {
		return nil, nil, err
	}
	rdb := redis.NewClient(&redis.Options{Addr: addrs[0], DisableIdentity: true})
	for deadline := time.Now().Add(readyTime); ; {
		err := rdb.Ping(ctx).Err()
		if err == nil {
			return p, rdb, nil
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return nil, nil, errors.Join(fmt.Errorf("redis-server does not answer: %w", err), rdb.Close())
		}
		if err := sleep(ctx, 10*time.Millisecond); err != nil {
			return nil, nil, errors.Join(err, rdb.Close())
		}
	}
}
