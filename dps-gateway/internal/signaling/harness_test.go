package signaling_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/dps-gateway/internal/controlplane"
	"github.com/tidegate/tidegate/dps-gateway/internal/dataflow"
	"github.com/tidegate/tidegate/dps-gateway/internal/flowstore"
	"github.com/tidegate/tidegate/dps-gateway/internal/outbox"
	"github.com/tidegate/tidegate/dps-gateway/internal/records"
	"github.com/tidegate/tidegate/dps-gateway/internal/signaling"
	"github.com/tidegate/tidegate/shared/auth"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

const theKey = "0123456789abcdef-key"

// world is a gateway's signaling listener, and what stands around it.
type world struct {
	tb      testing.TB
	url     string
	rdb     redis.UniversalClient
	store   *flowstore.Redis
	records *records.Store
	tenants tenants
	idp     *idp
	decider *decider
	vetoer  *vetoer
	deps    signaling.Deps
}

type tenants map[string]*tenant.Tenant

func (t tenants) Get(pc string) (*tenant.Tenant, bool) { v, ok := t[pc]; return v, ok }

// Known knows those in force, and one that is not.
func (t tenants) Known(pc string) bool { return t[pc] != nil || pc == "suspended" }

// idp is the identity provider of the control planes: real keys behind a real JWKS.
type idp struct {
	signer *auth.Signer
	url    string
}

func newIDP(tb testing.TB) *idp {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	s, err := auth.NewSigner(key)
	if err != nil {
		tb.Fatal(err)
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(s.JWKS())
	}))
	tb.Cleanup(srv.Close)
	return &idp{signer: s, url: srv.URL}
}

func (i *idp) token(tb testing.TB, change func(claims map[string]any)) string {
	tb.Helper()
	claims := map[string]any{
		"iss": i.url, "sub": "edc", "aud": "tidegate", "iat": time.Now().Unix(), "exp": time.Now().Add(5 * time.Minute).Unix(), "jti": uuid.NewString(),
	}
	if change != nil {
		change(claims)
	}
	t, err := i.signer.Sign(claims)
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

// issuer makes addresses whose token is its id.
type issuer struct {
	mu sync.Mutex
	n  int
}

func (i *issuer) Issue(_ context.Context, g dataflow.Grant) (*dps.DataAddress, string, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.n++
	id := fmt.Sprintf("token-%d", i.n)
	return dps.NewBearerAddress(g.Profile, i.Endpoint(g), id), id, nil
}

func (*issuer) Endpoint(g dataflow.Grant) string {
	if g.Direction == dps.Push {
		return "https://public.example/ingest/" + g.DataFlowID
	}
	return "https://public.example/data/" + g.DataFlowID
}

// decider is the approver, as the gateway's start sees it.
type decider struct {
	mu     sync.Mutex
	asked  []gatewayapi.DecideRequest
	decide func(ctx context.Context, req gatewayapi.DecideRequest) (gatewayapi.Decision, error)
}

func (d *decider) Decide(ctx context.Context, req gatewayapi.DecideRequest) (gatewayapi.Decision, error) {
	d.mu.Lock()
	d.asked = append(d.asked, req)
	d.mu.Unlock()
	if d.decide == nil {
		return gatewayapi.Decision{}, problem.New(problem.Unavailable, "nobody is there")
	}
	return d.decide(ctx, req)
}

type vetoer struct {
	mu    sync.Mutex
	asked []gatewayapi.VetoRequest
	err   error
}

func (v *vetoer) Veto(_ context.Context, req gatewayapi.VetoRequest) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.asked = append(v.asked, req)
	return v.err
}

func newWorld(tb testing.TB, rdb redis.UniversalClient) *world {
	tb.Helper()
	w := &world{tb: tb, rdb: rdb, tenants: tenants{}, idp: newIDP(tb), decider: &decider{}, vetoer: &vetoer{}}
	for _, pc := range []string{"provider", "consumer"} {
		w.tenants[pc] = &tenant.Tenant{
			ParticipantContextID: pc, DID: "did:web:" + pc,
			ControlPlane: tenant.ControlPlane{Dialect: tenant.EDCV, Signaling: tenant.Signaling{Authorization: tenant.SignalingAuthorization{
				Type: tenant.SignalingOAuth2, Issuer: w.idp.url, JWKSURL: w.idp.url, Audience: "tidegate", Subject: "edc",
			}}},
		}
	}
	bell := outbox.NewBell()
	w.store = flowstore.New(rdb, bell, time.Hour)
	w.records = records.New(rdb, time.Hour)
	file := filepath.Join(tb.TempDir(), "key")
	if err := os.WriteFile(file, []byte(theKey+"\n"), 0o600); err != nil {
		tb.Fatal(err)
	}
	keys, err := auth.NewSharedSecret(file)
	if err != nil {
		tb.Fatal(err)
	}
	w.deps = signaling.Deps{
		Tenants: w.tenants, Flows: dataflow.New(w.store, &issuer{}, w.decider, dataflow.Options{DecideTimeout: time.Second}),
		Outbox: outbox.NewWriter(rdb, bell), Datasets: w.records, Vetoer: w.vetoer, Keys: keys, HTTP: http.DefaultClient, Log: zerolog.Nop(),
		Registrations: controlplane.NewRegistrations(rdb), Peers: http.DefaultClient, AllowPlainHTTP: true, AllowPrivate: true,
	}
	w.serve()
	return w
}

