package sandbox_test

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

// dataPlane is a tiny data plane for both participants: it answers at once and records what it is told.
type dataPlane struct {
	*httptest.Server

	world  *world
	mu     sync.Mutex
	calls  []signal
	serial int
	// answer, if set, answers instead; false leaves it to the default.
	answer func(w http.ResponseWriter, s signal) bool
}

// signal is one DPS call: path is prepare, start, or {id}/started and so on.
type signal struct {
	pc, path, token string
	body            map[string]any
	raw             string
}

// verb is the last part of the path.
func (s signal) verb() string { return s.path[strings.LastIndex(s.path, "/")+1:] }

func newDataPlane(t *testing.T) *dataPlane {
	t.Helper()
	d := &dataPlane{}
	d.Server = httptest.NewServer(d)
	t.Cleanup(d.Close)
	return d
}

func (d *dataPlane) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	parts := strings.SplitN(strings.TrimPrefix(r.URL.Path, "/"), "/", 3)
	b, _ := io.ReadAll(r.Body)
	s := signal{pc: parts[0], path: parts[2], token: strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), raw: string(b)}
	_ = json.Unmarshal(b, &s.body)
	d.mu.Lock()
	d.calls = append(d.calls, s)
	d.serial++
	n, answer := d.serial, d.answer
	d.mu.Unlock()
	if answer != nil && answer(w, s) {
		return
	}
	id, _ := s.body["processId"].(string)
	switch s.verb() {
	case "prepare":
		if transferType(s) == "http-push" {
			reply(w, id, "PREPARED", address("http://consumer.example/in", n))
			return
		}
		reply(w, id, "PREPARED", nil)
	case "start":
		if transferType(s) == "http-pull" {
			reply(w, id, "STARTED", address("http://provider.example/data", n))
			return
		}
		reply(w, id, "STARTED", nil)
	case "resume":
		if s.body["dataAddress"] == nil {
			reply(w, strings.TrimSuffix(s.path, "/resume"), "STARTED", address("http://provider.example/data", n))
			return
		}
		reply(w, strings.TrimSuffix(s.path, "/resume"), "STARTED", nil)
	}
}

func transferType(s signal) any {
	if p, ok := s.body["profile"]; ok {
		return p
	}
	return s.body["transferType"]
}

func reply(w http.ResponseWriter, id, state string, addr map[string]any) {
	m := map[string]any{"messageId": "m", "dataFlowId": id, "state": state}
	if addr != nil {
		m["dataAddress"] = addr
	}
	_ = json.NewEncoder(w).Encode(m)
}

func address(endpoint string, n int) map[string]any {
	return map[string]any{"@type": "DataAddress", "endpointType": "https://w3id.org/dspace-sig/profile/http-pull", "endpoint": endpoint, "endpointProperties": []any{
		map[string]any{"@type": "EndpointProperty", "name": "authorization", "value": fmt.Sprintf("token-%d", n)},
	}}
}

// answerWith replaces the answer.
func (d *dataPlane) answerWith(f func(http.ResponseWriter, signal) bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.answer = f
}

// seen are the calls so far, as "consumer prepare".
func (d *dataPlane) seen() []string {
	out := []string{}
	for _, s := range d.all() {
		out = append(out, s.pc+" "+s.verb())
	}
	return out
}

func (d *dataPlane) all() []signal {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]signal(nil), d.calls...)
}

// last is the latest call of a kind.
func (d *dataPlane) last(what string) signal {
	for _, s := range slices.Backward(d.all()) {
		if s.pc+" "+s.verb() == what {
			return s
		}
	}
	return signal{}
}

// notify makes a callback as the data plane of a participant, with a fresh token, and returns the status.
func (d *dataPlane) notify(pc, id, what string, extra map[string]any) int {
	d.world.t.Helper()
	state := map[string]string{"prepared": "PREPARED", "started": "STARTED", "completed": "COMPLETED", "errored": "TERMINATED"}[what]
	m := map[string]any{"messageId": "m", "dataFlowId": id, "state": state}
	maps.Copy(m, extra)
	delete(d.world.token, "dp-"+pc) // a token is good once
	status, _ := d.world.send(d.world.as("dp-"+pc), "POST", "/signaling/transfers/"+id+"/dataflow/"+what, m)
	return status
}
