package gateway_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/dps-gateway/internal/gateway"
	"github.com/tidegate/tidegate/dps-gateway/internal/redisconn"
	"github.com/tidegate/tidegate/dps-gateway/internal/redistest"
	"github.com/tidegate/tidegate/shared/auth"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/objectstore"
	"github.com/tidegate/tidegate/shared/tenant"
)

const publicURL = "http://public.test"

// world is what stands around gateways: Redis, two tenants with a bucket each, their control plane, the broker, the functions.
type world struct {
	tb       testing.TB
	dir      string
	redisURL string
	rdb      redis.UniversalClient
	outside  *httptest.Server // control plane, token endpoint, broker
	server   *dataServer
	secret   *auth.SharedSecret
	flows    atomic.Int64
	callback atomic.Pointer[func(path string, body []byte)] // told of the DPS callbacks that the control plane gets
}

// dataServer is a data-server function: it answers by reference, or what answer says.
type dataServer struct {
	*httptest.Server
	calls  atomic.Int64
	mu     sync.Mutex
	answer func(w http.ResponseWriter, r *http.Request, q *gatewayapi.DataRequest)
	last   gatewayapi.DataRequest
}

func (d *dataServer) answers(f func(w http.ResponseWriter, r *http.Request, q *gatewayapi.DataRequest)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.answer = f
}

func (d *dataServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.calls.Add(1)
	var q gatewayapi.DataRequest
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	d.mu.Lock()
	d.last = q
	answer := d.answer
	d.mu.Unlock()
	if answer != nil {
		answer(w, r, &q)
		return
	}
	w.Header().Set("Content-Type", gatewayapi.ReferenceContentType)
	_ = json.NewEncoder(w).Encode(gatewayapi.DataReference{
		Bucket: q.Dataset.Bucket, Key: q.Dataset.Key, StoreETag: q.Dataset.StoreETag, Size: q.Dataset.Size,
		SHA256: q.Dataset.SHA256, ContentType: q.Dataset.ContentType,
	})
}

const tenantDocument = `participantContextId: %[1]s
did: did:web:%[1]s.test
controlPlane:
  managementUrl: %[2]s/management
  signalingUrl: %[2]s/signaling
  profile: http-dsp-profile-2025-1
  signaling:
    authorization:
      type: network
auth:
  type: client_credentials
  tokenEndpoint: %[2]s/token
  clientId: tidegate
  clientSecretFile: %[3]s
buckets:
  - name: files
    url: file://%[4]s
%[5]s`

func newWorld(tb testing.TB) *world {
	tb.Helper()
	rdb, mini := redistest.Mini(tb)
	return newWorldOn(tb, rdb, "redis://"+mini.Addr()+"/0")
}

func newWorldOn(tb testing.TB, rdb redis.UniversalClient, redisURL string) *world {
	tb.Helper()
	w := &world{tb: tb, dir: tb.TempDir(), rdb: rdb, redisURL: redisURL}
	w.outside = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if told := w.callback.Load(); told != nil && strings.HasPrefix(r.URL.Path, "/signaling/") {
			(*told)(r.URL.Path, body)
		}
		if r.URL.Path == "/token" {
			rw.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(rw, `{"access_token":"t","token_type":"Bearer","expires_in":600}`)
			return
		}
		if r.URL.Path == gatewayapi.PathVeto {
			rw.WriteHeader(http.StatusNoContent) // the approver's consent
			return
		}
		rw.WriteHeader(http.StatusOK)
	}))
	tb.Cleanup(w.outside.Close)
	w.server = &dataServer{}
	w.server.Server = httptest.NewServer(w.server)
	tb.Cleanup(w.server.Close)
	for _, d := range []string{"tenants", "secrets", "buckets/provider", "buckets/other"} {
		if err := os.MkdirAll(filepath.Join(w.dir, d), 0o755); err != nil {
			tb.Fatal(err)
		}
	}
	w.write("secrets/internal", "an-internal-secret-of-tests")
	w.write("secrets/controlplane", "a-key-of-control-planes")
	w.write("secrets/client", "a-client-secret")
	w.tenant("provider", "")
	w.tenant("other", "")
	var err error
	if w.secret, err = auth.NewSharedSecret(w.path("secrets/internal")); err != nil {
		tb.Fatal(err)
	}
	return w
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

func (w *world) write(name, text string) {
	w.tb.Helper()
	tmp := w.path(name) + ".tmp"
	if err := os.WriteFile(tmp, []byte(text), 0o600); err != nil {
		w.tb.Fatal(err)
	}
	if err := os.Rename(tmp, w.path(name)); err != nil {
		w.tb.Fatal(err)
	}
}

func (w *world) read(name string) string {
	w.tb.Helper()
	b, err := os.ReadFile(w.path(name))
	if err != nil {
		w.tb.Fatal(err)
	}
	return string(b)
}