// serve opens the listener anew, by the dependencies as they are.
func (w *world) serve() {
	srv := httptest.NewServer(signaling.New(w.deps))
	w.tb.Cleanup(srv.Close)
	w.url = srv.URL
}

// approve registers a dataset of the provider, with an approving decision on the agreement.
func (w *world) approve(pc, agreement, dataset, counterParty string) {
	w.tb.Helper()
	w.dataset(pc, dataset)
	w.decision(pc, agreement, dataset, counterParty, gatewayapi.Approved)
}

func (w *world) dataset(pc, id string) {
	w.tb.Helper()
	doc, err := json.Marshal(gatewayapi.Dataset{
		ID: id, Bucket: "b", Key: "k", Rule: "r", SHA256: fmt.Sprintf("%064d", 1), StoreETag: "e", ContentType: "text/plain", Modified: time.Now().UTC(),
	})
	if err != nil {
		w.tb.Fatal(err)
	}
	if _, err := w.records.Put(w.tb.Context(), pc, gatewayapi.KindDataset, id, doc, records.Condition{}); err != nil {
		w.tb.Fatal(err)
	}
}

func (w *world) decision(pc, agreement, dataset, counterParty string, v gatewayapi.Verdict) {
	w.tb.Helper()
	id := gatewayapi.AgreementRecordID(agreement)
	doc, err := json.Marshal(gatewayapi.Decision{
		ID: id, AgreementID: agreement, DatasetID: dataset, CounterPartyID: counterParty, Verdict: v, Rule: "r", Reason: "because", By: "rules",
		Mode: "veto", DecidedAt: time.Now().UTC(),
	})
	if err != nil {
		w.tb.Fatal(err)
	}
	if _, err := w.records.Put(w.tb.Context(), pc, gatewayapi.KindDecision, id, doc, records.Condition{}); err != nil {
		w.tb.Fatal(err)
	}
}

// answer is an HTTP answer.
type answer struct {
	code   int
	header http.Header
	body   []byte
}

func (a *answer) status(tb testing.TB) *dps.StatusMessage {
	tb.Helper()
	m, err := dps.DecodeStatus(a.body)
	if err != nil {
		tb.Fatalf("%d %s: %v", a.code, a.body, err)
	}
	return m
}

func (a *answer) problem(tb testing.TB) problem.Document {
	tb.Helper()
	var d problem.Document
	if err := json.Unmarshal(a.body, &d); err != nil {
		tb.Fatalf("%d %s: %v", a.code, a.body, err)
	}
	return d
}

func (w *world) send(method, path, token string, body string, header ...string) *answer {
	w.tb.Helper()
	req, err := http.NewRequestWithContext(w.tb.Context(), method, w.url+path, bytes.NewBufferString(body))
	if err != nil {
		w.tb.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		w.tb.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		w.tb.Fatal(err)
	}
	return &answer{res.StatusCode, res.Header, b}
}

// signal sends a DPS message with a fresh token.
func (w *world) signal(pc, rest, body string) *answer {
	w.tb.Helper()
	return w.send(http.MethodPost, "/participants/"+pc+"/dataflows/"+rest, w.idp.token(w.tb, nil), body)
}

// flowMessage is a prepare or a start as EDC HEAD sends it.
func flowMessage(messageID, process string) string {
	return fmt.Sprintf(`{"messageId":%q,"participantId":"us-id","counterPartyId":"them-id","dataspaceContext":"http-dsp-profile-2025-1",`+
		`"processId":%q,"agreementId":"agr-1","datasetId":"asset-1","callbackAddress":null,"profile":%q,"labels":[],"metadata":{},`+
		`"claims":{"client_id":"them-id"}}`, messageID, process, dps.ProfileHTTPPull)
}

// startedMessage is a started as EDC sends it: with the properties that it adds to addresses.
func startedMessage(messageID, endpoint, token string) string {
	return fmt.Sprintf(`{"messageId":%q,"dataAddress":{"@type":"DataAddress","endpointType":%q,"endpoint":%q,"endpointProperties":[`+
		`{"@type":"EndpointProperty","name":"https://w3id.org/edc/v0.0.1/ns/type","value":%q},`+
		`{"@type":"EndpointProperty","name":"authorization","value":%q},{"@type":"EndpointProperty","name":"authType","value":"bearer"}]}}`,
		messageID, dps.ProfileHTTPPull, endpoint, dps.ProfileHTTPPull, token)
}
