package acceptance

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/shared/auth"
	"github.com/tidegate/tidegate/shared/problem"
)

// outside is what the gateways talk to: a broker and the control planes of all tenants.
type outside struct {
	broker, plane *switched

	callers *auth.Verifier // of the gateways' tokens, by the keys that they publish

	mu        sync.Mutex
	events    map[string][]arrival // by data flow
	callbacks map[string]int       // by path and message id
	tokens    map[string]bool      // by jti
	faults    []string
}

// arrival is one delivery of one event.
type arrival struct {
	id, kind, pc string
	revision     int64
	at           time.Time
	age          time.Duration // since the transition that it tells of
}

func newOutside(t *testing.T) *outside {
	t.Helper()
	o := &outside{events: map[string][]arrival{}, callbacks: map[string]int{}, tokens: map[string]bool{}}
	o.broker = newSwitched(t, http.HandlerFunc(o.takeEvent))
	o.plane = newSwitched(t, http.HandlerFunc(o.takeCall))
	return o
}

func (o *outside) takeEvent(w http.ResponseWriter, r *http.Request) {
	e, err := cehttp.NewEventFromHTTPRequest(r)
	if err != nil {
		o.fault("the broker was sent what is no event: %v", err)
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	var d catalogue.DataFlow
	if strings.HasPrefix(e.Type(), "io.tidegate.dataflow.") {
		if err := e.DataAs(&d); err != nil {
			o.fault("%s: %v", e.ID(), err)
		}
	}
	now := time.Now()
	pc, _ := e.Extensions()[catalogue.ExtParticipantContextID].(string)
	o.mu.Lock()
	o.events[d.DataFlowID] = append(o.events[d.DataFlowID], arrival{e.ID(), e.Type(), pc, d.Revision, now, now.Sub(e.Time())})
	o.mu.Unlock()
	w.WriteHeader(http.StatusAccepted)
}

// takeCall takes what control planes are told: registrations, and callbacks about transfers.
func (o *outside) takeCall(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil {
		return // broken off: it comes again
	}
	switch {
	case r.URL.Path == "/token":
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"access_token":"t","token_type":"Bearer","expires_in":600}`)
	case strings.HasPrefix(r.URL.Path, "/signaling/"):
		var m struct{ MessageID string }
		if err := json.Unmarshal(b, &m); err != nil {
			o.fault("callback %s: %v", r.URL.Path, err)
		}
		if code := o.authentic(r); code != http.StatusOK {
			w.WriteHeader(code)
			return
		}
		o.mu.Lock()
		o.callbacks[r.URL.Path+" "+m.MessageID]++
		o.mu.Unlock()
	}
}

// authentic tells what to answer to a callback by its token: signed by the gateways, of the data plane of the transfer's tenant, for one call.
func (o *outside) authentic(r *http.Request) int {
	token, _ := auth.Bearer(r.Header)
	c, err := o.callers.Verify(r.Context(), token)
	switch {
	case problem.Is(err, problem.Unavailable), problem.Is(err, problem.Timeout):
		return http.StatusServiceUnavailable // nobody tells the keys at the moment
	case err != nil:
		o.fault("callback %s: %v", r.URL.Path, err)
		return http.StatusUnauthorized
	}
	pc, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/signaling/transfers/"), "-")
	o.mu.Lock()
	again := o.tokens[c.ID]
	o.tokens[c.ID] = true
	o.mu.Unlock()
	if c.Subject != pc+"-tidegate" || c.ID == "" || again {
		o.fault("callback %s: sub %q, jti %q, which came before: %v", r.URL.Path, c.Subject, c.ID, again)
		return http.StatusUnauthorized
	}
	return http.StatusOK
}

func (o *outside) fault(format string, args ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.faults = append(o.faults, fmt.Sprintf(format, args...))
}

// first are the events of a flow in the order in which each came first.
func (o *outside) first(flow string) (out []arrival) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, a := range o.events[flow] {
		if !slices.ContainsFunc(out, func(b arrival) bool { return b.id == a.id }) {
			out = append(out, a)
		}
	}
	return out
}

// switched is a server that can go away and come back at the same address.
type switched struct {
	url     string
	addr    string
	handler http.Handler
	server  *http.Server
}

func newSwitched(t *testing.T, h http.Handler) *switched {
	t.Helper()
	s := &switched{addr: freeAddr(t), handler: h}
	s.url = "http://" + s.addr
	if err := s.up(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.down)
	return s
}

func (s *switched) up() error {
	ln, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", s.addr)
	if err != nil {
		return fmt.Errorf("at %s: %w", s.addr, err)
	}
	s.server = &http.Server{Handler: s.handler, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = s.server.Serve(ln) }() // ended by down
	return nil
}

// down breaks everything off, as a kill does.
func (s *switched) down() { _ = s.server.Close() }
