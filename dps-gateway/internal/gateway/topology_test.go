package gateway_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tidegate/tidegate/dps-gateway/internal/gateway"
	"github.com/tidegate/tidegate/dps-gateway/internal/redistest"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/loopback"
)

// round goes once around what the gateway keeps in Redis: records, flows, the outbox, revocation.
func (f *faulty) round(t *testing.T, name string) {
	t.Helper()
	g := f.startFlow("provider", f.publish("provider", name, []byte("content of "+name)))
	if a := f.get(g); a.code != http.StatusOK || string(a.body) != "content of "+name {
		t.Fatalf("data: %d %s", a.code, a.body)
	}
	if a := f.try(g.flow+"/suspend", map[string]any{"messageId": "s-" + name}); a.code != http.StatusOK {
		t.Fatalf("suspend: %d %s", a.code, a.body)
	}
	if a := f.get(g); a.code == http.StatusOK {
		t.Error("data of a suspended flow")
	}
	if a := f.try(g.flow+"/resume", map[string]any{"messageId": "r-" + name}); a.code != http.StatusOK {
		t.Fatalf("resume: %d %s", a.code, a.body)
	}
	f.grant = g
}

func TestOnAClusterOfThree(t *testing.T) {
	rdb := redistest.Cluster3(t)
	for _, addr := range rdb.Options().Addrs {
		c := redis.NewClient(&redis.Options{Addr: addr, DisableIdentity: true})
		account(t, c, "+cluster|slots", "+cluster|shards", "+readonly")
		c.Close()
	}
	w := newWorldOn(t, rdb, "redis+cluster://gateway:secret@"+strings.Join(rdb.Options().Addrs, ","))
	f := &faulty{running: w.start(nil)}
	f.round(t, "a.txt")
	within(t, "ready", func() bool {
		res, err := f.hc.Get("http://" + f.metrics + "/readyz")
		if err != nil {
			return false
		}
		defer res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
}

// TestOverTLSWithAnAccountOfLeastRights gives the account what docs/operate.md says, and no more.
func TestOverTLSWithAnAccountOfLeastRights(t *testing.T) {
	dir := t.TempDir()
	ca, cert, key := certificate(t, dir)
	port := freeTCP(t)
	p := redistest.NewProcess(t, "--tls-port", port, "--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", ca, "--tls-auth-clients", "no")
	c := p.Client()
	account(t, c)
	w := newWorldOn(t, c, "rediss://gateway:secret@127.0.0.1:"+port)
	f := &faulty{running: w.start(func(cfg *gateway.Config) { cfg.Redis.CAFile = ca })}
	f.round(t, "a.txt")
	if log := c.Do(t.Context(), "ACL", "LOG").Val(); fmt.Sprint(log) != "[]" {
		t.Errorf("the account was refused: %v", log)
	}
}

// account makes the account of docs/operate.md.
func account(t *testing.T, c *redis.Client, more ...string) {
	t.Helper()
	args := []any{}
	for a := range strings.FieldsSeq("ACL SETUSER gateway reset on >secret ~tg:* &tg:* +@read +@write +@scripting +@pubsub +@connection +@transaction " +
		"+time -@dangerous +config|get +info " + strings.Join(more, " ")) {
		args = append(args, a)
	}
	if err := c.Do(t.Context(), args...).Err(); err != nil {
		t.Fatal(err)
	}
}

// certificate makes a certificate of 127.0.0.1 that is its own authority.
func certificate(t *testing.T, dir string) (ca, cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "redis"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	kder, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, b := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: kder}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, cert, key
}

func freeTCP(t *testing.T) string {
	t.Helper()
	port, err := loopback.Ports(1)
	if err != nil {
		t.Fatal(err)
	}
	return strconv.Itoa(port)
}

// TestAFailoverOfSentinelIsPassed kills the master of a group of two under three sentinels.
func TestAFailoverOfSentinelIsPassed(t *testing.T) {
	w, master := newWorldUnderSentinels(t)
	f := &faulty{running: w.start(func(c *gateway.Config) { c.Redis.Timeout = 500 * time.Millisecond }), redis: master}
	f.round(t, "a.txt")
	within(t, "the replica has it", func() bool {
		return master.Client().Do(t.Context(), "WAIT", 1, 1000).Val() == int64(1)
	})
	master.Kill()
	begin, refused := time.Now(), 0
	within(t, "a signal is taken again", func() bool {
		a := f.prepare("after")
		if a.code == http.StatusOK {
			return true
		}
		f.passing("prepare during the failover", a)
		refused++
		return false
	})
	t.Logf("taken again after %v and %d answers of 503", time.Since(begin).Round(10*time.Millisecond), refused)
	if s := f.state(f.grant.flow); s != dps.Started {
		t.Errorf("the flow from before is %q", s)
	}
	if a := f.get(f.grant); a.code != http.StatusUnauthorized && a.code != http.StatusForbidden && a.code != http.StatusOK {
		t.Errorf("data: %d", a.code)
	}
	f.round(t, "b.txt")
}

// newWorldUnderSentinels is a world on a master with a replica, which three sentinels watch.
func newWorldUnderSentinels(t *testing.T) (*world, *redistest.Process) {
	t.Helper()
	master := redistest.NewProcess(t)
	host, port, _ := net.SplitHostPort(master.Addr)
	replica := redistest.NewProcess(t, "--replicaof", host+" "+port)
	addrs := sentinels(t, host, port)
	within(t, "the replica follows and all sentinels know each other", func() bool {
		return strings.Contains(replica.Client().Info(t.Context(), "replication").Val(), "master_link_status:up") && known(t, addrs)
	})
	return newWorldOn(t, master.Client(), "redis+sentinel://"+strings.Join(addrs, ",")+"/tides/0"), master
}

func sentinels(t *testing.T, host, port string) (addrs []string) {
	t.Helper()
	for range 3 {
		p := freeTCP(t)
		dir := t.TempDir()
		conf := filepath.Join(dir, "sentinel.conf")
		text := fmt.Sprintf("bind 127.0.0.1\nport %s\ndir %s\nsentinel monitor tides %s %s 2\nsentinel down-after-milliseconds tides 1000\nsentinel failover-timeout tides 5000\n",
			p, dir, host, port)
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("redis-server", conf, "--sentinel")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		})
		addrs = append(addrs, "127.0.0.1:"+p)
	}
	return addrs
}

// known tells whether each sentinel sees the replica and the two others.
func known(t *testing.T, addrs []string) bool {
	t.Helper()
	for _, a := range addrs {
		c := redis.NewSentinelClient(&redis.Options{Addr: a, DisableIdentity: true})
		m, err := c.Master(context.Background(), "tides").Result()
		_ = c.Close()
		if err != nil || m["num-slaves"] != "1" || m["num-other-sentinels"] != "2" {
			return false
		}
	}
	return true
}
