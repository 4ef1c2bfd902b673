package agreement_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/tidegate/tidegate/dps-gateway/internal/agreement"
	"github.com/tidegate/tidegate/dps-gateway/internal/controlplane"
	"github.com/tidegate/tidegate/dps-gateway/internal/flowstore"
	"github.com/tidegate/tidegate/dps-gateway/internal/flowstore/flowstoretest"
	"github.com/tidegate/tidegate/dps-gateway/internal/outbox"
	"github.com/tidegate/tidegate/dps-gateway/internal/redistest"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/management"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	atSignaling  = "GET /signaling/transfers/a/agreement"
	atManagement = "GET /management/v5beta/participants/pc/contractagreements/agr-a"

	bySignaling = `{"@context":["https://w3id.org/dspace/2025/1/context.jsonld"],"@type":"Agreement","@id":"shared","target":"ds-a",` +
		`"assigner":"did:web:p","assignee":"did:web:c","timestamp":"2026-01-31T12:00:00Z","permission":[{"action":"use"}]}`
	byManagement = `{"@id":"agr-a","agreementId":"shared","assetId":"ds-a","providerId":"did:web:p","consumerId":"did:web:c",` +
		`"contractSigningDate":1769860800,"policy":{"permission":[{"action":"use"}]}}`
)

var want = &gatewayapi.Agreement{
	ID: "shared", DatasetID: "ds-a", ProviderID: "did:web:p", ConsumerID: "did:web:c", SignedAt: time.Unix(1769860800, 0).UTC(),
	Policy: map[string]any{"permission": []any{map[string]any{"action": "use"}}},
}

type tenants map[string]*tenant.Tenant

func (t tenants) Get(pc string) (*tenant.Tenant, bool) { v, ok := t[pc]; return v, ok }

type tokens struct{}

func (tokens) Token(context.Context) (string, error)                 { return "t", nil }
func (tokens) Invalidate(string)                                     {}
func (tokens) Sign(any) (string, error)                              { return "signed", nil }
func (tokens) Owner(context.Context, string, string) (string, error) { return "", nil }

