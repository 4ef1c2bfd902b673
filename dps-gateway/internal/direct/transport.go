// Package direct sends many small requests to a near server by HTTP/1.1. net/http's Transport hands each request to one goroutine and
// takes its answer from another; for the two events of each data flow that was a good part of what the gateway did at all. Here the
// goroutine that asks writes and reads by itself, on a connection that is kept.
package direct

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"
)

// Defaults of a Transport.
const (
	maxIdle     = 256
	idleTime    = 90 * time.Second
	dialTimeout = 10 * time.Second
)

// Transport is an http.RoundTripper for requests that may be sent twice: if a kept connection turns out to be closed, the request is sent
// again on another one, without knowing whether the first was read. It takes those by plain HTTP, without a proxy, whose body can
// be had again; all others go to Next. It is safe for concurrent use.
type Transport struct {
	Next  http.RoundTripper
	Proxy func(*http.Request) (*url.URL, error) // as http.Transport has it; nil = none
	Dial  func(ctx context.Context, network, addr string) (net.Conn, error)

	mu    sync.Mutex
	idle  map[string][]*conn // by address, the one that was used last at the end
	sweep *time.Timer        // closes what is idle for too long; nil if nothing is
}

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if !t.takes(r) {
		return t.Next.RoundTrip(r)
	}
	addr := address(r.URL)
	for {
		c := t.take(addr)
		kept := c != nil
		if !kept {
			var err error
			if c, err = t.dial(r.Context(), addr); err != nil {
				closeBody(r)
				return nil, err
			}
		}
		res, err := c.exchange(r)
		switch {
		case err == nil:
			if c.reusable {
				t.put(addr, c)
			}
			closeBody(r)
			return res, nil
		case kept && errors.Is(err, errUnanswered) && !errors.Is(err, os.ErrDeadlineExceeded) && r.Context().Err() == nil:
			if r, err = again(r); err == nil {
				continue
			}
		}
		closeBody(r)
		if cause := context.Cause(r.Context()); cause != nil {
			err = cause
		}
		return nil, err
	}
}

// takes tells whether the request is one for a direct connection.
func (t *Transport) takes(r *http.Request) bool {
	if r.URL.Scheme != "http" || r.URL.Host == "" || (r.Body != nil && r.Body != http.NoBody && r.GetBody == nil) || r.Header.Get("Upgrade") != "" {
		return false
	}
	if t.Proxy == nil {
		return true
	}
	proxy, err := t.Proxy(r)
	return err == nil && proxy == nil
}

// again is the request with its body from the beginning.
func again(r *http.Request) (*http.Request, error) {
	closeBody(r)
	if r.GetBody == nil {
		return r, nil
	}
	body, err := r.GetBody()
	if err != nil {
		return r, fmt.Errorf("the body can't be had again: %w", err)
	}
	r = r.WithContext(r.Context()) // a RoundTripper must not change its request
	r.Body = body
	return r, nil
}

func closeBody(r *http.Request) {
	if r.Body != nil {
		_ = r.Body.Close() // it was read as far as anybody wants it
	}
}

func address(u *url.URL) string {
	if u.Port() == "" {
		return net.JoinHostPort(u.Hostname(), "80")
	}
	return u.Host
}

func (t *Transport) dial(ctx context.Context, addr string) (*conn, error) {
	dial := t.Dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: dialTimeout}).DialContext
	}
	c, err := dial(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return newConn(c), nil
}

// take returns the kept connection that was used last; nil if there is none.
func (t *Transport) take(addr string) *conn {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := t.idle[addr]
	if len(all) == 0 {
		return nil
	}
	c := all[len(all)-1]
	all[len(all)-1] = nil
	t.idle[addr] = all[:len(all)-1]
	return c
}

// put keeps a connection for the next request.
func (t *Transport) put(addr string, c *conn) {
	c.since = time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.idle[addr]) >= maxIdle {
		c.close()
		return
	}
	if t.idle == nil {
		t.idle = map[string][]*conn{}
	}
	t.idle[addr] = append(t.idle[addr], c)
	if t.sweep == nil {
		t.sweep = time.AfterFunc(idleTime, t.closeOld)
	}
}

// closeOld closes what nobody has used for idleTime.
func (t *Transport) closeOld() {
	t.mu.Lock()
	defer t.mu.Unlock()
	left := false
	for addr, all := range t.idle {
		n := 0
		for n < len(all) && time.Since(all[n].since) >= idleTime {
			all[n].close()
			n++
		}
		if all = append([]*conn(nil), all[n:]...); len(all) == 0 {
			delete(t.idle, addr)
			continue
		}
		t.idle[addr], left = all, true
	}
	t.sweep = nil
	if left {
		t.sweep = time.AfterFunc(idleTime/2, t.closeOld)
	}
}

// CloseIdleConnections closes the connections that are kept, as http.Client expects it.
func (t *Transport) CloseIdleConnections() {
	t.mu.Lock()
	for _, all := range t.idle {
		for _, c := range all {
			c.close()
		}
	}
	t.idle = nil
	if t.sweep != nil {
		t.sweep.Stop()
		t.sweep = nil
	}
	t.mu.Unlock()
	if next, ok := t.Next.(interface{ CloseIdleConnections() }); ok {
		next.CloseIdleConnections()
	}
}
