package gateway_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/dps-gateway/internal/gateway"
	"github.com/tidegate/tidegate/shared/dps"
)

// raw sends a body as it stands.
func (r *running) raw(pc, rest, body string) answer {
	r.w.tb.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "http://"+r.signaling+"/participants/"+pc+"/dataflows/"+rest, strings.NewReader(body))
	if err != nil {
		r.w.tb.Fatal(err)
	}
	return r.do(req)
}

// flowsOf are the flows of a tenant as the internal API tells of them, by id, revisions included.
func (r *running) flowsOf(pc string) map[string]string {
	r.w.tb.Helper()
	all := map[string]string{}
	for f, err := range r.api.Flows(context.Background(), pc) {
		if err != nil {
			r.w.tb.Fatal(err)
		}
		b, err := json.Marshal(f)
		if err != nil {
			r.w.tb.Fatal(err)
		}
		all[f.DataFlowID] = string(b)
	}
	return all
}

const (
	pull = dps.ProfileHTTPPull
	push = dps.ProfileHTTPPush
)

// spoken is a message, with members changed: name, value as JSON ("" takes it away), ….
func spoken(m map[string]any, change ...string) string {
	m = maps.Clone(m)
	for i := 0; i < len(change); i += 2 {
		delete(m, change[i])
		if change[i+1] != "" {
			m[change[i]] = json.RawMessage(change[i+1])
		}
	}
	b, err := json.Marshal(m)
	if err != nil {
		panic(err) // a table of this file is wrong
	}
	return string(b)
}

// address is a data address of a type, with properties as JSON.
func address(profile, endpoint, properties string) string {
	return fmt.Sprintf(`{"endpointType":%q,"endpoint":%q,"endpointProperties":%s}`, profile, endpoint, properties)
}

const bearer = `[{"name":"authorization","value":"t"},{"name":"authType","value":"bearer"}]`

// flows makes, for tenant provider, flows in every state that refusals are about: named by role, direction and state.
func (r *running) flows() {
	r.w.tb.Helper()
	d := r.publish("provider", "a", []byte("a"))
	r.approveFor("provider", d.ID)
	start := func(process, profile, addr string) string {
		return spoken(flowMessage("m-"+process, process, profile), "datasetId", fmt.Sprintf("%q", d.ID), "dataAddress", addr)
	}
	ok := func(rest, body string) {
		r.w.tb.Helper()
		if a := r.raw("provider", rest, body); a.code != http.StatusOK {
			r.w.tb.Fatalf("%s: %d %s", rest, a.code, a.body)
		}
	}
	for _, state := range []string{"prepared", "started", "completed", "terminated"} {
		for name, profile := range map[string]string{"pull": pull, "push": push} {
			id := "consumer-" + name + "-" + state
			ok("prepare", spoken(flowMessage("m-"+id, id, profile)))
			if state == "prepared" {
				continue
			}
			addr := ""
			if name == "pull" {
				addr = address(pull, "https://them.test/data", bearer)
			}
			ok(id+"/started", spoken(map[string]any{"messageId": "s"}, "dataAddress", addr))
		}
	}
	for _, state := range []string{"started", "suspended", "completed", "terminated"} {
		ok("start", start("provider-pull-"+state, pull, ""))
	}
	for _, role := range []string{"consumer", "provider"} {
		for state, signal := range map[string]string{"completed": "completed", "terminated": "terminate"} {
			ok(role+"-pull-"+state+"/"+signal, `{"messageId":"e"}`)
		}
	}
	ok("provider-pull-suspended/suspend", `{"messageId":"e"}`)
}

