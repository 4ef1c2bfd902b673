package gateway

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tidegate/tidegate/dps-gateway/internal/keys"
	"github.com/tidegate/tidegate/shared/version"
)

const (
	probeTimeout = time.Second // what a readiness probe waits for Redis
	probeLife    = time.Minute // of what it writes
	probeShards  = 4           // of them; on a Cluster they are on several nodes

	// settleTime is how long a Redis that took no writes must take them before the gateway is ready again: after an outage the driver
	// refuses new connections for up to a second longer.
	settleTime = 1500 * time.Millisecond
)

// health answers probes.
type health struct {
	rdb        redis.UniversalClient
	guard      *guard
	tenantsDir string
	draining   atomic.Bool

	mu     sync.Mutex
	failed bool      // a probe has found that Redis takes no writes,
	since  time.Time // and another one since that it does; zero = none yet
}

// state is the body of both answers.
type state struct {
	Status  string   `json:"status"` // "ok", or why not in one word
	Version string   `json:"version"`
	Commit  string   `json:"commit"`
	Reasons []string `json:"reasons,omitempty"`
}

// live says that the process is up. It depends on nothing else: a restart mends no Redis.
func (h *health) live(w http.ResponseWriter, _ *http.Request) {
	respond(w, http.StatusOK, state{Status: "ok", Version: version.Version, Commit: version.Revision()})
}

// ready says whether requests should come here, and if not why.
func (h *health) ready(w http.ResponseWriter, r *http.Request) {
	var reasons []string
	if h.draining.Load() {
		reasons = append(reasons, "the gateway is stopping")
	}
	if err := h.writes(r.Context()); err != nil {
		h.settled(false)
		reasons = append(reasons, "REDIS_URL: Redis takes no writes: "+err.Error())
	} else if !h.settled(true) {
		reasons = append(reasons, "REDIS_URL: Redis takes writes again, since a moment only")
	} else if !h.guard.checked.Load() {
		reasons = append(reasons, "REDIS_URL: Redis has not told its settings yet")
	}
	if info, err := os.Stat(h.tenantsDir); err != nil {
		reasons = append(reasons, "TENANTS_DIR: "+err.Error())
	} else if !info.IsDir() {
		reasons = append(reasons, "TENANTS_DIR: "+h.tenantsDir+" is no folder")
	}
	if len(reasons) > 0 {
		respond(w, http.StatusServiceUnavailable, state{Status: "not ready", Version: version.Version, Commit: version.Revision(), Reasons: reasons})
		return
	}
	respond(w, http.StatusOK, state{Status: "ok", Version: version.Version, Commit: version.Revision()})
}

// writes tells whether Redis takes writes, on a Cluster for some of the tenants at least. One that answers and takes none, since it is
// full, a replica or misses its own, is of no use to a signal: control planes take any answer but a success as final, and try again
// only if nobody answers; so nobody shall.
func (h *health) writes(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	var set [probeShards]*redis.StatusCmd
	_, err := h.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i := range set {
			set[i] = p.Set(ctx, keys.Probe(i*keys.Shards/probeShards), "", probeLife)
		}
		return nil
	})
	for _, s := range set {
		if s.Val() == "OK" {
			return nil // of one node at least
		}
	}
	return err
}

// writesTo tells whether Redis takes writes of a shard.
func (h *health) writesTo(ctx context.Context, shard int) error {
	return h.rdb.Set(ctx, keys.Probe(shard), "", probeLife).Err()
}

// settled notes what a probe has found, and tells whether Redis has taken writes for long enough.
func (h *health) settled(writes bool) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case !writes:
		h.failed, h.since = true, time.Time{}
	case h.failed && h.since.IsZero():
		h.since = time.Now()
	case h.failed && time.Since(h.since) >= settleTime:
		h.failed = false
	}
	return !h.failed
}

func respond(w http.ResponseWriter, code int, s state) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(s) // the prober is gone: nobody is left to tell
}
