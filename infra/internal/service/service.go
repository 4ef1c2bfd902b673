// Package service does on one machine what a Service does in Kubernetes: it takes connections at addresses that stay, and hands each
// to a replica that says that it is ready. It knows connections, not requests, so a connection stays where it is when its replica stops
// being ready; where a replica is gone it breaks, as it would there.
package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

const (
	dialTimeout  = 2 * time.Second
	probeTimeout = time.Second
)

// Replica is one program behind the service.
type Replica struct {
	Name  string
	Ready string   // URL of its readiness probe
	Addrs []string // of its listeners, in the order of the service's own
}

// Service is a running service.
type Service struct {
	every time.Duration
	probe *http.Client
	ln    []net.Listener
	work  sync.WaitGroup
	stop  context.CancelFunc

	mu       sync.Mutex
	replicas []*replica
	next     int
	open     map[net.Conn]struct{}
}

type replica struct {
	Replica

	ready bool
}

// Start opens n listeners on free ports of the loopback interface. Readiness is asked for every so often; one probe that fails takes
// a replica out.
func Start(ctx context.Context, n int, every time.Duration) (*Service, error) {
	s := &Service{every: every, probe: &http.Client{Timeout: probeTimeout, Transport: &http.Transport{DisableKeepAlives: true}}, open: map[net.Conn]struct{}{}}
	for range n {
		ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			for _, l := range s.ln {
				_ = l.Close() // nothing was accepted
			}
			return nil, fmt.Errorf("service: %w", err)
		}
		s.ln = append(s.ln, ln)
	}
	ctx, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	for i, ln := range s.ln {
		s.work.Go(func() { s.accept(ctx, i, ln) })
	}
	s.work.Go(func() { s.watch(ctx) })
	return s, nil
}

// Addr is the address of a listener.
func (s *Service) Addr(i int) string { return s.ln[i].Addr().String() }

// Add puts a replica behind the service; it gets connections as soon as it is ready.
func (s *Service) Add(r Replica) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.replicas = append(s.replicas, &replica{Replica: r})
}

// Remove takes a replica out, as the deletion of its pod does: at once, whatever it says of itself. Its connections stay.
func (s *Service) Remove(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.replicas = slices.DeleteFunc(s.replicas, func(r *replica) bool { return r.Name == name })
}

// ReadyNow are the names of the replicas that get connections.
func (s *Service) ReadyNow() (names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.replicas {
		if r.ready {
			names = append(names, r.Name)
		}
	}
	return names
}

// Close ends the service and all its connections.
func (s *Service) Close() {
	s.stop()
	for _, ln := range s.ln {
		_ = ln.Close() // whoever waits in it is refused
	}
	s.mu.Lock()
	for c := range s.open {
		_ = c.Close() // broken, as everything here is now
	}
	s.mu.Unlock()
	s.work.Wait()
}

// watch asks all replicas whether they are ready.
func (s *Service) watch(ctx context.Context) {
	tick := time.NewTicker(s.every)
	defer tick.Stop()
	for {
		s.mu.Lock()
		all := slices.Clone(s.replicas)
		s.mu.Unlock()
		var asked sync.WaitGroup
		for _, r := range all {
			asked.Go(func() {
				ready := s.isReady(ctx, r.Ready)
				s.mu.Lock()
				defer s.mu.Unlock()
				r.ready = ready
			})
		}
		asked.Wait()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (s *Service) isReady(ctx context.Context, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	res, err := s.probe.Do(req)
	if err != nil {
		return false
	}
	_ = res.Body.Close() // only its status counts
	return res.StatusCode == http.StatusOK
}

// pick returns the address of the next ready replica; "" if there is none.
func (s *Service) pick(i int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range s.replicas {
		s.next++
		if r := s.replicas[s.next%len(s.replicas)]; r.ready {
			return r.Addrs[i]
		}
	}
	return ""
}

func (s *Service) accept(ctx context.Context, i int, ln net.Listener) {
	for {
		c, err := ln.Accept()
		if errors.Is(err, net.ErrClosed) || ctx.Err() != nil {
			return
		}
		if err != nil {
			continue
		}
		s.work.Go(func() { s.connect(ctx, c, s.pick(i)) })
	}
}

// connect joins a connection to a replica. Without one the client is refused by a reset.
func (s *Service) connect(ctx context.Context, client net.Conn, addr string) {
	defer s.forget(client)
	s.keep(client)
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	server, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if addr == "" || err != nil {
		reset(client)
		return
	}
	defer s.forget(server)
	s.keep(server)
	var both sync.WaitGroup
	both.Go(func() { pass(server, client) })
	both.Go(func() { pass(client, server) })
	both.Wait()
}

func (s *Service) keep(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[c] = struct{}{}
}

func (s *Service) forget(c net.Conn) {
	_ = c.Close() // both directions have ended
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
}

// pass copies one direction to its end: an orderly end is handed on as one, a broken connection as a broken one.
func pass(to, from net.Conn) {
	if _, err := io.Copy(to, from); err != nil {
		reset(to)
		reset(from)
		return
	}
	if t, ok := to.(*net.TCPConn); ok {
		_ = t.CloseWrite() // it may be gone already
	}
}

func reset(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0) // closing then resets
	}
	_ = c.Close()
}
