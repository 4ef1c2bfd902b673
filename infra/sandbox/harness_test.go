package sandbox_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/infra/sandbox"
	"github.com/tidegate/tidegate/infra/sandbox/config"
)

// world is a running sandbox with a data plane per participant and an event sink.
type world struct {
	t     *testing.T
	cfg   *config.Config
	url   string
	plane *dataPlane
	sink  *sink
	stop  func()
	token map[string]string
}

// newWorld starts a sandbox with the participants provider (provider-id) and consumer (consumer-id). change may alter its
// configuration first.
func newWorld(t *testing.T, change func(*config.Config)) *world {
	t.Helper()
	w := &world{t: t, plane: newDataPlane(t), sink: newSink(t)}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	doc := fmt.Sprintf(`
listen: %[1]s
stateDir: state
adminKey: an-admin-key-for-tests
idp:
  clients:
    - {id: admin, secret: s}
    - {id: workload, secret: s, role: workload}
    - {id: narrow, secret: s, role: application, subject: provider, scopes: ["management-api:assets:write"]}
    - {id: reader, secret: s, role: application, subject: provider, scopes: ["management-api:read"]}
    - {id: nobody, secret: s, role: application, subject: nobody, scopes: ["management-api:read"]}
  exchange:
    mappings: [{client: workload, participantContext: provider, scopes: [read]}]
participants:
  - id: provider
    identity: provider-id
    clients: [{id: provider-app, secret: s}, {id: cp-provider, secret: s, role: controlplane}, {id: dp-provider, secret: s, role: dataplane}]
  - id: consumer
    identity: consumer-id
    clients: [{id: consumer-app, secret: s}, {id: cp-consumer, secret: s, role: controlplane}, {id: dp-consumer, secret: s, role: dataplane}]
events: {sink: %[2]q}
delays: {step: 1ms, retry: 20ms, retries: 3, ioBackoff: 20ms, ioRetries: 8, dpsTimeout: 5s}
`, l.Addr(), w.sink.URL+"/events")
	w.cfg, err = config.Parse(t.TempDir()+"/sandbox.yaml", []byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(w.cfg)
	}
	w.url = w.cfg.PublicURL
	w.plane.world = w
	w.start(l)
	t.Cleanup(func() { w.stop() })
	return w
}

// start serves the sandbox until stop.
func (w *world) start(l net.Listener) {
	w.t.Helper()
	log := zerolog.Nop()
	if os.Getenv("SANDBOX_TEST_LOG") != "" {
		log = zerolog.New(zerolog.NewTestWriter(w.t))
	}
	s, err := sandbox.Open(w.cfg, log)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("serve: %v", err)
		}
	})
	w.token = map[string]string{}
}

// restart stops the sandbox and starts it on the same state and address.
func (w *world) restart() {
	w.t.Helper()
	w.stop()
	http.DefaultClient.CloseIdleConnections() // they lead to the one that is gone
	l, err := net.Listen("tcp", w.cfg.Listen)
	if err != nil {
		w.t.Fatal(err)
	}
	w.start(l)
}

// as gets a token of a client.
func (w *world) as(client string) string {
	w.t.Helper()
	if t, ok := w.token[client]; ok {
		return t
	}
	res, err := http.PostForm(w.url+"/idp/oauth/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {client}, "client_secret": {"s"}})
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	var tok struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.NewDecoder(res.Body).Decode(&tok); err != nil || tok.AccessToken == "" {
		w.t.Fatalf("token of %s: status %d, %v", client, res.StatusCode, err)
	}
	w.token[client] = tok.AccessToken
	return tok.AccessToken
}

// send makes one management call with a bearer token ("" = none) and returns status and body.
func (w *world) send(token, method, path string, body any) (int, string) {
	w.t.Helper()
	var r io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		r = strings.NewReader(b)
	default:
		enc, err := json.Marshal(b)
		if err != nil {
			w.t.Fatal(err)
		}
		r = bytes.NewReader(enc)
	}
	if !strings.HasPrefix(path, "/sandbox") && !strings.HasPrefix(path, "/signaling") && path != "/" {
		path = "/management/v5beta" + path
	}
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.url+path, r)
	if err != nil {
		w.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// must makes a call as a client, demands a status and returns the decoded body.
func (w *world) must(status int, client, method, path string, body any) any {
	w.t.Helper()
	got, text := w.send(w.as(client), method, path, body)
	if got != status {
		w.t.Fatalf("%s %s: status %d, want %d: %s", method, path, got, status, text)
	}
	if text == "" {
		return nil
	}
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		w.t.Fatalf("%s %s: %v: %s", method, path, err, text)
	}
	return v
}

func (w *world) app(pc string) string { return pc + "-app" }

// doc makes a typed document with the management context.
func doc(typ string, members map[string]any) map[string]any {
	m := map[string]any{"@context": []string{"https://w3id.org/edc/connector/management/v2"}, "@type": typ}
	maps.Copy(m, members)
	return m
}

const profile = "http-dsp-profile-2025-1"

func (w *world) address(pc string) string { return w.url + "/protocol/" + pc + "/" + profile }

// register registers the data plane of a participant.
func (w *world) register(pc string) {
	w.t.Helper()
	w.must(200, w.app(pc), "PUT", "/participants/"+pc+"/dataplanes", map[string]any{
		"dataplaneId": "dp-" + pc, "endpoint": w.plane.URL + "/" + pc + "/dataflows", "transferTypes": []string{"http-pull", "http-push"}, "labels": []string{"l1"},
		"authorization": map[string]any{
			"type": "oauth2_client_credentials", "tokenEndpoint": w.url + "/idp/oauth/token", "clientId": "cp-" + pc, "clientSecret": "s", "jwksUri": w.url + "/idp/keys",
		},
	})
}

