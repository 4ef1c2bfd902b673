package gateway

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tidegate/tidegate/shared/version"
)

// pingTimeout bounds what a readiness probe waits for Redis.
const pingTimeout = time.Second

// health answers probes.
type health struct {
	rdb        redis.UniversalClient
	guard      *guard
	tenantsDir string
	draining   atomic.Bool
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
	ctx, cancel := context.WithTimeout(r.Context(), pingTimeout)
	defer cancel()
	if err := h.rdb.Ping(ctx).Err(); err != nil {
		reasons = append(reasons, "REDIS_URL: Redis does not answer: "+err.Error())
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

func respond(w http.ResponseWriter, code int, s state) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(s) // the prober is gone: nobody is left to tell
}