// tenant writes a tenant's document, with further members.
func (w *world) tenant(pc, more string) {
	w.tb.Helper()
	w.write("tenants/"+pc+".yaml", fmt.Sprintf(tenantDocument, pc, w.outside.URL, w.path("secrets/client"), w.path("buckets/"+pc), more))
}

func (w *world) config() gateway.Config {
	return gateway.Config{
		SignalingAddr: "127.0.0.1:0", PublicAddr: "127.0.0.1:0", InternalAddr: "127.0.0.1:0", MetricsAddr: "127.0.0.1:0",
		SignalingURL: "http://signaling.test", PublicURL: publicURL, Sink: w.outside.URL + "/broker",
		ApproverURL: w.outside.URL, DataServerURL: w.server.URL, TenantsDir: w.path("tenants"),
		InternalTokenFile: w.path("secrets/internal"), ControlPlaneKeyFile: w.path("secrets/controlplane"), SigningKeyFile: w.path("secrets/signing.pem"),
		Redis:          redisconn.Config{URL: w.redisURL, Timeout: 2 * time.Second, AllowVolatile: true},
		AllowPlainHTTP: true, TokenTTL: time.Hour, DecisionWait: 2 * time.Second, HookWait: 2 * time.Second, DataWait: 20 * time.Second, DataWaiting: 128, SignalsWaiting: 512, DataPause: 200 * time.Millisecond, StallTime: 5 * time.Second,
		EventWait: 5 * time.Second, Retention: time.Hour, TenantsEvery: 20 * time.Millisecond, DrainTime: time.Second, BlindTime: 20 * time.Second, LogLevel: "info",
	}
}

// running is a gateway that serves.
type running struct {
	w                                    *world
	signaling, public, internal, metrics string
	api                                  *gatewayapi.Client
	hc                                   *http.Client
	stop                                 func() error
}

func (w *world) start(change func(*gateway.Config)) *running {
	w.tb.Helper()
	cfg := w.config()
	if change != nil {
		change(&cfg)
	}
	log := zerolog.Nop()
	if testing.Verbose() && os.Getenv("GATEWAY_LOG") != "" {
		log = zerolog.New(os.Stderr)
	}
	g, err := gateway.Open(w.tb.Context(), cfg, log)
	if err != nil {
		w.tb.Fatal(err)
	}
	r := &running{w: w}
	r.signaling, r.public, r.internal, r.metrics = g.Addrs()
	plain := &http.Transport{MaxIdleConnsPerHost: 128}
	tr := described.Transport(plain, func(host string) string {
		return map[string]string{r.signaling: "signaling", r.public: "public", r.internal: "internal"}[host]
	}, func(err error) { w.tb.Error(err) })
	r.hc = &http.Client{Transport: tr}
	r.api = gatewayapi.NewClient("http://"+r.internal, &http.Client{Transport: w.secret.Transport(tr), Timeout: 10 * time.Second})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	var once sync.Once
	r.stop = func() (err error) {
		once.Do(func() {
			cancel()
			err = <-done
			plain.CloseIdleConnections()
		})
		return err
	}
	w.tb.Cleanup(func() {
		if err := r.stop(); err != nil {
			w.tb.Error(err)
		}
	})
	return r
}

// publish puts an object in a tenant's bucket and registers it as a dataset.
func (r *running) publish(pc, key string, content []byte) gatewayapi.Dataset {
	r.w.tb.Helper()
	file := r.w.path("buckets/" + pc + "/" + key)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		r.w.tb.Fatal(err)
	}
	if err := os.WriteFile(file, content, 0o600); err != nil {
		r.w.tb.Fatal(err)
	}
	sum := sha256.Sum256(content)
	return r.register(pc, key, hex.EncodeToString(sum[:]))
}

func (r *running) register(pc, key, sum string) gatewayapi.Dataset {
	r.w.tb.Helper()
	ctx := context.Background()
	b := tenant.Bucket{Name: "files", URL: "file://" + r.w.path("buckets/"+pc)}
	s, err := objectstore.Open(ctx, b)
	if err != nil {
		r.w.tb.Fatal(err)
	}
	defer s.Close()
	o, err := s.Head(ctx, key)
	if err != nil {
		r.w.tb.Fatal(err)
	}
	d := gatewayapi.Dataset{
		ID: pc + "-" + hexID(key), Bucket: "files", Key: key, Rule: "all", Size: o.Size, SHA256: sum, StoreETag: o.ETag,
		ContentType: "text/plain", Modified: o.Modified,
	}
	r.put(pc, d)
	return d
}

func hexID(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:16])
}

