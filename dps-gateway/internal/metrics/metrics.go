// Package metrics counts what the gateway does, for Prometheus. Every series of a tenant's work names the participant
// context: only tenants in force get as far as being counted, so their number bounds the series.
package metrics

import (
	"context"
	"net/http"
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/tidegate/tidegate/dps-gateway/internal/flowstore"
	"github.com/tidegate/tidegate/dps-gateway/internal/outbox"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/version"
)

const pcLabel = "participant_context"

// Metrics are the gateway's series. Its methods never block.
type Metrics struct {
	registry *prometheus.Registry

	signals      *prometheus.CounterVec
	signalTime   *prometheus.HistogramVec
	transitions  *prometheus.CounterVec
	sends        *prometheus.CounterVec
	sendAge      *prometheus.HistogramVec
	parked       *prometheus.CounterVec
	pending      prometheus.Gauge
	dataRequests *prometheus.CounterVec
	dataTime     *prometheus.HistogramVec
	dataBytes    *prometheus.CounterVec
	ingestBytes  *prometheus.CounterVec
	open         *prometheus.GaugeVec
	cut          *prometheus.CounterVec
	broken       *prometheus.CounterVec
	hooks        *prometheus.CounterVec
	hookTime     *prometheus.HistogramVec
}

var (
	_ outbox.Observer = (*Metrics)(nil)

	quick = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	slow  = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900}
)

// New returns metrics with a registry of their own.
func New() *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tidegate_" + name, Help: help}, labels)
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "tidegate_" + name, Help: help, Buckets: buckets}, labels)
	}
	m := &Metrics{
		registry:     prometheus.NewRegistry(),
		signals:      counter("signals_total", "Signals and functions' words on data flows, by outcome.", pcLabel, "signal", "outcome"),
		signalTime:   histogram("signal_seconds", "Time that a signal took in the state store.", quick, "signal"),
		transitions:  counter("flow_transitions_total", "Data flows that came into a state.", pcLabel, "state"),
		sends:        counter("outbox_sends_total", "Attempts to send what the outbox holds, by result.", pcLabel, "lane", "result"),
		sendAge:      histogram("outbox_delivery_seconds", "Age of what was delivered from the outbox.", slow, "lane"),
		parked:       counter("outbox_parked_total", "What was given up and parked.", pcLabel, "lane"),
		pending:      prometheus.NewGauge(prometheus.GaugeOpts{Name: "tidegate_outbox_in_hand", Help: "Entries of the outbox that this replica has read and not sent."}),
		dataRequests: counter("data_requests_total", "Data requests and pushes with a valid token, by status.", pcLabel, "code"),
		dataTime:     histogram("data_request_seconds", "Time that data requests and pushes took, streams included.", slow, pcLabel),
		dataBytes:    counter("data_bytes_total", "Bytes of data that were sent.", pcLabel),
		ingestBytes:  counter("ingest_bytes_total", "Bytes of data that were pushed to a tenant.", pcLabel),
		open:         prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "tidegate_data_streams", Help: "Data requests and pushes under way."}, []string{pcLabel}),
		cut:          counter("data_streams_cut_total", "Streams that were cut because they might not go on.", pcLabel),
		broken:       counter("data_parts_broken_total", "Times that a data server or an object store was spared since it failed again and again.", pcLabel, "part"),
	}
	m.hooks = counter("hook_calls_total", "Calls of the functions that serve transfer profiles, by result.", pcLabel, "kind", "result")
	m.hookTime = histogram("hook_seconds", "Time that calls of functions that serve transfer profiles took.", quick, "kind")
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "tidegate_build_info", Help: "1, with what was built as labels.",
		ConstLabels: prometheus.Labels{"version": version.Version, "commit": version.Revision(), "goversion": runtime.Version()},
	})
	build.Set(1)
	m.registry.MustRegister(
		m.signals, m.signalTime, m.transitions, m.sends, m.sendAge, m.parked, m.pending,
		m.dataRequests, m.dataTime, m.dataBytes, m.ingestBytes, m.open, m.cut, m.broken, m.hooks, m.hookTime, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return m
}