// TestAnAgreementIsFoundWhereTheControlPlaneHasIt asks a control plane over HTTP; answers are bodies, or "" for an answer that does not come,
// or a status.
func TestAnAgreementIsFoundWhereTheControlPlaneHasIt(t *testing.T) {
	for name, c := range map[string]struct {
		dialect tenant.Dialect
		answers map[string]string
		kind    problem.Kind // 0 = the agreement is found
		says    string
	}{
		"by the signaling API":                                                 {tenant.DPS10, map[string]string{atSignaling: bySignaling}, 0, ""},
		"by the Management API, since there is no other":                       {tenant.EDCV, map[string]string{atManagement: byManagement}, 0, ""},
		"by the Management API, since the signaling API has no such operation": {tenant.DPS10, map[string]string{atSignaling: "404", atManagement: byManagement}, 0, ""},
		"neither has it":               {tenant.DPS10, map[string]string{atSignaling: "404", atManagement: "404"}, problem.NotFound, "no agreement"},
		"the signaling API fails":      {tenant.DPS10, map[string]string{atSignaling: "500"}, problem.Upstream, "the control plane answered 500"},
		"the signaling API is slow":    {tenant.DPS10, map[string]string{atSignaling: ""}, problem.Timeout, "the control plane did not"},
		"the Management API is slow":   {tenant.EDCV, map[string]string{atManagement: ""}, problem.Timeout, "the control plane did not"},
		"the Management API refuses":   {tenant.EDCV, map[string]string{atManagement: "403"}, problem.Upstream, "the control plane"},
		"what is told can't be read":   {tenant.DPS10, map[string]string{atSignaling: `{"@id":7}`}, problem.Upstream, "can't be read"},
		"what is told has no end":      {tenant.DPS10, map[string]string{atSignaling: strings.Repeat(" ", dps.MaxMessage+1)}, problem.Upstream, "bytes"},
		"it is about another dataset":  {tenant.DPS10, map[string]string{atSignaling: strings.Replace(bySignaling, "ds-a", "ds-b", 1)}, problem.Upstream, "another dataset"},
		"a redirect is no place to go": {tenant.DPS10, map[string]string{atSignaling: "302"}, problem.Upstream, "answered 302"},
	} {
		t.Run(name, func(t *testing.T) {
			var calls atomic.Int64
			stop := make(chan struct{})
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				calls.Add(1)
				body, ok := c.answers[r.Method+" "+r.URL.Path]
				switch {
				case !ok:
					t.Errorf("asked for %s %s", r.Method, r.URL.Path)
				case body == "":
					<-stop
				case len(body) == 3:
					code := map[string]int{"302": 302, "403": 403, "404": 404, "500": 500}[body]
					w.WriteHeader(code)
				default:
					w.Header().Set("Content-Type", "application/json")
					_, _ = w.Write([]byte(body))
				}
			}))
			defer srv.Close()
			defer close(stop)
			hc := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
			rdb, _ := redistest.Mini(t)
			store := flowstore.New(rdb, outbox.NewBell(), time.Hour)
			if _, err := store.Apply(t.Context(), flowstoretest.Create("pc", "a", dps.Consumer)); err != nil {
				t.Fatal(err)
			}
			tn := &tenant.Tenant{ParticipantContextID: "pc", ControlPlane: tenant.ControlPlane{
				Dialect: c.dialect, ManagementURL: srv.URL + "/management", SignalingURL: srv.URL + "/signaling",
			}}
			f := &agreement.Finder{
				Flows: store, Tenants: tenants{"pc": tn}, Planes: controlplane.New(tokens{}, "https://public.example", hc),
				Management: func(t *tenant.Tenant) (agreement.Management, error) { return management.New(t, tokens{}, hc), nil },
				Wait:       300 * time.Millisecond,
			}
			got, err := f.Of(t.Context(), "pc", "a")
			if c.kind != 0 {
				p, ok := err.(*problem.Error) //nolint:errorlint // returned as it is
				if !ok || p.Kind != c.kind || !strings.Contains(p.Message, c.says) {
					t.Fatalf("%v", err)
				}
				return
			}
			asked := calls.Load()
			for range 2 { // the second is the one that is kept
				if d := cmp.Diff(want, got); d != "" || err != nil {
					t.Fatalf("%v %s", err, d)
				}
				got, err = f.Of(t.Context(), "pc", "a")
			}
			if calls.Load() != asked {
				t.Error("it was asked for again")
			}
		})
	}
}

// TestAFlowOfAnotherControlPlaneIsNotAskedForByTheDocumentsManagementAPI: that API is of another control plane.
func TestAFlowOfAnotherControlPlaneIsNotAskedForByTheDocumentsManagementAPI(t *testing.T) {
	rdb, _ := redistest.Mini(t)
	store := flowstore.New(rdb, outbox.NewBell(), time.Hour)
	tr := flowstoretest.Create("pc", "a", dps.Consumer)
	tr.Caller = &flowstore.Caller{ControlPlane: "x"}
	if _, err := store.Apply(t.Context(), tr); err != nil {
		t.Fatal(err)
	}
	f := &agreement.Finder{
		Flows: store, Tenants: tenants{"pc": {ParticipantContextID: "pc"}}, Planes: absent{},
		Management: func(*tenant.Tenant) (agreement.Management, error) { t.Error("asked"); return nil, context.Canceled },
	}
	if _, err := f.Of(t.Context(), "pc", "a"); !problem.Is(err, problem.NotFound) {
		t.Error(err)
	}
	if _, err := f.Of(t.Context(), "pc", "none"); !problem.Is(err, problem.NotFound) {
		t.Error(err)
	}
	if _, err := f.ToldBy(t.Context(), "pc", "x", "to be made"); !problem.Is(err, problem.NotFound) {
		t.Error(err)
	}
	// One that has ended and is forgotten does not come back because its agreement is kept.
	b, _ := json.Marshal(want)
	if err := store.KeepAgreement(t.Context(), "pc", "gone", b); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Of(t.Context(), "pc", "gone"); !problem.Is(err, problem.NotFound) {
		t.Error(err)
	}
}

type absent struct{}

func (absent) Ask(context.Context, *tenant.Tenant, string, string, string, []byte, int64) (*controlplane.Answer, error) {
	return &controlplane.Answer{Status: http.StatusNotFound}, nil
}