func (r *running) put(pc string, d gatewayapi.Dataset) {
	r.w.tb.Helper()
	if _, err := r.api.Put(context.Background(), pc, gatewayapi.KindDataset, d.ID, d, gatewayapi.Always()); err != nil {
		r.w.tb.Fatal(err)
	}
}

// grant is a started flow of a provider, as its consumer has it.
type grant struct {
	pc, flow, path, token string
}

// startFlow has an agreement approved and a flow started.
func (r *running) startFlow(pc string, d gatewayapi.Dataset) grant {
	r.w.tb.Helper()
	n := r.w.flows.Add(1)
	agreement := fmt.Sprintf("agr-%d", n)
	dec := gatewayapi.Decision{
		ID: gatewayapi.AgreementRecordID(agreement), AgreementID: agreement, DatasetID: d.ID, CounterPartyID: "did:web:consumer.test",
		Verdict: gatewayapi.Approved, Rule: "all", By: "rules", Mode: "veto", DecidedAt: time.Now(),
	}
	if _, err := r.api.Put(context.Background(), pc, gatewayapi.KindDecision, dec.ID, dec, gatewayapi.Always()); err != nil {
		r.w.tb.Fatal(err)
	}
	flow := fmt.Sprintf("%s-tp-%d", pc, n)
	st := r.signal(pc, "start", map[string]any{
		"messageId": fmt.Sprintf("m-%d", n), "participantId": "did:web:" + pc + ".test", "counterPartyId": "did:web:consumer.test",
		"dataspaceContext": "http-dsp-profile-2025-1", "processId": flow, "agreementId": agreement, "datasetId": d.ID,
		"profile": dps.ProfileHTTPPull, "claims": map[string]any{},
	})
	return r.grantOf(pc, flow, st)
}

func (r *running) grantOf(pc, flow string, st dps.StatusMessage) grant {
	r.w.tb.Helper()
	if st.DataAddress == nil {
		r.w.tb.Fatalf("no data address: %+v", st)
	}
	u, err := url.Parse(st.DataAddress.Endpoint)
	if err != nil {
		r.w.tb.Fatal(err)
	}
	return grant{pc, flow, u.EscapedPath(), st.DataAddress.Property(dps.PropertyAuthorization)}
}

// signal sends a DPS message and returns the answer.
func (r *running) signal(pc, rest string, msg map[string]any) dps.StatusMessage {
	r.w.tb.Helper()
	b, err := json.Marshal(msg)
	if err != nil {
		r.w.tb.Fatal(err)
	}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "http://"+r.signaling+"/participants/"+pc+"/dataflows/"+rest, bytes.NewReader(b))
	if err != nil {
		r.w.tb.Fatal(err)
	}
	a := r.do(req)
	if a.code != http.StatusOK {
		r.w.tb.Fatalf("%s: %d %s", rest, a.code, a.body)
	}
	var st dps.StatusMessage
	if len(a.body) > 0 {
		if err := json.Unmarshal(a.body, &st); err != nil {
			r.w.tb.Fatalf("%s: %v: %s", rest, err, a.body)
		}
	}
	return st
}

// request makes a request to the public listener; headers are name, value, ….
func (r *running) request(method string, g grant, headers ...string) *http.Request {
	r.w.tb.Helper()
	req, err := http.NewRequestWithContext(r.w.tb.Context(), method, "http://"+r.public+g.path, nil)
	if err != nil {
		r.w.tb.Fatal(err)
	}
	if g.token != "" {
		req.Header.Set("Authorization", "Bearer "+g.token)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	return req
}

type answer struct {
	code   int
	header http.Header
	body   []byte
}

func (r *running) do(req *http.Request) answer {
	r.w.tb.Helper()
	res, err := r.hc.Do(req)
	if err != nil {
		r.w.tb.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		r.w.tb.Fatalf("%s %s: %d: body: %v", req.Method, req.URL.Path, res.StatusCode, err)
	}
	return answer{res.StatusCode, res.Header, body}
}

func (r *running) get(g grant, headers ...string) answer {
	r.w.tb.Helper()
	return r.do(r.request(http.MethodGet, g, headers...))
}

// within polls until ok, or fails after a minute: it bounds a failure, not a promise.
func within(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			tb.Fatalf("not within a minute: %s", what)
		}
	}
}

// uniform is what of a refusal must not tell one case from another: all but its id.
func (a answer) uniform(tb testing.TB) string {
	tb.Helper()
	var doc map[string]any
	if err := json.Unmarshal(a.body, &doc); err != nil {
		tb.Fatalf("%d: %v: %s", a.code, err, a.body)
	}
	delete(doc, "id")
	b, _ := json.Marshal(doc)
	h := a.header.Clone()
	h.Del("Date")
	h.Del("Content-Length")
	var hs strings.Builder
	_ = h.Write(&hs)
	return fmt.Sprintf("%d %s\n%s", a.code, b, hs.String())
}