// TestWhatTheTextRefusesIsRefusedAndChangesNothing asks a whole gateway for all that docs/signaling.md says is refused: the status, the member
// that is named, and that all flows are afterwards what they were.
func TestWhatTheTextRefusesIsRefusedAndChangesNothing(t *testing.T) {
	w := newWorld(t)
	r := w.start(func(c *gateway.Config) { c.AllowPlainHTTP, c.PublicURL = false, "https://public.test" })
	r.flows()
	fresh := func(profile string, change ...string) string {
		return spoken(flowMessage("m-new", "new", profile), append([]string{"datasetId", `"provider-` + hexID("a") + `"`}, change...)...)
	}
	pullAt := func(endpoint string) string {
		return spoken(map[string]any{"messageId": "n"}, "dataAddress", address(pull, endpoint, bearer))
	}
	props := func(p string) string {
		return spoken(map[string]any{"messageId": "n"}, "dataAddress", address(pull, "https://them.test/data", p))
	}
	const at = "dataAddress.endpointProperties."
	type refusal struct {
		name, rest, body string
		code             int
		field            string
	}
	table := []refusal{
		{"no JSON", "prepare", `{`, 400, ""},
		{"a list", "prepare", `[]`, 400, ""},
		{"text after the object", "prepare", fresh(pull) + "x", 400, ""},
		{"a member twice", "prepare", strings.Replace(fresh(pull), "{", `{"processId":"other",`, 1), 400, ""},
		{"not UTF-8", "prepare", strings.Replace(fresh(pull), "m-new", "\xff", 1), 400, ""},
		{"too deep", "prepare", fresh(pull, "metadata", strings.Repeat(`{"a":`, 40)+"1"+strings.Repeat("}", 40)), 400, ""},
		{"too large", "prepare", fresh(pull, "metadata", `{"a":"`+strings.Repeat("x", 300<<10)+`"}`), 413, ""},
		{"another type", "prepare", fresh(pull, "counterPartyId", "7"), 400, "counterPartyId"},
		{"a profile that is not offered", "prepare", fresh("https://x.test/kafka-pull"), 400, "profile"},
		{"prepare of a pull with an address", "prepare", fresh(pull, "dataAddress", address(pull, "https://them.test/data", bearer)), 400, "dataAddress"},
		{"start of a pull with an address", "start", fresh(pull, "dataAddress", address(pull, "https://them.test/data", bearer)), 400, "dataAddress"},
		{"start of a push without an address", "start", fresh(push), 400, "dataAddress"},
		{"start of a push with an address that is null", "start", fresh(push, "dataAddress", "null"), 400, "dataAddress"},
		{"push to http", "start", fresh(push, "dataAddress", address(push, "http://them.test/in", bearer)), 400, "dataAddress.endpoint"},
		{"push to no absolute URL", "start", fresh(push, "dataAddress", address(push, "/in", bearer)), 400, "dataAddress.endpoint"},
		{"push to a URL with a user", "start", fresh(push, "dataAddress", address(push, "https://u:p@them.test/in", bearer)), 400, "dataAddress.endpoint"},
		{"push to an address of pull", "start", fresh(push, "dataAddress", address(pull, "https://them.test/in", bearer)), 400, "dataAddress.endpointType"},
		{"started of a pull without an address", "consumer-pull-prepared/started", `{"messageId":"n"}`, 400, "dataAddress"},
		{"started of a pull at http", "consumer-pull-prepared/started", pullAt("http://them.test/data"), 400, "dataAddress.endpoint"},
		{"started of a pull at a fragment", "consumer-pull-prepared/started", pullAt("https://them.test/data#x"), 400, "dataAddress.endpoint"},
		{"started of a push with another's address", "consumer-push-prepared/started", spoken(map[string]any{"messageId": "n"}, "dataAddress", address(push, "https://them.test/in", bearer)), 400, "dataAddress"},
		{"a token without authType", "consumer-pull-prepared/started", props(`[{"name":"authorization","value":"t"}]`), 400, at + "authType"},
		{"a token of another type", "consumer-pull-prepared/started", props(`[{"name":"authorization","value":"t"},{"name":"authType","value":"basic"}]`), 400, at + "authType"},
		{"a refresh token without expiresIn", "consumer-pull-prepared/started", props(strings.Replace(bearer, "]", `,{"name":"refreshToken","value":"r"}]`, 1)), 400, at + "expiresIn"},
		{"a dataset that is not served", "start", fresh(pull, "datasetId", `"nothing"`), 400, "datasetId"},
		{"an agreement that nobody has decided on", "start", fresh(pull, "agreementId", `"none"`), 503, ""},
		{"a second start", "start", strings.ReplaceAll(fresh(pull, "metadata", `{"a":1}`), `"new"`, `"provider-pull-started"`), 409, "processId"},
		{"a second start of what is suspended", "start", strings.ReplaceAll(fresh(pull), `"new"`, `"provider-pull-suspended"`), 409, "processId"},
		{"a start for what is prepared", "start", strings.ReplaceAll(fresh(pull), `"new"`, `"consumer-pull-prepared"`), 409, "processId"},
		{"another prepare", "prepare", strings.ReplaceAll(fresh(pull, "metadata", `{"a":1}`), `"new"`, `"consumer-pull-prepared"`), 409, "processId"},
		{"resume of what is started", "provider-pull-started/resume", `{"messageId":"n"}`, 400, "state"},
		{"suspend of what is prepared", "consumer-pull-prepared/suspend", `{"messageId":"n"}`, 400, "state"},
		{"completed of what is suspended", "provider-pull-suspended/completed", `{"messageId":"n"}`, 400, "state"},
		{"started of a provider's flow", "provider-pull-started/started", pullAt("https://them.test/data"), 400, "state"},
		{"resume of a provider's pull with an address", "provider-pull-suspended/resume", pullAt("https://them.test/data"), 400, "dataAddress"},
		{"resume of what is prepared", "consumer-pull-prepared/resume", `{"messageId":"n"}`, 400, "state"},
		{"suspend of what is suspended", "provider-pull-suspended/suspend", `{"messageId":"n","reason":"other"}`, 400, "state"},
		{"completed of what is prepared", "consumer-pull-prepared/completed", `{"messageId":"n"}`, 400, "state"},
		{"no such flow", "nothing/suspend", `{"messageId":"n"}`, 404, ""},
		{"no such flow to start", "nothing/started", pullAt("https://them.test/data"), 404, ""},
		{"no such flow to resume", "nothing/resume", `{"messageId":"n"}`, 404, ""},
		{"no such flow to terminate", "nothing/terminate", `{"messageId":"n"}`, 404, ""},
		{"no such flow to complete", "nothing/completed", `{}`, 404, ""},
	}
	for _, member := range []string{"messageId", "participantId", "counterPartyId", "dataspaceContext", "processId", "agreementId", "datasetId", "profile"} {
		table = append(table,
			refusal{member + " missing", "start", fresh(pull, member, ""), 400, member},
			refusal{member + " null", "start", fresh(pull, member, "null"), 400, member},
			refusal{member + " empty", "start", fresh(pull, member, `""`), 400, member})
	}
	for _, flow := range []string{"consumer-pull-", "provider-pull-"} {
		for _, state := range []string{"completed", "terminated"} { // final: nothing but a repeat of what has ended it
			for signal, body := range map[string]string{"started": pullAt("https://them.test/other"), "suspend": "", "resume": "", "terminate": "", "completed": ""} {
				if strings.HasPrefix(state, signal) || flow == "provider-pull-" && signal == "started" {
					continue
				}
				if body == "" {
					body = `{"messageId":"n"}`
				}
				table = append(table, refusal{signal + " of " + flow + state, flow + state + "/" + signal, body, 400, "state"})
			}
		}
	}
	before := r.flowsOf("provider")
	for _, c := range table {
		a := r.raw("provider", c.rest, c.body)
		var p struct {
			Field string `json:"field"`
		}
		_ = json.Unmarshal(a.body, &p) // compared below
		if a.code != c.code || p.Field != c.field {
			t.Errorf("%s: %d %s, want %d, field %q", c.name, a.code, a.body, c.code, c.field)
		}
		if ct := a.header.Get("Content-Type"); ct != "application/problem+json" {
			t.Errorf("%s: Content-Type %q", c.name, ct)
		}
		if c.code == http.StatusServiceUnavailable && a.header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", c.name)
		}
	}
	if after := r.flowsOf("provider"); !maps.Equal(before, after) {
		t.Errorf("flows were %v, and are %v", before, after)
	}
}

// TestPlainHTTPIsForDevelopment: the switch takes http endpoints, and those only.
func TestPlainHTTPIsForDevelopment(t *testing.T) {
	w := newWorld(t)
	r := w.start(func(c *gateway.Config) { c.AllowPlainHTTP = true })
	r.signal("provider", "prepare", flowMessage("m", "tp", pull))
	for endpoint, code := range map[string]int{"ftp://them.test/data": 400, "http://them.test/data": 200} {
		a := r.raw("provider", "tp/started", spoken(map[string]any{"messageId": endpoint}, "dataAddress", address(pull, endpoint, bearer)))
		if a.code != code {
			t.Errorf("%s: %d %s", endpoint, a.code, a.body)
		}
	}
}
