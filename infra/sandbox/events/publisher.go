package events

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/infra/sandbox/config"
	"github.com/tidegate/tidegate/infra/sandbox/misbehave"
	"github.com/tidegate/tidegate/infra/sandbox/model"
)

const (
	queueLength = 4096                   // events waiting per tenant; more are lost, as a full memory would lose them
	holdBack    = 150 * time.Millisecond // how long a reordered event waits for one to overtake it
)

// Publisher sends events.
type Publisher struct {
	sink     string
	source   string
	timeout  time.Duration
	static   []config.Callback
	hc       *http.Client
	injector *misbehave.Injector
	log      zerolog.Logger

	mu     sync.Mutex
	queues map[string]chan *Event // by participant context
	closed bool
	wg     sync.WaitGroup
	stop   context.CancelFunc
	ctx    context.Context //nolint:containedctx // the life of the senders, which outlive the calls that queue events
}

// NewPublisher returns a publisher; Close ends it.
func NewPublisher(c *config.Config, inj *misbehave.Injector, hc *http.Client, log zerolog.Logger) *Publisher {
	ctx, stop := context.WithCancel(context.Background())
	return &Publisher{
		sink: c.Events.Sink, source: c.Hostname, timeout: c.Events.Timeout, static: c.Callbacks, hc: hc, injector: inj, log: log,
		queues: map[string]chan *Event{}, ctx: ctx, stop: stop,
	}
}

// Close stops sending; what is still queued is lost, as it is in EDC.
func (p *Publisher) Close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.stop()
	p.wg.Wait()
}

// Ask calls the transactional callbacks that want the event. An error means that one of them refused or failed: the change
// that the event tells of must not be answered with success.
func (p *Publisher) Ask(ctx context.Context, e *Event) error {
	for _, cb := range p.static {
		if cb.Transactional && wants(cb.Events, e.Name) {
			if err := p.callback(ctx, e, cb); err != nil {
				return err
			}
		}
	}
	for _, cb := range e.Callbacks {
		if cb.Transactional && wants(cb.Events, e.Name) {
			if err := p.callback(ctx, e, dynamic(cb)); err != nil {
				return err
			}
		}
	}
	return nil
}

// Tell queues the event for the sink and the other callbacks.
func (p *Publisher) Tell(e *Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	q, ok := p.queues[e.ParticipantContextID]
	if !ok {
		q = make(chan *Event, queueLength)
		p.queues[e.ParticipantContextID] = q
		p.wg.Go(func() { p.run(q) })
	}
	select {
	case q <- e:
	default:
		p.log.Warn().Str("participant", e.ParticipantContextID).Str("event", e.Name).Msg("event lost: queue full")
	}
}

// run sends the events of one tenant one after the other.
func (p *Publisher) run(q chan *Event) {
	var late *Event
	hold := time.NewTimer(time.Hour)
	defer hold.Stop()
	flush := func() {
		if late != nil {
			p.send(late)
			late = nil
		}
	}
	for {
		select {
		case <-p.ctx.Done():
			return
		case <-hold.C:
			flush()
		case e := <-q:
			fate := p.injector.Event(e.ParticipantContextID)
			switch {
			case fate.Lost:
				p.log.Info().Str("participant", e.ParticipantContextID).Str("event", e.Name).Msg("event lost on purpose")
			case fate.Late && late == nil:
				late = e
				hold.Reset(holdBack)
				continue
			default:
				p.send(e)
				if fate.Twice {
					p.send(e)
				}
			}
			flush()
		}
	}
}

func (p *Publisher) send(e *Event) {
	for _, cb := range p.static {
		if !cb.Transactional && wants(cb.Events, e.Name) {
			p.logged(e, p.callback(p.ctx, e, cb))
		}
	}
	for _, cb := range e.Callbacks {
		if !cb.Transactional && wants(cb.Events, e.Name) {
			p.logged(e, p.callback(p.ctx, e, dynamic(cb)))
		}
	}
	if p.sink != "" {
		p.logged(e, p.cloudEvent(p.ctx, e))
	}
}

func (p *Publisher) logged(e *Event, err error) {
	if err != nil && p.ctx.Err() == nil {
		p.log.Warn().Err(err).Str("participant", e.ParticipantContextID).Str("event", e.Name).Msg("event not delivered")
	}
}

// cloudEvent posts the event in binary mode, with the headers that EDC sends: no subject, no tenant, no authorization.
func (p *Publisher) cloudEvent(ctx context.Context, e *Event) error {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	h := http.Header{}
	h.Set("Ce-Id", e.ID)
	h.Set("Ce-Source", p.source)
	h.Set("Ce-Specversion", "1.0")
	h.Set("Ce-Time", e.At.UTC().Format(time.RFC3339Nano))
	h.Set("Ce-Type", e.Package+e.Class)
	return p.post(ctx, p.sink, h, e.Payload)
}

// callback posts EDC's envelope; its type is the short class name.
func (p *Publisher) callback(ctx context.Context, e *Event, cb config.Callback) error {
	ctx, cancel := context.WithTimeout(ctx, cb.Timeout)
	defer cancel()
	h := http.Header{}
	if cb.AuthHeader != "" {
		h.Set(cb.AuthHeader, cb.AuthValue)
	}
	return p.post(ctx, cb.URI, h, map[string]any{"id": e.ID, "at": e.At.UnixMilli(), "payload": e.Payload, "type": e.Class})
}

func (p *Publisher) post(ctx context.Context, url string, h http.Header, body any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encode event: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(b))
	if err != nil {
		return fmt.Errorf("post event: %w", err)
	}
	h.Set("Content-Type", "application/json")
	req.Header = h
	res, err := p.hc.Do(req)
	if err != nil {
		return fmt.Errorf("post event: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10))
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("post event: status %d", res.StatusCode)
	}
	return nil
}

func dynamic(cb model.CallbackAddress) config.Callback {
	return config.Callback{URI: cb.URI, Timeout: 30 * time.Second}
}

func wants(prefixes []string, name string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}
