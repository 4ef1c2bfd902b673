package acceptance

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// prepareScript is what the component redis of the manifests runs before its servers start.
const prepareScript = "../k8s/components/redis/prepare.sh"

// redisPatience is for a failover, or a start of all, on a machine that does many other things.
const redisPatience = 3 * time.Minute

// redisNode is a pod of the component: a Redis and a Sentinel, here as two processes.
type redisNode struct {
	dir, port, sentinelPort string
	processes               []*exec.Cmd
}

type redisGroup struct {
	dir       string
	authority *x509.CertPool
	nodes     []*redisNode
}

// The component redis, as its files set it up: with TLS and accounts of least rights, through the death of the master, of a volume, and of all.
func TestTheRedisOfTheManifestsOutlivesItsServers(t *testing.T) {
	for _, program := range []string{"redis-server", "redis-cli"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("%s is not installed: run 'make test-tools' first: %v", program, err)
		}
	}
	g := newRedisGroup(t)
	for _, n := range g.nodes {
		g.start(t, n)
	}
	g.whole(t)
	rdb := g.client(t)
	g.put(t, rdb, "first")
	for _, n := range g.nodes {
		g.has(t, n, "first")
	}
	g.accounts(t)
	ready := g.gateway(t)
	is(t, ready, "the gateway, with the account of the component")

	first := g.master(t)
	first.kill()
	g.put(t, rdb, "after the master's death")
	is(t, ready, "the gateway after the failover")

	g.start(t, first)
	g.has(t, first, "after the master's death")
	g.whole(t)

	first.kill()
	if err := os.RemoveAll(first.dir); err != nil {
		t.Fatal(err)
	}
	g.start(t, first)
	g.has(t, first, "after the master's death")
	g.whole(t)

	master := g.master(t)
	if master == first {
		t.Fatal("a server that came back is the master again")
	}
	empty := *master
	empty.dir = filepath.Join(g.dir, "empty")
	if out, err := g.prepare(t, &empty); err == nil || !strings.Contains(out, "waiting for a failover") {
		t.Errorf("a master without its data is prepared: %v %s", err, out)
	}

	for _, n := range g.nodes {
		n.kill()
	}
	for _, n := range g.nodes {
		g.start(t, n)
	}
	g.whole(t)
	if m := g.master(t); m != master {
		t.Error("after an outage of all another one is the master, which nobody has elected")
	}
	g.put(t, rdb, "after an outage of all")
	is(t, ready, "the gateway after an outage of all")
}

