package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
)

// broker takes every event, and costs little: HTTP/1.1, bodies that say their length, 202.
type broker struct {
	addr  string
	taken atomic.Int64

	ln    net.Listener
	mu    sync.Mutex
	conns map[net.Conn]bool // nil = closed
	all   sync.WaitGroup
}

var accepted = []byte("HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")

func startBroker(ctx context.Context) (*broker, error) {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("broker: %w", err)
	}
	b := &broker{addr: ln.Addr().String(), ln: ln, conns: map[net.Conn]bool{}}
	b.all.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return // closed
			}
			if b.keep(c) {
				b.all.Go(func() {
					defer b.drop(c)
					_ = b.serve(&conn{Conn: c, r: newReader(c)}) // the gateway has gone, or says what it never says: then events are missing
				})
			}
		}
	})
	return b, nil
}

func (b *broker) keep(c net.Conn) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.conns == nil {
		_ = c.Close() // nothing was said
		return false
	}
	b.conns[c] = true
	return true
}

func (b *broker) drop(c net.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.conns, c)
	_ = c.Close() // nothing is lost
}

func (b *broker) serve(c *conn) error {
	for {
		head, err := c.head()
		if err != nil {
			return err
		}
		length, ok := contentLength(head)
		if !ok || !bytes.HasPrefix(head, []byte("POST ")) {
			return errors.New("no POST with a length")
		}
		if _, err := c.r.Discard(len(head) + length); err != nil {
			return err
		}
		b.taken.Add(1)
		if _, err := c.Write(accepted); err != nil {
			return err
		}
	}
}

func (b *broker) close() {
	_ = b.ln.Close() // nothing is lost
	b.mu.Lock()
	for c := range b.conns {
		_ = c.Close()
	}
	b.conns = nil
	b.mu.Unlock()
	b.all.Wait()
}
