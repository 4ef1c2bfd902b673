package function

import (
	"net"
	"net/http"
	"sync"
)

// silent are the connections on which no byte has come yet. A client keeps some in reserve; http.Server.Shutdown waits five
// seconds for each to say something, which is longer than the time to drain.
type silent struct {
	mu    sync.Mutex
	conns map[net.Conn]struct{}
}

// track is an http.Server's ConnState.
func (s *silent) track(c net.Conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if state != http.StateNew {
		delete(s.conns, c)
		return
	}
	if s.conns == nil {
		s.conns = map[net.Conn]struct{}{}
	}
	s.conns[c] = struct{}{}
}

// close closes them: whoever is about to speak finds the connection closed before a request was taken, and asks elsewhere.
func (s *silent) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.Close() // it may be gone already
	}
}