func newRedisGroup(t *testing.T) *redisGroup {
	t.Helper()
	g := &redisGroup{dir: t.TempDir(), authority: x509.NewCertPool()}
	for i := range 3 {
		_, port, _ := net.SplitHostPort(freeAddr(t))
		_, sentinel, _ := net.SplitHostPort(freeAddr(t))
		g.nodes = append(g.nodes, &redisNode{dir: filepath.Join(g.dir, fmt.Sprint(i)), port: port, sentinelPort: sentinel})
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		DNSNames: []string{"localhost"}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	g.authority.AppendCertsFromPEM(certPEM)
	for file, content := range map[string][]byte{
		"ca.crt": certPEM, "tls.crt": certPEM, "tls.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}),
		"password": []byte("of-the-gateway"), "sentinel-password": []byte("of-the-sentinels\n"), "replication-password": []byte("of-the-servers"),
	} {
		if err := os.WriteFile(filepath.Join(g.dir, file), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return g
}

// prepare runs the script as the pod's init container does.
func (g *redisGroup) prepare(t *testing.T, n *redisNode) (string, error) {
	t.Helper()
	if err := os.MkdirAll(n.dir, 0o750); err != nil {
		t.Fatal(err)
	}
	var sentinels []string
	for _, other := range g.nodes {
		sentinels = append(sentinels, "localhost:"+other.sentinelPort)
	}
	cmd := exec.CommandContext(t.Context(), "sh", prepareScript)
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOST=localhost", "PORT=" + n.port, "SENTINEL_PORT=" + n.sentinelPort, "FIRST=localhost:" + g.nodes[0].port,
		"SENTINELS=" + strings.Join(sentinels, " "), "DATA=" + n.dir, "SECRETS=" + g.dir, "SERVER=" + g.dir, "MAXMEMORY=100mb", "BIND=127.0.0.1 -::1",
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (g *redisGroup) start(t *testing.T, n *redisNode) {
	t.Helper()
	if out, err := g.prepare(t, n); err != nil {
		t.Fatalf("prepare.sh: %v: %s", err, out)
	}
	for _, args := range [][]string{{n.dir + "/redis.conf"}, {n.dir + "/sentinel.conf", "--sentinel"}} {
		log, err := os.OpenFile(args[0]+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(context.WithoutCancel(t.Context()), "redis-server", args...) // ended by kill
		cmd.Stdout = log
		err = cmd.Start()
		_ = log.Close() // the process has its own
		if err != nil {
			t.Fatal(err)
		}
		n.processes = append(n.processes, cmd)
	}
	t.Cleanup(func() {
		if t.Failed() {
			for _, file := range []string{"redis.conf", "redis.conf.log", "sentinel.conf.log"} {
				b, _ := os.ReadFile(filepath.Join(n.dir, file))
				t.Logf("%s of %s:\n%s", file, n.port, b[max(0, len(b)-3000):])
			}
		}
		n.kill()
	})
}

// kill ends both processes as the death of their machine does.
func (n *redisNode) kill() {
	for _, p := range n.processes {
		_ = p.Process.Kill()
		_ = p.Wait()
	}
	n.processes = nil
}

func (g *redisGroup) tls() *tls.Config {
	return &tls.Config{RootCAs: g.authority, ServerName: "localhost", MinVersion: tls.VersionTLS12}
}

func (g *redisGroup) sentinelAddrs() (addrs []string) {
	for _, n := range g.nodes {
		addrs = append(addrs, "localhost:"+n.sentinelPort)
	}
	return addrs
}

// client finds the master as the gateway does.
func (g *redisGroup) client(t *testing.T) *redis.Client {
	t.Helper()
	c := redis.NewFailoverClient(&redis.FailoverOptions{
		MasterName: "tidegate", SentinelAddrs: g.sentinelAddrs(), SentinelPassword: "of-the-sentinels",
		Username: "gateway", Password: "of-the-gateway", TLSConfig: g.tls(), DisableIdentity: true,
	})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func (g *redisGroup) direct(t *testing.T, n *redisNode, user, password string) *redis.Client {
	t.Helper()
	c := redis.NewClient(&redis.Options{Addr: "localhost:" + n.port, Username: user, Password: password, TLSConfig: g.tls(), DisableIdentity: true, MaxRetries: -1})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// put writes a value, as soon as there is a master that has a replica.
func (g *redisGroup) put(t *testing.T, rdb *redis.Client, value string) {
	t.Helper()
	eventually(t, redisPatience, func() string {
		if err := rdb.Set(t.Context(), "tg:test", value, 0).Err(); err != nil {
			return err.Error()
		}
		return ""
	})
}

// has waits until a server has the value.
func (g *redisGroup) has(t *testing.T, n *redisNode, value string) {
	t.Helper()
	c := g.direct(t, n, "gateway", "of-the-gateway")
	eventually(t, redisPatience, func() string {
		if got, err := c.Get(t.Context(), "tg:test").Result(); got != value {
			return fmt.Sprintf("server %s has %q, want %q (%v)", n.port, got, value, err)
		}
		return ""
	})
}

// whole waits until every Sentinel sees two others, two replicas and the same master.
func (g *redisGroup) whole(t *testing.T) {
	t.Helper()
	eventually(t, redisPatience, func() string {
		masters := map[string]bool{}
		for _, addr := range g.sentinelAddrs() {
			c := redis.NewSentinelClient(&redis.Options{Addr: addr, Password: "of-the-sentinels", TLSConfig: g.tls(), DisableIdentity: true})
			m, err := c.Master(t.Context(), "tidegate").Result()
			_ = c.Close() // only asked
			if err != nil {
				return err.Error()
			}
			if m["flags"] != "master" || m["num-other-sentinels"] != "2" || m["num-slaves"] != "2" {
				return fmt.Sprintf("Sentinel %s sees %s: %s, %s others, %s replicas", addr, m["port"], m["flags"], m["num-other-sentinels"], m["num-slaves"])
			}
			masters[m["port"]] = true
		}
		if len(masters) != 1 {
			return fmt.Sprint("masters: ", masters)
		}
		return ""
	})
}

func (g *redisGroup) master(t *testing.T) (found *redisNode) {
	t.Helper()
	eventually(t, redisPatience, func() string {
		c := redis.NewSentinelClient(&redis.Options{Addr: "localhost:" + g.nodes[0].sentinelPort, Password: "of-the-sentinels", TLSConfig: g.tls(), DisableIdentity: true})
		defer func() { _ = c.Close() }() // only asked
		addr, err := c.GetMasterAddrByName(t.Context(), "tidegate").Result()
		for _, n := range g.nodes {
			if err == nil && n.port == addr[1] {
				found = n
				return ""
			}
		}
		return fmt.Sprint("no master: ", addr, err)
	})
	return found
}

// accounts: nobody without a password does more than ping, and the gateway's account reaches no further than its keys.
func (g *redisGroup) accounts(t *testing.T) {
	t.Helper()
	master := g.master(t)
	nobody, gateway := g.direct(t, master, "", ""), g.direct(t, master, "gateway", "of-the-gateway")
	if err := nobody.Ping(t.Context()).Err(); err != nil {
		t.Errorf("the probe: %v", err)
	}
	for what, err := range map[string]error{
		"a read without a password":      nobody.Get(t.Context(), "tg:test").Err(),
		"the gateway at another's key":   gateway.Set(t.Context(), "other", "x", 0).Err(),
		"the gateway empties all":        gateway.FlushAll(t.Context()).Err(),
		"the gateway changes a setting":  gateway.ConfigSet(t.Context(), "appendonly", "no").Err(),
		"the servers' account at a key":  g.direct(t, master, "replica", "of-the-servers").Get(t.Context(), "tg:test").Err(),
		"the sentinels' account at data": g.direct(t, master, "sentinel", "of-the-servers").Get(t.Context(), "tg:test").Err(),
	} {
		if err == nil || !strings.HasPrefix(err.Error(), "NOPERM") {
			t.Errorf("%s: %v, want NOPERM", what, err)
		}
	}
}

// gateway starts one on this Redis and returns the address at which it says whether it is ready.
func (g *redisGroup) gateway(t *testing.T) (readyz string) {
	t.Helper()
	tenants, metrics := filepath.Join(g.dir, "tenants"), freeAddr(t)
	if err := os.Mkdir(tenants, 0o750); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"internal-token", "controlplane-key"} {
		if err := os.WriteFile(filepath.Join(g.dir, name), []byte("a-secret-of-the-acceptance-tests-"+name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	at := func(name string) string { return filepath.Join(g.dir, name) }
	out, err := os.Create(at("gateway.log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), filepath.Join(binDir(t), "dps-gateway"))
	cmd.Stderr = out
	cmd.Env = append(fleetEnv(),
		"SIGNALING_ADDR="+freeAddr(t), "PUBLIC_ADDR="+freeAddr(t), "INTERNAL_ADDR="+freeAddr(t), "METRICS_ADDR="+metrics,
		"SIGNALING_URL=http://127.0.0.1:1", "PUBLIC_URL=http://127.0.0.1:1", "K_SINK=http://127.0.0.1:1", "APPROVER_URL=http://127.0.0.1:1", "DATA_SERVER_URL=http://127.0.0.1:1",
		"TENANTS_DIR="+tenants, "INTERNAL_TOKEN_FILE="+at("internal-token"), "CONTROLPLANE_KEY_FILE="+at("controlplane-key"), "SIGNING_KEY_FILE="+at("signing-key.pem"),
		"REDIS_URL=rediss+sentinel://gateway@"+strings.Join(g.sentinelAddrs(), ",")+"/tidegate/0",
		"REDIS_PASSWORD_FILE="+at("password"), "REDIS_SENTINEL_PASSWORD_FILE="+at("sentinel-password"), "REDIS_CA_FILE="+at("ca.crt"), "ALLOW_PLAIN_HTTP=true",
	)
	if err := os.WriteFile(at("signing-key.pem"), g.signingKey(t), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = out.Close()
		if b, err := os.ReadFile(at("gateway.log")); t.Failed() && err == nil {
			t.Logf("the gateway:\n%s", b[max(0, len(b)-3000):])
		}
	})
	return "http://" + metrics + "/readyz"
}

func (g *redisGroup) signingKey(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// is waits until a program says that it is ready.
func is(t *testing.T, readyz, who string) {
	t.Helper()
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	eventually(t, redisPatience, func() string {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, readyz, http.NoBody)
		if err != nil {
			return err.Error()
		}
		res, err := client.Do(req)
		if err != nil {
			return err.Error()
		}
		defer func() { _ = res.Body.Close() }() // read to its end
		if b, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusOK {
			return fmt.Sprintf("%s is not ready: %d %s", who, res.StatusCode, b)
		}
		return ""
	})
}
