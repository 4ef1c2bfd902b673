// Package gatewaytest is a gateway's internal API in memory, for tests of functions: records with revisions and conditions,
// flows with their data addresses, what functions say of flows, and faults on request. It speaks the same HTTP as the
// gateway, so the functions' own client is tested with it.
package gatewaytest

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
)

// pageSize is small, so that paging is used.
const pageSize = 3

// Fault says how a call fails.
type Fault int

// The faults.
const (
	None   Fault = iota
	Before       // 503, nothing has happened
	After        // it has happened, and the answer is lost
)

// Gateway is a gateway in memory.
type Gateway struct {
	URL    string
	Client *gatewayapi.Client

	mu        sync.Mutex
	serial    int
	records   map[string]record
	flows     map[string]gatewayapi.Flow
	addresses map[string]dps.DataAddress
	completed map[string]int
	errored   map[string][]string
	fault     func(method, path string) Fault
	writes    int
	renew     func(refused string) (dps.DataAddress, bool)
}

type record struct {
	revision string
	document json.RawMessage
}

// New starts a gateway that lives as long as the test.
func New(tb testing.TB) *Gateway {
	tb.Helper()
	g := &Gateway{
		records: map[string]record{}, flows: map[string]gatewayapi.Flow{}, addresses: map[string]dps.DataAddress{},
		completed: map[string]int{}, errored: map[string][]string{}, fault: func(string, string) Fault { return None },
	}
	server := httptest.NewServer(g)
	tb.Cleanup(server.Close)
	g.URL = server.URL
	g.Client = gatewayapi.NewClient(server.URL, &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}})
	return g
}

// Fail has every call ask f how it is to fail; f is called without a lock and must be safe.
func (g *Gateway) Fail(f func(method, path string) Fault) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fault = f
}

// SetFlow puts a flow there.
func (g *Gateway) SetFlow(f gatewayapi.Flow) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.flows[f.ParticipantContextID+"/"+f.DataFlowID] = f
}

// Renew sets what is answered to those who ask for another token than the one whose digest is given; false refuses.
func (g *Gateway) Renew(f func(refused string) (dps.DataAddress, bool)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.renew = f
}

// SetAddress puts the data address of a flow there.
func (g *Gateway) SetAddress(pc, id string, a dps.DataAddress) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.addresses[pc+"/"+id] = a
}

// Completed is how often a flow was said to be complete.
func (g *Gateway) Completed(id string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.completed[id]
}

// Errored returns the reasons with which a flow was given up.
func (g *Gateway) Errored(id string) []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.errored[id])
}

// Writes is the number of records written so far.
func (g *Gateway) Writes() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.writes
}

// Record reads a record; false if there is none.
func Record[T any](tb testing.TB, g *Gateway, pc string, kind gatewayapi.Kind, id string) (T, bool) {
	tb.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	var out T
	r, ok := g.records[pc+"/"+string(kind)+"/"+id]
	if ok {
		if err := json.Unmarshal(r.document, &out); err != nil {
			tb.Fatalf("record %s: %v", id, err)
		}
	}
	return out, ok
}

// Put writes a record.
func (g *Gateway) Put(tb testing.TB, pc string, kind gatewayapi.Kind, id string, doc any) {
	tb.Helper()
	b, err := json.Marshal(doc)
	if err != nil {
		tb.Fatalf("record %s: %v", id, err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.put(pc+"/"+string(kind)+"/"+id, b)
}

// Forget loses all records and flows, as a gateway does whose Redis is emptied.
func (g *Gateway) Forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	clear(g.records)
	clear(g.flows)
}

func (g *Gateway) put(key string, document json.RawMessage) string {
	g.serial++
	rev := `"` + strconv.Itoa(g.serial) + `"`
	g.records[key] = record{revision: rev, document: document}
	return rev
}

func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	fault := g.fault
	g.mu.Unlock()
	f := fault(r.Method, r.URL.Path)
	log := zerolog.Nop()
	if f == Before {
		problem.Write(w, &log, http.StatusServiceUnavailable, problem.New(problem.Unavailable, "a fault was asked for"))
		return
	}
	body, _ := io.ReadAll(r.Body)
	rec := httptest.NewRecorder()
	g.serve(rec, r, body)
	if f == After {
		panic(http.ErrAbortHandler)
	}
	maps.Copy(w.Header(), rec.Header())
	w.WriteHeader(rec.Code)
	_, _ = w.Write(rec.Body.Bytes())
}

