package data

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/tidegate/tidegate/dps-gateway/internal/token"
)

// stream is one answer under way, or one body that is pushed.
type stream struct {
	access *token.Access
	pushed bool // the client sends
	rc     *http.ResponseController
	conn   net.Conn // nil if the server does not tell
	cancel context.CancelFunc

	mu    sync.Mutex
	begun bool // data moves, or is about to
	cut   bool
	seen  time.Time // when its flow was last known to be one that may be served
}

// see notes that the stream might go on at a time.
func (s *stream) see(at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = at
}

// unseen is how long nothing has been known of the stream.
func (s *stream) unseen() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Since(s.seen)
}

// extend gives the client d to take, or send, the next bytes; false if the stream was cut.
func (s *stream) extend(d time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cut {
		return false
	}
	s.begun = true
	_ = s.rc.SetWriteDeadline(time.Now().Add(d)) // a connection that is gone fails on the next write
	if s.pushed {
		_ = s.rc.SetReadDeadline(time.Now().Add(d)) // as on the next read
	}
	return true
}

// stop cuts the stream: what is being written fails at once, and what waits in the socket's buffers is thrown away. A request of which
// no data has moved is given up and gets an answer.
func (s *stream) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cut {
		return
	}
	s.cut = true
	s.cancel()
	if !s.begun {
		return
	}
	if tcp, ok := s.conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // closing then resets the connection; if it is gone already, all the better
	}
	_ = s.rc.SetWriteDeadline(time.Unix(1, 0))
	if s.pushed {
		_ = s.rc.SetReadDeadline(time.Unix(1, 0))
	}
}

// isBroken tells whether the stream was cut when data was moving: no answer can be written any more.
func (s *stream) isBroken() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cut && s.begun
}

func (s *stream) isCut() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cut
}

type flowKey struct{ pc, flow string }

// streams are the answers and pushed bodies under way in this process.
type streams struct {
	mu   sync.Mutex
	open map[flowKey]map[*stream]struct{}
}

func (s *streams) add(st *stream) {
	k := flowKey{st.access.ParticipantContextID, st.access.DataFlowID}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = map[flowKey]map[*stream]struct{}{}
	}
	of := s.open[k]
	if of == nil {
		of = map[*stream]struct{}{}
		s.open[k] = of
	}
	of[st] = struct{}{}
}

func (s *streams) remove(st *stream) {
	k := flowKey{st.access.ParticipantContextID, st.access.DataFlowID}
	s.mu.Lock()
	defer s.mu.Unlock()
	of := s.open[k]
	delete(of, st)
	if len(of) == 0 {
		delete(s.open, k)
	}
}

func (s *streams) ofFlow(pc, flow string) []*stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []*stream
	for st := range s.open[flowKey{pc, flow}] {
		out = append(out, st)
	}
	return out
}

// where returns the streams that match.
func (s *streams) where(match func(*stream) bool) []*stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []*stream
	for _, of := range s.open {
		for st := range of {
			if match(st) {
				out = append(out, st)
			}
		}
	}
	return out
}

type connKey struct{}

// ConnContext keeps the connection for the streams on it: the http.Server of the public listener must use it.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

func connOf(ctx context.Context) net.Conn {
	c, _ := ctx.Value(connKey{}).(net.Conn)
	return c
}
