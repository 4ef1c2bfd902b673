package publishing

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

func example() *tenant.Tenant {
	return &tenant.Tenant{
		ParticipantContextID: "acme",
		Policies:             []tenant.Policy{{Name: "open"}, {Name: "partners", Access: map[string]any{"@type": "Offer", "@context": "x", "permission": []any{map[string]any{"action": "use"}}}}},
		Publish: []tenant.PublishRule{
			{Name: "invoices", Bucket: "out", Prefix: "invoices/", Exclude: []string{"draft-*"}, Policy: "partners", Metadata: map[string]string{"title": "{name} in {bucket}", "path": "{key}"}},
			{Name: "rest", Bucket: "out", Policy: "open"},
			{Name: "other", Bucket: "second", Policy: "lost"},
		},
	}
}

func TestTheFirstRuleThatMatchesCounts(t *testing.T) {
	tests := []struct{ bucket, key, want string }{
		{"out", "invoices/1.pdf", "invoices"},
		{"out", "invoices/deep/1.pdf", "invoices"},
		{"out", "invoices/draft-1.pdf", "rest"},
		{"out", "invoice.pdf", "rest"},
		{"out", "ä ö+%.txt", "rest"},
		{"second", "invoices/1.pdf", "other"},
		{"none", "a", ""},
		{"out", "", ""},
		{"out", "folder/", ""},
		{"out", "../etc/passwd", ""},
		{"out", "/abs", ""},
		{"out", "a\\b", ""},
		{"out", "a\x00b", ""},
		{"out", "a\xffb", ""},
		{"out", strings.Repeat("a", 1025), ""},
		{"out", ".env", ""},
		{"out", ".git/config", ""},
		{"out", "a/.b/c", ""},
		{"out", "a.part", ""},
		{"out", "A.TMP", ""},
		{"out", "report~", ""},
		{"out", "a.part/b.txt", "rest"},
		{"out", "a.b/c.d", "rest"},
	}
	for _, test := range tests {
		rule, ok := Match(example(), test.bucket, test.key)
		if rule.Name != test.want || ok != (test.want != "") {
			t.Errorf("%s %q: %q, %v; want %q", test.bucket, test.key, rule.Name, ok, test.want)
		}
	}
}

// The ids are written down here since a change of them would publish every object of every tenant a second time.
func TestIDsStayAsTheyAre(t *testing.T) {
	if got := DatasetID("acme", "out", "invoices/1.pdf"); got != "acme-758cecf3d9f737b466de7d9c8ffd9dea" {
		t.Errorf("dataset id is %s", got)
	}
	want := IDs{AccessPolicy: "acme-partners-access", ContractPolicy: "acme-partners-contract", ContractDefinition: "acme-invoices"}
	if got := IDsOf("acme", example().Publish[0]); got != want {
		t.Errorf("ids are %+v", got)
	}
}

func TestPolicies(t *testing.T) {
	ten := example()
	access, contract, err := Policies(ten, ten.Publish[0])
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]any{"@type": "Set", "permission": []any{map[string]any{"action": "use"}}}, access); diff != "" {
		t.Errorf("access (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]any{"@type": "Set"}, contract); diff != "" {
		t.Errorf("contract (-want +got):\n%s", diff)
	}
	if _, _, err := Policies(ten, ten.Publish[2]); !problem.Is(err, problem.Unprocessable) {
		t.Errorf("a policy that is not there: %v", err)
	}
}

func TestTermsChangeWithWhatTheDocumentSaysOfAnOffer(t *testing.T) {
	before := Terms(example(), example().Publish[0], "invoices/1.pdf")
	changes := map[string]func(*tenant.Tenant){
		"access policy":   func(t *tenant.Tenant) { t.Policies[1].Access = nil },
		"contract policy": func(t *tenant.Tenant) { t.Policies[1].Contract = map[string]any{"prohibition": []any{}} },
		"another policy":  func(t *tenant.Tenant) { t.Publish[0].Policy = "open" },
		"metadata":        func(t *tenant.Tenant) { t.Publish[0].Metadata["title"] = "x" },
		"rule's name":     func(t *tenant.Tenant) { t.Publish[0].Name = "bills" },
	}
	for name, change := range changes {
		ten := example()
		change(ten)
		if Terms(ten, ten.Publish[0], "invoices/1.pdf") == before {
			t.Errorf("%s: the terms stay the same", name)
		}
	}
	ten := example()
	ten.Publish[0].Exclude = nil
	ten.Policies[0].Access = map[string]any{"permission": []any{}}
	if Terms(ten, ten.Publish[0], "invoices/1.pdf") != before {
		t.Error("what has nothing to do with the offer changes its terms")
	}
}

func TestMetadata(t *testing.T) {
	want := map[string]string{"title": "1.pdf in out", "path": "invoices/1.pdf"}
	if diff := cmp.Diff(want, Metadata(example().Publish[0], "invoices/1.pdf")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestBuckets(t *testing.T) {
	if diff := cmp.Diff([]string{"out", "second"}, Buckets(example())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
