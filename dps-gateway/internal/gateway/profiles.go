package gateway

import (
	"net/http"
	"net/http/pprof"
)

// profiles adds Go's profiles of the process: where its time goes, what it holds in memory. They tell nothing of a tenant's data,
// but recording one costs time, so they are off unless an operator turns them on.
func profiles(mux *http.ServeMux) {
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
}