func (g *Gateway) serve(w http.ResponseWriter, r *http.Request, body []byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	log := zerolog.Nop()
	refuse := func(kind problem.Kind) {
		err := problem.New(kind, "%s", kind)
		problem.Write(w, &log, problem.Status(err), err)
	}
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/v1/participants/"), "/")
	switch {
	case len(parts) == 2:
		g.list(w, parts[0]+"/"+parts[1]+"/", r.URL.Query().Get("after"))
	case parts[1] == "dataflows":
		g.flow(w, r, body, parts, refuse)
	case r.Method == http.MethodGet:
		rec, ok := g.records[strings.Join(parts, "/")]
		if !ok {
			refuse(problem.NotFound)
			return
		}
		w.Header().Set("ETag", rec.revision)
		_, _ = w.Write(rec.document)
	case r.Method == http.MethodPut:
		key := strings.Join(parts, "/")
		rec, ok := g.records[key]
		if m := r.Header.Get("If-Match"); (m != "" && m != rec.revision) || (r.Header.Get("If-None-Match") == "*" && ok) {
			refuse(problem.Stale)
			return
		}
		g.writes++
		w.Header().Set("ETag", g.put(key, body))
		w.WriteHeader(http.StatusNoContent)
	default:
		refuse(problem.Invalid)
	}
}

func (g *Gateway) list(w http.ResponseWriter, prefix, after string) {
	var keys []string
	for k := range g.records {
		if strings.HasPrefix(k, prefix) && k > after {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	page := gatewayapi.Page[json.RawMessage]{Items: []json.RawMessage{}}
	for _, k := range keys[:min(pageSize, len(keys))] {
		page.Items = append(page.Items, g.records[k].document)
	}
	if len(keys) > pageSize {
		page.Next = keys[pageSize-1]
	}
	_ = json.NewEncoder(w).Encode(page)
}

func (g *Gateway) flow(w http.ResponseWriter, r *http.Request, body []byte, parts []string, refuse func(problem.Kind)) {
	key := parts[0] + "/" + parts[2]
	f, ok := g.flows[key]
	if !ok {
		refuse(problem.NotFound)
		return
	}
	action := ""
	if len(parts) > 3 {
		action = parts[3]
	}
	switch r.Method + " " + action {
	case "GET ":
		_ = json.NewEncoder(w).Encode(f)
	case "GET address":
		a, ok := g.addresses[key]
		if !ok {
			refuse(problem.NotFound)
			return
		}
		_ = json.NewEncoder(w).Encode(a)
	case "POST address":
		var in gatewayapi.RenewRequest
		_ = json.Unmarshal(body, &in)
		if g.renew == nil {
			refuse(problem.Conflict)
			return
		}
		a, ok := g.renew(in.Refused)
		if !ok {
			refuse(problem.Conflict)
			return
		}
		g.addresses[key] = a
		_ = json.NewEncoder(w).Encode(a)
	case "POST completed":
		if f.State == dps.Terminated {
			refuse(problem.Conflict)
			return
		}
		g.completed[parts[2]]++
		f.State = dps.Completed
		g.flows[key] = f
		w.WriteHeader(http.StatusNoContent)
	case "POST errored":
		var req gatewayapi.ErroredRequest
		_ = json.Unmarshal(body, &req)
		g.errored[parts[2]] = append(g.errored[parts[2]], req.Reason)
		f.State, f.Reason = dps.Terminated, req.Reason
		g.flows[key] = f
		w.WriteHeader(http.StatusNoContent)
	default:
		refuse(problem.Invalid)
	}
}
