package rebuild_test

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/tidegate/tidegate/dps-gateway/internal/flowstore"
	"github.com/tidegate/tidegate/dps-gateway/internal/rebuild"
	"github.com/tidegate/tidegate/dps-gateway/internal/records"
	"github.com/tidegate/tidegate/dps-gateway/internal/redistest"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/management"
	"github.com/tidegate/tidegate/shared/objectstore"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// plane is a control plane that answers from lists.
type plane struct {
	transfers    []*management.Transfer
	agreements   []*management.Agreement
	assets       []*management.Asset
	negotiations []*management.Negotiation
	catalog      []*management.Dataset
	down         error
	mu           sync.Mutex
	terminated   []string
}

func each[T any](p *plane, all []T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		if p.down != nil {
			var none T
			yield(none, p.down)
			return
		}
		for _, v := range all {
			if !yield(v, nil) {
				return
			}
		}
	}
}

func (p *plane) QueryTransfers(context.Context, management.Query) iter.Seq2[*management.Transfer, error] {
	return each(p, p.transfers)
}

func (p *plane) QueryAgreements(context.Context, management.Query) iter.Seq2[*management.Agreement, error] {
	return each(p, p.agreements)
}

func (p *plane) QueryAssets(context.Context, management.Query) iter.Seq2[*management.Asset, error] {
	return each(p, p.assets)
}

func (p *plane) QueryNegotiations(context.Context, management.Query) iter.Seq2[*management.Negotiation, error] {
	return each(p, p.negotiations)
}

func (p *plane) Catalog(context.Context, tenant.CounterParty, management.Query) iter.Seq2[*management.Dataset, error] {
	return each(p, p.catalog)
}

func (p *plane) TerminateTransfer(_ context.Context, id, _ string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.terminated = append(p.terminated, id)
	return nil
}

// digestABC is the SHA-256 of "abc".
const digestABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

// decider answers with a verdict per agreement.
type decider map[string]gatewayapi.Verdict

func (d decider) Decide(_ context.Context, q gatewayapi.DecideRequest) (gatewayapi.Decision, error) {
	v, ok := d[q.AgreementID]
	if !ok {
		return gatewayapi.Decision{}, problem.New(problem.Unprocessable, "dataset %s is none of this participant context's", q.DatasetID)
	}
	return gatewayapi.Decision{Verdict: v}, nil
}

type stand struct {
	*rebuild.Rebuilder
	flows  *flowstore.Redis
	recs   *records.Store
	rdb    redis.UniversalClient
	planes map[string]*plane
	out    strings.Builder
	inbox  string
}

func newStand(t *testing.T) *stand {
	t.Helper()
	rdb, _ := redistest.Mini(t)
	s := &stand{rdb: rdb, flows: flowstore.New(rdb, nil, time.Hour), recs: records.New(rdb, time.Hour), planes: map[string]*plane{}, inbox: t.TempDir()}
	var tenants []*tenant.Tenant
	for _, pc := range []string{"anna", "ben"} {
		s.planes[pc] = &plane{}
		tenants = append(tenants, &tenant.Tenant{
			ParticipantContextID: pc, DID: "did:web:" + pc,
			Buckets:   []tenant.Bucket{{Name: "in", URL: "file://" + s.inbox}},
			Sinks:     []tenant.Sink{{Name: "inbox", Bucket: "in", Prefix: "from/"}},
			Subscribe: []tenant.Subscription{{Name: "all", CounterParty: tenant.CounterParty{ID: "did:web:them"}, Sink: "inbox"}},
		})
	}
	s.Rebuilder = &rebuild.Rebuilder{
		Tenants: tenants, Flows: s.flows, Records: s.recs, Decider: decider{}, Open: objectstore.Open, Out: &s.out,
		Of: func(t *tenant.Tenant) (rebuild.ControlPlane, error) { return s.planes[t.ParticipantContextID], nil },
	}
	return s
}

func transfer(id, typ, state, agreement string) *management.Transfer {
	return &management.Transfer{ID: id, Type: typ, State: state, ContractID: agreement, AssetID: "ds", TransferType: dps.ProfileHTTPPull}
}

