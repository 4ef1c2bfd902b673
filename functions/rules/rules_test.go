package rules_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/functions/rules"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func input() rules.Input {
	return rules.Input{
		CounterParty: rules.CounterParty{ID: "did:web:consumer.example", Address: "https://consumer.example/dsp"},
		Claims:       map[string]any{"membership": "active", "level": 3.0},
		Asset: rules.Asset{
			ID: "a1", Name: "invoices/2026.csv", ContentType: "text/csv", Size: 10_000,
			Properties: map[string]any{"publisher": "provider"},
		},
		Offer: rules.NewOffer("o1", map[string]any{"permission": []any{map[string]any{"action": "use"}}}),
		Now:   noon,
	}
}

func TestEveryVariableCanDecide(t *testing.T) {
	for name, when := range map[string]string{
		"who asks":              `counterparty.id == 'did:web:consumer.example' && counterparty.address.startsWith('https://')`,
		"what is known of them": `claims.membership == 'active' && claims.level >= 3.0`,
		"what they ask for":     `asset.name.endsWith('.csv') && asset.contentType == 'text/csv' && asset.size < 20000`,
		"its properties":        `asset.properties.publisher == 'provider'`,
		"the terms":             `offer.permission.all(p, p.action == 'use') && size(offer.prohibition) == 0`,
		"the time":              `now < timestamp('2027-01-01T00:00:00Z') && now.getHours('UTC') == 12`,
	} {
		t.Run(name, func(t *testing.T) {
			a := compiled(t, tenant.Rule{Name: "r", When: when, Then: "approve"})
			if got := a.Decide(input()); got.Verdict != gatewayapi.Approved || got.Rule != "r" {
				t.Errorf("%s: %+v", when, got)
			}
			a = compiled(t, tenant.Rule{Name: "r", When: "!(" + when + ")", Then: "approve"})
			if got := a.Decide(input()); got.Verdict != gatewayapi.Rejected || got.Rule != rules.RuleDefault {
				t.Errorf("the opposite of %s: %+v", when, got)
			}
		})
	}
}

func TestTheFirstRuleThatMatchesDecides(t *testing.T) {
	a := compiled(t,
		tenant.Rule{Name: "never", When: "false", Then: "approve"},
		tenant.Rule{Name: "large", When: "asset.size > 1000", Then: "reject", Reason: "too large"},
		tenant.Rule{Name: "all", When: "true", Then: "approve"},
	)
	if got := a.Decide(input()); got != (rules.Outcome{Verdict: gatewayapi.Rejected, Rule: "large", Reason: "too large"}) {
		t.Errorf("got %+v", got)
	}
}

func TestARuleThatCantBeEvaluatedIsForAPerson(t *testing.T) {
	a := compiled(t, tenant.Rule{Name: "country", When: "claims.country == 'DE'", Then: "approve"}, tenant.Rule{Name: "all", When: "true", Then: "approve"})
	got := a.Decide(input())
	if got.Verdict != gatewayapi.Review || got.Rule != "country" || !strings.Contains(got.Reason, "country") {
		t.Errorf("got %+v, want a review that names the claim", got)
	}
}

func TestARuleThatNeedsClaimsWaitsForThem(t *testing.T) {
	a := compiled(t, tenant.Rule{Name: "small", When: "asset.size < 10", Then: "reject"}, tenant.Rule{Name: "members", When: "claims.membership == 'active'", Then: "approve"})
	in := input()
	in.Claims = nil
	if got := a.Decide(in); got.Verdict != gatewayapi.Review || !got.NeedsClaims || got.Rule != "members" {
		t.Errorf("without claims: %+v, want a review that needs claims", got)
	}
	in.Asset.Size = 5
	if got := a.Decide(in); got.Verdict != gatewayapi.Rejected || got.NeedsClaims {
		t.Errorf("a rule before it decides without claims: %+v", got)
	}
	if got := a.Decide(input()); got.Verdict != gatewayapi.Approved {
		t.Errorf("with claims: %+v", got)
	}
}

