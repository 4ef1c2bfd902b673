package main

import (
	"testing"

	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/management"
	"github.com/tidegate/tidegate/shared/tenant"
)

// TestADatasetThatAFunctionServesIsDecidedByTheSameRules: nothing registers such a dataset at the gateway, its asset says what it is.
func TestADatasetThatAFunctionServesIsDecidedByTheSameRules(t *testing.T) {
	const profile = "https://provider.example/profiles/nats-stream-pull"
	for name, c := range map[string]struct {
		id       string
		profiles []string
		served   bool
		want     gatewayapi.Verdict
	}{
		"a rule looks at its name":                  {"secret-stream", []string{profile}, true, gatewayapi.Rejected},
		"and no rule matches another":               {"orders-stream", []string{profile}, true, gatewayapi.Review},
		"no function of the tenant serves it":       {"secret-stream", []string{"other-pull"}, true, ""},
		"an asset by http must be registered":       {"secret-stream", []string{dps.ProfileHTTPPull}, true, ""},
		"a tenant without functions asks for none":  {"secret-stream", []string{profile}, false, ""},
		"an asset that is none of the tenant's own": {"", []string{profile}, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, "watch")
			b.tenant.Approve.Rules = []tenant.Rule{{Name: "secrets-stay", When: `asset.name.startsWith("secret")`, Then: "reject"}}
			if c.served {
				b.tenant.Profiles = []tenant.Profile{{Profile: dps.ProfileHTTPPull, Hook: "gate"}, {Profile: profile, Hook: "nats-stream"}}
			}
			if c.id != "" {
				b.plane.AddAsset(&management.Asset{
					ID: "stream", Properties: map[string]any{namespace + "name": c.id}, DataplaneMetadata: &management.DataplaneMetadata{Profiles: c.profiles},
				})
			}
			b.asks("n1", "stream")
			b.told(catalogue.NegotiationRequested, "n1")
			if d := b.decision("n1"); d.Verdict != c.want {
				t.Errorf("decided %q, want %q", d.Verdict, c.want)
			}
		})
	}
}