func (s *stand) supply(t *testing.T, pc, dataset string) gatewayapi.Supply {
	t.Helper()
	var v gatewayapi.Supply
	rec, err := s.recs.Get(t.Context(), pc, gatewayapi.KindSupply, gatewayapi.SupplyID("all", dataset))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(rec.Doc, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestFlowsComeBackInTheStateThatTheControlPlaneWasAnswered(t *testing.T) {
	s := newStand(t)
	p := s.planes["anna"]
	p.agreements = []*management.Agreement{{ID: "agr", AssetID: "ds", ProviderID: "did:web:anna", ConsumerID: "did:web:them"}, {ID: "agr2", AssetID: "ds", ProviderID: "did:web:them", ConsumerID: "did:web:anna"}}
	want := map[string]dps.State{}
	for state, flow := range map[string]dps.State{
		"STARTING": "", "STARTED": dps.Started, "SUSPENDED": dps.Suspended, "RESUMING_REQUESTED": dps.Suspended, "TERMINATING": dps.Started, "COMPLETED": "", "TERMINATED": "",
	} {
		p.transfers = append(p.transfers, transfer("p-"+state, "PROVIDER", state, "agr"))
		want["p-"+state] = flow
	}
	for state, flow := range map[string]dps.State{"INITIAL": "", "REQUESTED": dps.Prepared, "STARTED": dps.Started, "SUSPENDED": dps.Suspended, "COMPLETED": ""} {
		p.transfers = append(p.transfers, transfer("c-"+state, "CONSUMER", state, "agr2"))
		want["c-"+state] = flow
	}
	p.transfers = append(p.transfers, transfer("orphan", "PROVIDER", "STARTED", "gone"))
	sum := s.Run(t.Context())
	for id, state := range want {
		f, err := s.flows.Get(t.Context(), "anna", id)
		switch {
		case state == "" && problem.Is(err, problem.NotFound):
		case err != nil || f.State != state || f.CounterPartyID != "did:web:them" || f.DatasetID != "ds" || f.TokenID != "":
			t.Errorf("%s: %+v %v, want %q", id, f, err, state)
		}
	}
	if len(p.terminated) > 0 {
		t.Errorf("terminated without being told to: %v", p.terminated)
	}
	// Four consumer transfers without an address, one provider transfer without a token, one without an agreement.
	if sum.Lost != 6 || sum.Failed != 0 || !strings.Contains(s.out.String(), "orphan") {
		t.Errorf("%+v\n%s", sum, s.out.String())
	}
	s.Options.Terminate = true
	s.Run(t.Context())
	slices.Sort(p.terminated)
	if got := strings.Join(p.terminated, " "); got != "c-INITIAL c-REQUESTED c-STARTED c-SUSPENDED" {
		t.Errorf("terminated %s", got)
	}
}

func TestWhatIsWholeIsLeftAlone(t *testing.T) {
	s := newStand(t)
	p := s.planes["anna"]
	p.agreements = []*management.Agreement{{ID: "agr", AssetID: "ds", ProviderID: "did:web:them", ConsumerID: "did:web:anna"}}
	p.transfers = []*management.Transfer{transfer("c", "CONSUMER", "STARTED", "agr")}
	s.Run(t.Context()) // as if by signals
	doc, _ := json.Marshal(gatewayapi.Delivery{ID: "c", DatasetID: "ds", Sink: "inbox", Key: "k", UpdatedAt: time.Now()})
	if _, err := s.recs.Put(t.Context(), "anna", gatewayapi.KindDelivery, "c", doc, records.Condition{}); err != nil {
		t.Fatal(err)
	}
	before := s.supply(t, "anna", "ds")
	s.Options.Terminate = true
	if sum := s.Run(t.Context()); sum.Lost != 0 || len(p.terminated) != 0 {
		t.Errorf("%+v, terminated %v", sum, p.terminated)
	}
	if after := s.supply(t, "anna", "ds"); after.Sequence != before.Sequence {
		t.Error("the supply was written again")
	}
}

// TestATransferOfAFunctionsProfileHasNoPlan: it is whole by its flow, and lost if a rebuild has made that, now or in an earlier run.
func TestATransferOfAFunctionsProfileHasNoPlan(t *testing.T) {
	s := newStand(t)
	p := s.planes["anna"]
	p.agreements = []*management.Agreement{{ID: "agr", AssetID: "ds", ProviderID: "did:web:them", ConsumerID: "did:web:anna"}}
	for _, id := range []string{"lost", "whole"} {
		tp := transfer(id, "CONSUMER", "STARTED", "agr")
		tp.TransferType = "https://them.example/stream-pull"
		p.transfers = append(p.transfers, tp)
	}
	f := &flowstore.Flow{}
	f.ParticipantContextID, f.DataFlowID, f.State, f.Role, f.Direction, f.Profile = "anna", "whole", dps.Started, dps.Consumer, dps.Pull, "https://them.example/stream-pull"
	if _, err := s.flows.Apply(t.Context(), &flowstore.Transition{
		ParticipantContextID: "anna", DataFlowID: "whole", Signal: flowstore.NotifyOn, Fingerprint: "f", New: f, To: dps.Started, Now: time.Now(),
	}); err != nil {
		t.Fatal(err)
	}
	if sum := s.Run(t.Context()); sum.Lost != 1 {
		t.Errorf("%+v\n%s", sum, s.out.String())
	}
	s.Options.Terminate = true
	s.Run(t.Context())
	if got := strings.Join(p.terminated, " "); got != "lost" {
		t.Errorf("terminated %q", got)
	}
}

func TestSuppliesComeBackWithTheirAgreementAndWithoutASecondDelivery(t *testing.T) {
	s := newStand(t)
	const digest = digestABC
	if err := os.MkdirAll(filepath.Join(s.inbox, "from"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"whole": "abc", "half": "ab"} {
		if err := os.WriteFile(filepath.Join(s.inbox, "from", name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := s.planes["ben"]
	for _, id := range []string{"whole", "half", "none"} {
		p.agreements = append(p.agreements, &management.Agreement{ID: "old-" + id, AssetID: id, ProviderID: "did:web:them", ConsumerID: "did:web:ben", ContractSigningDate: 1},
			&management.Agreement{ID: "agr-" + id, AssetID: id, ProviderID: "did:web:them", ConsumerID: "did:web:ben", ContractSigningDate: 2},
			&management.Agreement{ID: "other-" + id, AssetID: id, ProviderID: "did:web:someone", ConsumerID: "did:web:ben", ContractSigningDate: 3})
	}
	for _, id := range []string{"whole", "half", "none", "talks", "../out"} {
		p.catalog = append(p.catalog, &management.Dataset{ID: id, Properties: map[string]any{"name": id, "sha256": digest}})
	}
	p.negotiations = []*management.Negotiation{
		{ID: "n-talks", Type: "CONSUMER", State: "REQUESTED", AssetID: "talks", CounterPartyID: "did:web:them", CreatedAt: 7},
		{ID: "n-out", Type: "CONSUMER", State: "REQUESTED", AssetID: "../out", CounterPartyID: "did:web:them"},
		{ID: "n-ended", Type: "CONSUMER", State: "TERMINATED", AssetID: "none", CounterPartyID: "did:web:them"},
		{ID: "n-asked", Type: "PROVIDER", State: "REQUESTED", AssetID: "none", CounterPartyID: "did:web:them"},
	}
	if sum := s.Run(t.Context()); sum.Failed != 0 || sum.Lost != 1 || !strings.Contains(s.out.String(), "../out") {
		t.Errorf("%+v\n%s", sum, s.out.String())
	}
	if v := s.supply(t, "ben", "whole"); v.State != gatewayapi.SupplyDelivered || v.DeliveredVersion != digest || v.AgreementID != "agr-whole" {
		t.Errorf("%+v", v)
	}
	for _, id := range []string{"half", "none"} {
		if v := s.supply(t, "ben", id); v.State != gatewayapi.SupplyFailed || v.AgreementID != "agr-"+id || v.Attempts != 0 || v.Sequence < 1_700_000_000 {
			t.Errorf("%+v", v)
		}
	}
	if v := s.supply(t, "ben", "talks"); v.State != gatewayapi.SupplyNegotiating || v.NegotiationID != "n-talks" || v.Name != "talks" {
		t.Errorf("%+v", v)
	}
}

func TestDatasetsComeBackIfTheirObjectsAreAsTheAssetsSay(t *testing.T) {
	s := newStand(t)
	s.Tenants[0].Publish = []tenant.PublishRule{{Name: "all", Bucket: "in"}}
	store, err := objectstore.Open(t.Context(), s.Tenants[0].Buckets[0])
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	p := s.planes["anna"]
	asset := func(id, key string, size int, edit func(a *management.Asset)) {
		o, err := store.Head(t.Context(), key)
		if err != nil {
			if o, err = store.Put(t.Context(), key, "text/plain", strings.NewReader("abc")); err != nil {
				t.Fatal(err)
			}
		}
		a := &management.Asset{
			ID:                id,
			Properties:        map[string]any{"sha256": digestABC, "size": strconv.Itoa(size), "contenttype": "text/plain", "modified": o.Modified.UTC().Truncate(time.Millisecond).Format(time.RFC3339Nano)},
			PrivateProperties: map[string]any{"tidegateOffer": "anna-all", "bucket": "in", "objectKey": key},
		}
		edit(a)
		p.assets = append(p.assets, a)
	}
	as := func(*management.Asset) {}
	asset("same", "same.txt", 3, as)
	asset("grown", "grown.txt", 2, as)
	asset("touched", "touched.txt", 3, func(a *management.Asset) { a.Properties["modified"] = "2020-01-01T00:00:00Z" })
	asset("gone", "gone.txt", 3, func(a *management.Asset) { a.PrivateProperties["objectKey"] = "not-there.txt" })
	asset("withdrawn", "withdrawn.txt", 3, func(a *management.Asset) { a.PrivateProperties["tidegateOffer"] = "withdrawn" })
	asset("foreign", "foreign.txt", 3, func(a *management.Asset) { a.PrivateProperties = nil })
	asset("no-digest", "no-digest.txt", 3, func(a *management.Asset) { delete(a.Properties, "sha256") })
	asset("no-bucket", "no-bucket.txt", 3, func(a *management.Asset) { a.PrivateProperties["bucket"] = "other" })
	for range 2 { // again: nothing is written twice
		if sum := s.Run(t.Context()); sum.Failed != 0 {
			t.Fatal(s.out.String())
		}
	}
	for _, a := range p.assets {
		rec, err := s.recs.Get(t.Context(), "anna", gatewayapi.KindDataset, a.ID)
		if a.ID != "same" {
			if !problem.Is(err, problem.NotFound) {
				t.Errorf("%s: %v, want none", a.ID, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		var d gatewayapi.Dataset
		if err := json.Unmarshal(rec.Doc, &d); err != nil {
			t.Fatal(err)
		}
		if d.Bucket != "in" || d.Key != "same.txt" || d.Rule != "all" || d.SHA256 != digestABC || d.Size != 3 || d.StoreETag == "" || d.PublishedAt.IsZero() || d.Terms != "" {
			t.Errorf("%+v", d)
		}
	}
	for _, want := range []string{"1 datasets brought back", "3 datasets left to the sweep: the object", "1 datasets left to the sweep: their asset", "1 datasets that were there"} {
		if !strings.Contains(s.out.String(), want) {
			t.Errorf("no %q in\n%s", want, s.out.String())
		}
	}
}

func TestOneTenantsFailureStopsNoOther(t *testing.T) {
	s := newStand(t)
	s.planes["anna"].down = errors.New("connection refused")
	p := s.planes["ben"]
	p.agreements = []*management.Agreement{{ID: "agr", AssetID: "ds", ProviderID: "did:web:ben", ConsumerID: "did:web:them"}}
	p.transfers = []*management.Transfer{transfer("p", "PROVIDER", "SUSPENDED", "agr")}
	if sum := s.Run(t.Context()); sum.Failed != 1 {
		t.Errorf("%+v", sum)
	}
	if _, err := s.flows.Get(t.Context(), "ben", "p"); err != nil {
		t.Error(err)
	}
	if !strings.Contains(s.out.String(), "anna:\n  FAILED: agreements: connection refused") {
		t.Error(s.out.String())
	}
}

func TestDecisionsOfLiveFlowsAreMadeAgain(t *testing.T) {
	s := newStand(t)
	s.Decider = decider{"good": gatewayapi.Approved, "bad": gatewayapi.Rejected, "unsure": gatewayapi.Review}
	p := s.planes["anna"]
	for _, a := range []string{"good", "bad", "unsure", "unknown", "ended"} {
		p.agreements = append(p.agreements, &management.Agreement{ID: a, AssetID: "ds", ProviderID: "did:web:anna", ConsumerID: "did:web:them"})
		p.transfers = append(p.transfers, transfer("p-"+a, "PROVIDER", map[bool]string{true: "COMPLETED", false: "STARTED"}[a == "ended"], a))
	}
	sum := s.Decisions(t.Context())
	if sum.Lost != 2 || sum.Failed != 0 {
		t.Errorf("%+v", sum)
	}
	for _, want := range []string{"1 decisions made again, approved", "1 decisions made again, rejected", "agreement unsure: a person must give", "agreement unknown: "} {
		if !strings.Contains(s.out.String(), want) {
			t.Errorf("no %q in\n%s", want, s.out.String())
		}
	}
}
