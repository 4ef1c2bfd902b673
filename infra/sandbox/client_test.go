package sandbox_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/infra/sandbox/config"
	"github.com/tidegate/tidegate/shared/auth"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/management"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

// client is Tidegate's own Management API client for a participant, with tokens from the sandbox's identity provider.
func (w *world) client(pc string) *management.Client {
	w.t.Helper()
	secret := filepath.Join(w.t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("s\n"), 0o600); err != nil {
		w.t.Fatal(err)
	}
	tn := &tenant.Tenant{
		ParticipantContextID: pc, DID: pc + "-id",
		ControlPlane: tenant.ControlPlane{ManagementURL: w.url + "/management", Profile: profile},
		Auth:         tenant.Auth{Type: "client_credentials", TokenEndpoint: w.url + "/idp/oauth/token", ClientID: w.app(pc), ClientSecretFile: secret},
	}
	ts, err := auth.ForTenant(tn, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return management.New(tn, ts, nil)
}

// TestTidegatesOwnClientGetsThrough runs the main job with the client that the functions use, while the sandbox is slow,
// fails and repeats itself.
func TestTidegatesOwnClientGetsThrough(t *testing.T) {
	for name, bad := range map[string]*config.Misbehaviour{
		"well-behaved": nil,
		"misbehaving":  {Seed: 5, ErrorRate: .15, DuplicateDPS: .5, Slow: config.Range{MaxMS: 5}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(c *config.Config) {
				for i := range c.Participants {
					c.Participants[i].Misbehaviour = bad
				}
			})
			ctx, provider, consumer := t.Context(), w.client("provider"), w.client("consumer")
			must := func(err error) {
				t.Helper()
				if err != nil && (bad == nil || problem.KindOf(err) != problem.Conflict) {
					t.Fatal(err)
				}
			}
			for pc, c := range map[string]*management.Client{"provider": provider, "consumer": consumer} {
				must(c.RegisterDataPlane(ctx, &dps.DataPlaneRegistrationMessage{
					DataplaneID: "dp-" + pc, Endpoint: w.plane.URL + "/" + pc + "/dataflows", Profiles: []string{"http-pull"}, TransferTypes: []string{"http-pull"},
					Authorization: &dps.Authorization{Type: "oauth2_client_credentials", TokenEndpoint: w.url + "/idp/oauth/token", ClientID: "cp-" + pc, ClientSecret: "s"},
				}))
			}
			must(provider.CreatePolicy(ctx, &management.PolicyDefinition{ID: "provider-p", Policy: map[string]any{"permission": []any{map[string]any{"action": "use"}}}}))
			must(provider.CreateContractDefinition(ctx, &management.ContractDefinition{ID: "provider-cd", AccessPolicyID: "provider-p", ContractPolicyID: "provider-p", AssetsSelector: []management.Criterion{
				{OperandLeft: "privateProperties.'https://w3id.org/edc/v0.0.1/ns/tidegateOffer'", Operator: "=", OperandRight: "provider-cd"},
			}}))
			asset := &management.Asset{
				ID: "provider-a", Properties: map[string]any{"name": "Größe 1.csv", "size": "12"}, PrivateProperties: map[string]any{"tidegateOffer": "provider-cd"},
				DataplaneMetadata: &management.DataplaneMetadata{Profiles: []string{"http-pull"}},
			}
			must(provider.CreateAsset(ctx, asset))
			cp := tenant.CounterParty{ID: "provider-id", Address: w.address("provider")}
			var found *management.Dataset
			for d, err := range consumer.Catalog(ctx, cp, management.Query{}) {
				must(err)
				found = d
			}
			if found == nil || found.ID != "provider-a" || found.Properties["name"] != "Größe 1.csv" || len(found.Offers) != 1 ||
				!cmp.Equal(found.Distributions, []management.Distribution{{Format: "http-pull", EndpointURL: cp.Address}}) {
				t.Fatalf("catalog: %+v", found)
			}
			id, err := consumer.StartNegotiation(ctx, cp, &found.Offers[0])
			for bad != nil && err != nil {
				id, err = consumer.StartNegotiation(ctx, cp, &found.Offers[0])
			}
			must(err)
			var n *management.Negotiation
			w.eventually(func() bool {
				n, err = consumer.GetNegotiation(ctx, id)
				return err == nil && n.State == "FINALIZED"
			}, func() string { return "not finalized" })
			if _, err := consumer.StartTransfer(ctx, "consumer-t", cp, n.ContractAgreementID, "http-pull"); err != nil {
				t.Fatal(err)
			}
			w.eventually(func() bool {
				tr, err := consumer.GetTransfer(ctx, "consumer-t")
				return err == nil && tr.State == "STARTED"
			}, func() string { return "not started" })
			if err := provider.DeleteAsset(ctx, "provider-a"); problem.KindOf(err) != problem.Conflict {
				t.Errorf("delete of an agreed asset: %v, want a conflict", err)
			}
		})
	}
}
