package local

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"

	"github.com/tidegate/tidegate/shared/loopback"
)

// The programs that listen, each at the base port plus its place here.
const (
	portRedis = iota
	portSandbox
	portBroker
	portSignaling
	portPublic
	portInternal
	portMetrics
	portStory
	portFunctions // and the following ones
)

// Functions are the functions that run on one machine, in the order of their ports.
var Functions = []string{
	"bucket-events", "asset-publisher", "negotiation-approver", "subscription-manager", "transfer-puller", "data-server", "transfer-pusher",
}

// ports is how many ports in a row a deployment takes.
var ports = portFunctions + len(Functions) + maxHooks

// Layout says where everything of one deployment is.
type Layout struct {
	Dir      string // the root of all the rest, absolute
	Outbox   string // the provider's bucket
	Inbox    string // the consumer's bucket
	BasePort int
}

// NewLayout returns the layout of a folder and a base port. Empty outbox and inbox are folders below it.
func NewLayout(dir string, basePort int, outbox, inbox string) (Layout, error) {
	l := Layout{Outbox: outbox, Inbox: inbox, BasePort: basePort}
	var err error
	if l.Dir, err = filepath.Abs(dir); err != nil {
		return l, fmt.Errorf("-dir %s: %w", dir, err)
	}
	if basePort < 1024 || basePort+ports > 65536 {
		return l, fmt.Errorf("-port %d: a number from 1024 to %d is expected", basePort, 65536-ports)
	}
	for _, b := range []struct {
		path   *string
		option string
		name   string
	}{{&l.Outbox, "-outbox", "provider/outbox"}, {&l.Inbox, "-inbox", "consumer/inbox"}} {
		if *b.path == "" {
			*b.path = l.path("buckets", filepath.FromSlash(b.name))
			if err := os.MkdirAll(*b.path, 0o750); err != nil {
				return l, fmt.Errorf("-dir %s: %w", dir, err)
			}
			continue
		}
		if *b.path, err = filepath.Abs(*b.path); err != nil {
			return l, fmt.Errorf("%s: %w", b.option, err)
		}
		info, err := os.Stat(*b.path)
		if err != nil {
			return l, fmt.Errorf("%s %s: %w", b.option, *b.path, err)
		}
		if !info.IsDir() {
			return l, fmt.Errorf("%s %s: it is no folder; a folder is expected", b.option, *b.path)
		}
	}
	return l, nil
}

func (l Layout) path(parts ...string) string {
	return filepath.Join(append([]string{l.Dir}, parts...)...)
}
func (l Layout) secret(name string) string { return l.path("secrets", name) }
func (l Layout) addr(port int) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(l.BasePort+port))
}
func (l Layout) url(port int) string { return "http://" + l.addr(port) }

// InternalURL is the gateway's internal listener.
func (l Layout) InternalURL() string { return l.url(portInternal) }

// SandboxURL is the sandbox dataspace.
func (l Layout) SandboxURL() string { return l.url(portSandbox) }

// PublicURL is where other participants call the gateway.
func (l Layout) PublicURL() string { return l.url(portPublic) }

// SignalingURL is where control planes call the gateway.
func (l Layout) SignalingURL() string { return l.url(portSignaling) }

// MetricsURL is where the gateway serves its metrics and health.
func (l Layout) MetricsURL() string { return l.url(portMetrics) }

// BrokerURL is the local broker.
func (l Layout) BrokerURL() string { return l.url(portBroker) }

// TokenFile holds the bearer secret of calls inside the deployment.
func (l Layout) TokenFile() string { return l.secret("internal-token") }

// SandboxAdminFile holds the key of the sandbox's own API.
func (l Layout) SandboxAdminFile() string { return l.secret("sandbox-admin") }

// Tenants is the folder of the tenants' documents.
func (l Layout) Tenants() string { return l.path("tenants") }

// Logs is the folder of the programs' logs.
func (l Layout) Logs() string { return l.path("logs") }

// fileURL spells a folder as the URL of a bucket.
func fileURL(dir string) string {
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(dir)}).String()
}

// checkPorts says which port is taken, if one is.
func (l Layout) checkPorts() error {
	for i := range ports {
		ln, err := net.Listen("tcp", l.addr(i)) //nolint:noctx // it returns at once
		if err != nil {
			return fmt.Errorf("port %d (for %s) is in use: take another range with -port (make run PORT=…); %d ports in a row are needed",
				l.BasePort+i, portName(i), ports)
		}
		_ = ln.Close() // nothing was accepted on it
	}
	return nil
}

func portName(i int) string {
	names := []string{"Redis", "sandbox", "broker", "gateway signaling", "gateway public", "gateway internal", "gateway metrics", "story"}
	if i < len(names) {
		return names[i]
	}
	if i -= portFunctions; i < len(Functions) {
		return Functions[i]
	}
	return "a function that serves a transfer profile"
}

// FreeBasePort finds a base port whose whole range is free and stays this process's until it ends.
func FreeBasePort() (int, error) { return loopback.Ports(ports) }

// ensureSecret returns the secret in a file, which is made if it is not there.
func ensureSecret(file string) (string, error) {
	b, err := os.ReadFile(file)
	if err == nil {
		return string(b), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("secret: %w", err)
	}
	raw := make([]byte, 24)
	if _, err := rand.Read(raw); err != nil {
		return "", fmt.Errorf("secret: %w", err)
	}
	s := hex.EncodeToString(raw)
	if err := os.WriteFile(file, []byte(s), 0o600); err != nil {
		return "", fmt.Errorf("secret: %w", err)
	}
	return s, nil
}
