package gateway_test

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// link is a way to a server on which answers may be slow to come.
type link struct {
	addr  string
	delay atomic.Int64 // of answers, in nanoseconds
}

func newLink(t *testing.T, to string) *link {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &link{addr: ln.Addr().String()}
	var (
		mu    sync.Mutex
		open  []net.Conn
		under sync.WaitGroup
	)
	keep := func(c net.Conn) {
		mu.Lock()
		defer mu.Unlock()
		open = append(open, c)
	}
	accepting := make(chan struct{})
	go func() {
		defer close(accepting)
		for {
			near, err := ln.Accept()
			if err != nil {
				return
			}
			keep(near)
			far, err := net.Dial("tcp", to)
			if err != nil {
				_ = near.Close()
				continue
			}
			keep(far)
			under.Go(func() {
				defer far.Close()
				_, _ = io.Copy(far, near)
			})
			under.Go(func() {
				defer near.Close()
				l.answers(near, far)
			})
		}
	}()
	t.Cleanup(func() {
		l.delay.Store(0)
		_ = ln.Close()
		<-accepting
		mu.Lock()
		for _, c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		under.Wait()
	})
	return l
}

// answers copies, each part as late as the delay says at the time when it comes.
func (l *link) answers(near io.Writer, far io.Reader) {
	buf := make([]byte, 32<<10)
	for {
		n, err := far.Read(buf)
		for came := time.Now(); time.Since(came) < time.Duration(l.delay.Load()); {
			time.Sleep(5 * time.Millisecond)
		}
		if _, werr := near.Write(buf[:n]); err != nil || werr != nil {
			return
		}
	}
}