func TestARuleThatCostsTooMuchIsStopped(t *testing.T) {
	list := "[" + strings.Repeat("1,", 99) + "1]"
	a := compiled(t, tenant.Rule{Name: "slow", When: list + ".all(a, " + list + ".all(b, " + list + ".all(c, a + b + c > 0)))", Then: "approve"})
	began := time.Now()
	if got := a.Decide(input()); got.Verdict != gatewayapi.Review {
		t.Errorf("got %+v, want a review", got)
	}
	if d := time.Since(began); d > 20*time.Second {
		t.Errorf("it took %v", d)
	}
}

func TestBrokenExpressionsAreRefusedWithFieldAndReason(t *testing.T) {
	for name, tt := range map[string]struct{ when, want string }{
		"an unknown variable":   {"partner.id == 'x'", "undeclared reference to 'partner'"},
		"an unknown member":     {"asset.nmae == 'x'", "undefined field 'nmae'"},
		"a syntax error":        {"asset.name ==", "Syntax error"},
		"another type":          {"asset.name", "is of type string; bool is expected"},
		"types that don't meet": {"asset.size == 'x'", "no matching overload"},
		"too long":              {strings.Repeat(" ", rules.MaxLength) + "true", "at most 4096"},
	} {
		t.Run(name, func(t *testing.T) {
			err := rules.Validate(&tenant.Tenant{Approve: tenant.Approve{Rules: []tenant.Rule{{Name: "ok", When: "true", Then: "approve"}, {Name: "r", When: tt.when, Then: "approve"}}}})
			p, ok := errors.AsType[*problem.Error](err)
			if !ok || p.Field != "approve.rules[1].when" || !strings.Contains(p.Message, tt.want) || strings.Contains(p.Message, "\n") {
				t.Errorf("error = %v, want one line about approve.rules[1].when: …%s…", err, tt.want)
			}
		})
	}
}

func TestSubscriptionsTakeWhatTheyWantOnTermsThatTheyAccept(t *testing.T) {
	d := input().Asset
	open := rules.NewOffer("open", map[string]any{"permission": map[string]any{"action": "use"}})
	paid := rules.NewOffer("paid", map[string]any{"permission": []any{map[string]any{"action": "use", "constraint": []any{map[string]any{"leftOperand": "payment"}}}}})
	for name, tt := range map[string]struct {
		sub   tenant.Subscription
		wants bool
		offer int
	}{
		"all, and only open terms, by default": {tenant.Subscription{}, true, 1},
		"a filter takes":                       {tenant.Subscription{Filter: "dataset.name.startsWith('invoices/')"}, true, 1},
		"a filter leaves":                      {tenant.Subscription{Filter: "dataset.size > 1000000"}, false, 1},
		"terms are accepted by rule":           {tenant.Subscription{Accept: "offer.permission.all(p, p.action == 'use')"}, true, 0},
		"no terms are accepted":                {tenant.Subscription{Accept: "false"}, true, -1},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := rules.CompileSelection(tt.sub, 0)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := s.Wants(d, noon); err != nil || got != tt.wants {
				t.Errorf("wants = %v, %v", got, err)
			}
			got, err := s.Select(d, []rules.Offer{paid, open}, noon)
			if got != tt.offer || (err != nil) != (tt.offer < 0) {
				t.Errorf("selected offer %d, %v; want %d", got, err, tt.offer)
			}
		})
	}
}

func compiled(t *testing.T, rs ...tenant.Rule) *rules.Approval {
	t.Helper()
	a, err := rules.CompileApproval(tenant.Approve{Default: "reject", Rules: rs})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func FuzzCompile(f *testing.F) {
	for _, s := range []string{"true", "asset.name == 'x'", "claims.all(c, true)", "((((", "'\\x", "now - now < duration('1s')"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, when string) {
		a, err := rules.CompileApproval(tenant.Approve{Default: "reject", Rules: []tenant.Rule{{Name: "r", When: when, Then: "approve"}}})
		if err != nil {
			if !problem.Is(err, problem.Invalid) {
				t.Errorf("%q: %v is not about the document", when, err)
			}
			return
		}
		a.Decide(input()) // must end, whatever it says
	})
}