// publish makes an asset, its policy and its offer.
func (w *world) publish(id string, rules map[string]any) {
	w.t.Helper()
	policy := map[string]any{"@type": "Set"}
	maps.Copy(policy, rules)
	p := "/participants/provider"
	w.must(200, "provider-app", "POST", p+"/assets", doc("Asset", map[string]any{
		"@id": id, "properties": map[string]any{"name": id}, "dataplaneMetadata": map[string]any{"@type": "DataplaneMetadata", "labels": []string{"l1"}, "properties": map[string]any{"path": "/" + id}},
	}))
	w.must(200, "provider-app", "POST", p+"/policydefinitions", doc("PolicyDefinition", map[string]any{"@id": "access-" + id, "policy": map[string]any{"@type": "Set"}}))
	w.must(200, "provider-app", "POST", p+"/policydefinitions", doc("PolicyDefinition", map[string]any{"@id": "contract-" + id, "policy": policy}))
	w.must(200, "provider-app", "POST", p+"/contractdefinitions", doc("ContractDefinition", map[string]any{
		"@id": "cd-" + id, "accessPolicyId": "access-" + id, "contractPolicyId": "contract-" + id,
		"assetsSelector": []any{map[string]any{"@type": "Criterion", "operandLeft": "https://w3id.org/edc/v0.0.1/ns/id", "operator": "=", "operandRight": id}},
	}))
}

// offer gets the first offer of a dataset, as a policy for a contract request.
func (w *world) offer(id string) map[string]any {
	w.t.Helper()
	d := w.must(200, "consumer-app", "POST", "/participants/consumer/catalog/dataset/request", doc("DatasetRequest", map[string]any{
		"@id": id, "profile": profile, "counterPartyAddress": w.address("provider"), "counterPartyId": "provider-id",
	})).(map[string]any)
	o := d["hasPolicy"].([]any)[0].(map[string]any)
	o["assigner"], o["target"] = "provider-id", id
	return o
}

// negotiate starts a negotiation and returns its id.
func (w *world) negotiate(offer map[string]any) string {
	w.t.Helper()
	return w.must(200, "consumer-app", "POST", "/participants/consumer/contractnegotiations", doc("ContractRequest", map[string]any{
		"profile": profile, "counterPartyAddress": w.address("provider"), "counterPartyId": "provider-id", "policy": offer,
	})).(map[string]any)["@id"].(string)
}

// agree negotiates an asset to the end and returns the consumer's agreement id.
func (w *world) agree(id string) string {
	w.t.Helper()
	n := w.negotiate(w.offer(id))
	w.reach("consumer", "contractnegotiations", n, "FINALIZED")
	return w.get("consumer", "contractnegotiations", n)["contractAgreementId"].(string)
}

// transfer starts a transfer and returns its id.
func (w *world) transfer(agreement, typ string) string {
	w.t.Helper()
	return w.must(200, "consumer-app", "POST", "/participants/consumer/transferprocesses", doc("TransferRequest", map[string]any{
		"profile": profile, "counterPartyAddress": w.address("provider"), "contractId": agreement, "transferType": typ,
	})).(map[string]any)["@id"].(string)
}

func (w *world) get(pc, kind, id string) map[string]any {
	w.t.Helper()
	return w.must(200, w.app(pc), "GET", "/participants/"+pc+"/"+kind+"/"+id, nil).(map[string]any)
}

// query lists the objects whose field has a value.
func (w *world) query(pc, kind, field string, value any) []map[string]any {
	w.t.Helper()
	body := doc("QuerySpec", nil)
	if field != "" {
		body["filterExpression"] = []any{map[string]any{"@type": "Criterion", "operandLeft": field, "operator": "=", "operandRight": value}}
	}
	out := []map[string]any{}
	for _, o := range w.must(200, w.app(pc), "POST", "/participants/"+pc+"/"+kind+"/request", body).([]any) {
		out = append(out, o.(map[string]any))
	}
	return out
}

// other is the id of the provider's side of a process.
func (w *world) other(kind, id string) string {
	w.t.Helper()
	l := w.query("provider", kind, "correlationId", id)
	if len(l) != 1 {
		w.t.Fatalf("%d provider rows for %s, want 1", len(l), id)
	}
	return l[0]["@id"].(string)
}

// reach waits until a process is in a state.
func (w *world) reach(pc, kind, id, state string) {
	w.t.Helper()
	var got any
	w.eventually(func() bool {
		got = w.get(pc, kind, id)["state"]
		return got == state
	}, func() string { return fmt.Sprintf("%s is %v, want %s: %v", id, got, state, w.get(pc, kind, id)) })
}

func (w *world) eventually(ok func() bool, describe func() string) {
	w.t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatal(describe())
		}
	}
}

// sink records events.
type sink struct {
	*httptest.Server

	mu     sync.Mutex
	events []received
}

type received struct {
	header http.Header
	body   map[string]any
}

func newSink(t *testing.T) *sink {
	t.Helper()
	s := &sink{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var m map[string]any
		_ = json.NewDecoder(r.Body).Decode(&m)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.events = append(s.events, received{r.Header.Clone(), m})
	}))
	t.Cleanup(s.Close)
	return s
}

// classes are the short class names of the events of a participant, in order.
func (s *sink) classes(pc, prefix string) []string {
	out := []string{}
	for _, e := range s.all() {
		typ := e.header.Get("Ce-Type")
		short := typ[strings.LastIndex(typ, ".")+1:]
		if e.body["participantContextId"] == pc && strings.HasPrefix(short, prefix) {
			out = append(out, strings.TrimPrefix(short, prefix))
		}
	}
	return out
}

func (s *sink) all() []received {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]received(nil), s.events...)
}
