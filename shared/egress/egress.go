// Package egress keeps calls whose target another participant names (DID documents, refresh endpoints) from reaching what is
// not meant for others: the deployment's own network. The address is looked at when the connection is made, so a name that
// resolves to something else the second time (DNS rebinding) is refused too.
package egress

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"
)

// ErrNotPublic says that an address is not one of the public Internet.
var ErrNotPublic = errors.New("the address is private, loopback, link-local or otherwise not public")

// ErrRedirect says that an answer is a redirect, which is never followed.
var ErrRedirect = errors.New("the answer is a redirect, which is not followed")

// Options are the settings of a client.
type Options struct {
	AllowPrivate bool          // reach any address: for one machine, or a dataspace inside one network
	TLS          *tls.Config   // nil = the system's certificates
	Timeout      time.Duration // of a whole exchange; default 5s
}

// NewClient returns a client that reaches public addresses only, follows no redirect and uses no proxy.
func NewClient(o Options) *http.Client {
	if o.Timeout <= 0 {
		o.Timeout = 5 * time.Second
	}
	d := &net.Dialer{Timeout: o.Timeout}
	if !o.AllowPrivate {
		d.ControlContext = publicOnly
	}
	return &http.Client{
		Timeout: o.Timeout,
		Transport: &http.Transport{
			DialContext: d.DialContext, TLSClientConfig: o.TLS, TLSHandshakeTimeout: o.Timeout, ForceAttemptHTTP2: true,
			MaxIdleConns: 64, MaxIdleConnsPerHost: 2, IdleConnTimeout: 30 * time.Second, MaxResponseHeaderBytes: 32 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return ErrRedirect },
	}
}

// publicOnly is called with the address of the connection that is about to be made, after the name was resolved.
func publicOnly(_ context.Context, _, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil || !Public(ap.Addr()) {
		return ErrNotPublic
	}
	return nil
}

// special are the blocks that netip has no word for (IANA special-purpose address registries, RFC 6890).
var special = func() (out []netip.Prefix) {
	for _, s := range []string{
		"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
		"240.0.0.0/4", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "fec0::/10", "5f00::/16",
	} {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}()

// Public tells whether an address is one of the public Internet. What only wraps an IPv4 address (NAT64, 6to4, Teredo) is not.
func Public(a netip.Addr) bool {
	a = a.Unmap()
	if !a.IsGlobalUnicast() || a.IsPrivate() || a.Zone() != "" {
		return false
	}
	for _, p := range special {
		if p.Contains(a) {
			return false
		}
	}
	return true
}