// LeftOver tells at each scrape how many data planes of tenants that are gone could not be deregistered. Every replica tells the same.
func (m *Metrics) LeftOver(count func() int) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "tidegate_registrations_left_over", Help: "Data planes of tenants that are gone which could not be deregistered.",
	}, func() float64 { return float64(count()) }))
}

// SignalsWaiting tells at each scrape how many signals wait for Redis.
func (m *Metrics) SignalsWaiting(count func() int) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "tidegate_signals_waiting", Help: "Signals that wait for a Redis which is restarted or fails over.",
	}, func() float64 { return float64(count()) }))
}

// Handler serves /metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry, Timeout: 10 * time.Second})
}

// Flows counts the transitions that pass through a store.
func (m *Metrics) Flows(next flowstore.Store) flowstore.Store { return &flows{Store: next, m: m} }

type flows struct {
	flowstore.Store
	m *Metrics
}

// Apply implements flowstore.Store.
func (f *flows) Apply(ctx context.Context, t *flowstore.Transition) (flowstore.Result, error) {
	began := time.Now()
	r, err := f.Store.Apply(ctx, t)
	f.m.signalTime.WithLabelValues(string(t.Signal)).Observe(time.Since(began).Seconds())
	outcome := string(r.Outcome)
	if err != nil {
		outcome = "error"
	}
	f.m.signals.WithLabelValues(t.ParticipantContextID, string(t.Signal), outcome).Inc()
	if err == nil && r.Outcome == flowstore.Applied && t.To != "" {
		f.m.transitions.WithLabelValues(t.ParticipantContextID, string(r.State)).Inc()
	}
	return r, err
}

// Sent implements outbox.Observer.
func (m *Metrics) Sent(pc string, lane outbox.Lane, _, age time.Duration, err error) {
	result := "delivered"
	if err != nil {
		result = problem.KindOf(err).String()
	} else {
		m.sendAge.WithLabelValues(string(lane)).Observe(age.Seconds())
	}
	m.sends.WithLabelValues(pc, string(lane), result).Inc()
}

// GaveUp implements outbox.Observer.
func (m *Metrics) GaveUp(pc string, lane outbox.Lane) {
	m.parked.WithLabelValues(pc, string(lane)).Inc()
}

// Pending implements outbox.Observer.
func (m *Metrics) Pending(n int) { m.pending.Set(float64(n)) }

// HookCalled counts a call of a function that serves a transfer profile.
func (m *Metrics) HookCalled(pc, kind, result string, d time.Duration) {
	m.hooks.WithLabelValues(pc, kind, result).Inc()
	m.hookTime.WithLabelValues(kind).Observe(d.Seconds())
}

// DataRequest counts a data request and its time.
func (m *Metrics) DataRequest(pc string, code int, d time.Duration) {
	m.dataRequests.WithLabelValues(pc, strconv.Itoa(code)).Inc()
	m.dataTime.WithLabelValues(pc).Observe(d.Seconds())
}

// Bytes counts bytes of data sent.
func (m *Metrics) Bytes(pc string, n int64) { m.dataBytes.WithLabelValues(pc).Add(float64(n)) }

// Received counts bytes of data that were pushed to a tenant.
func (m *Metrics) Received(pc string, n int64) { m.ingestBytes.WithLabelValues(pc).Add(float64(n)) }

// StreamOpened and StreamClosed count what is under way.
func (m *Metrics) StreamOpened(pc string) { m.open.WithLabelValues(pc).Inc() }

// StreamClosed is the other side of StreamOpened.
func (m *Metrics) StreamClosed(pc string) { m.open.WithLabelValues(pc).Dec() }

// StreamCut counts a stream that was cut.
func (m *Metrics) StreamCut(pc string) { m.cut.WithLabelValues(pc).Inc() }

// Broken counts a data server or an object store that is spared.
func (m *Metrics) Broken(pc, part string) { m.broken.WithLabelValues(pc, part).Inc() }
