package tenant_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

var update = flag.Bool("update", false, "write the golden files anew")

const complete = "testdata/complete/provider.yaml"

// A case is two files: x.yaml, and x.txt with the lines that a person shall read about it.
func TestEachBrokenDocumentIsExplained(t *testing.T) {
	files, err := filepath.Glob("testdata/broken/*.yaml")
	if err != nil || len(files) < 20 {
		t.Fatalf("found %d documents, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			_, err := tenant.Load(file)
			if err == nil {
				t.Fatal("the document was taken")
			}
			if !problem.Is(err, problem.Invalid) {
				t.Errorf("kind = %v, want invalid", problem.KindOf(err))
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the text shows a secret: %v", err)
			}
			got := err.Error() + "\n"
			golden := strings.TrimSuffix(file, ".yaml") + ".txt"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestEveryFaultIsOneLineThatNamesFileAndLine(t *testing.T) {
	_, err := tenant.Load("testdata/broken/wrong-types.yaml")
	many, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("%T does not join faults", err)
	}
	for _, e := range many.Unwrap() {
		f, ok := errors.AsType[*tenant.FaultError](e)
		if !ok || f.Line == 0 || f.File != "testdata/broken/wrong-types.yaml" {
			t.Errorf("%#v lacks file or line", e)
		}
		if strings.Contains(e.Error(), "\n") {
			t.Errorf("%q is more than one line", e)
		}
	}
}

func TestTheCompleteDocumentIsReadWhole(t *testing.T) {
	got, err := tenant.Load(complete)
	if err != nil {
		t.Fatal(err)
	}
	const secrets = "testdata/complete/secrets/"
	use := []any{map[string]any{"action": "use"}}
	want := &tenant.Tenant{
		ParticipantContextID: "provider", DID: "did:web:provider.example", BPN: "BPNL000000000001", FunctionLine: "acme",
		ControlPlane: tenant.ControlPlane{
			Dialect:       tenant.EDCV,
			Tolerate:      []tenant.Tolerance{tenant.ToleratePullWithoutAddress},
			ManagementURL: "https://controlplane.example/api/management",
			SignalingURL:  "https://controlplane.example/api/signaling",
			IdentityURL:   "https://identity.example/api/identity",
			Profile:       "http-dsp-profile-2025-1",
			Answers:       "synchronous",
			Signaling: tenant.Signaling{
				DataplaneID: "provider-tidegate", Registration: "allowed", RegistrationTokenFile: secrets + "registration", Labels: []string{"gold"},
				Authorization: tenant.SignalingAuthorization{
					Type: "oauth2_client_credentials", TokenEndpoint: "https://idp.example/token", ClientID: "controlplane", ClientSecretFile: secrets + "cp-client",
					Issuer: "https://idp.example", JWKSURL: "https://idp.example/jwks", Audience: "tidegate", Subject: "controlplane", SubjectClaim: "sub", Scopes: []string{"dps:signal"},
				},
			},
		},
		Auth: tenant.Auth{
			Type: "client_credentials", TokenEndpoint: "https://idp.example/token", ClientID: "provider-app", ClientSecretFile: secrets + "management-client",
			Scopes: []string{"management-api:read", "management-api:write"},
		},
		Renewal: tenant.Renewal{Offer: "long", Key: tenant.RenewalKey{ID: "did:web:provider.example#key-1", Vault: tenant.Vault{
			URL: "https://vault.example", TokenFile: secrets + "vault-token", Key: "provider", Mount: "transit", Algorithm: "ES256", Namespace: "tenants/provider",
		}}},
		Profiles: []tenant.Profile{{Profile: "https://provider.example/profiles/nats-stream-pull", Hook: "nats-stream", ReportWithin: tenant.Duration(20 * 60e9)}},
		Buckets: []tenant.Bucket{
			{Name: "outbox", URL: "s3://provider-outbox?region=eu-central-1&endpoint=https://s3.example", CredentialsFile: secrets + "s3"},
			{Name: "inbox", URL: "file:///var/lib/tidegate/inbox"},
		},
		Policies: []tenant.Policy{
			{
				Name: "partners",
				Access: map[string]any{"permission": []any{map[string]any{"action": "use", "constraint": []any{
					map[string]any{"leftOperand": "MembershipCredential", "operator": "eq", "rightOperand": "active"},
				}}}},
				Contract: map[string]any{"permission": use},
			},
			{Name: "open"},
		},
		Publish: []tenant.PublishRule{
			{
				Name: "invoices", Bucket: "outbox", Prefix: "invoices/", Exclude: []string{"*.tmp", ".*"}, Policy: "partners",
				Metadata: map[string]string{"department": "finance", "title": "{name} of {bucket}"},
			},
			{Name: "rest", Bucket: "outbox", Policy: "open"},
		},
		Approve: tenant.Approve{Mode: "veto", Default: "review", Rules: []tenant.Rule{
			{Name: "known-partners", When: `counterparty.id in ["did:web:consumer.example"]`, Then: "approve"},
			{Name: "no-secrets", When: `asset.name.startsWith("secret")`, Then: "reject", Reason: "this dataset is not for other companies"},
		}},
		Subscribe: []tenant.Subscription{
			{
				Name:         "prices",
				CounterParty: tenant.CounterParty{ID: "did:web:supplier.example", Address: "https://supplier.example/dsp/supplier/http-dsp-profile-2025-1"},
				Filter:       `dataset.name.startsWith("prices/")`, Accept: "true", Sink: "incoming", Direction: "push", Every: tenant.Duration(5 * 60e9),
			},
			{
				Name:         "orders",
				CounterParty: tenant.CounterParty{ID: "did:web:supplier.example", Address: "https://supplier.example/dsp/supplier/http-dsp-profile-2025-1"},
				Profile:      "https://provider.example/profiles/nats-stream-pull",
			},
		},
		Sinks:  []tenant.Sink{{Name: "incoming", Bucket: "inbox", Prefix: "prices/"}},
		Limits: tenant.Limits{ConcurrentStreams: 32, RequestsPerSecond: 200, BytesPerSecond: 125000000},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(tenant.Tenant{})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestLinesAreThoseOfTheDocument(t *testing.T) {
	tn, err := tenant.Load(complete)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(complete)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(data), "\n")
	for path, want := range map[string]string{
		"participantContextId":          "participantContextId: provider",
		"controlPlane.signaling.labels": "labels: [gold]",
		"buckets[1]":                    "- name: inbox",
		"buckets[1].url":                "url: file:///var/lib/tidegate/inbox",
		"approve.rules[1].then":         "then: reject",
		"policies[0].access.permission[0].constraint[0].operator": "- {leftOperand",
	} {
		n := tn.Line(path)
		if n < 1 || !strings.Contains(lines[n-1], want) {
			t.Errorf("line of %s = %d, which is not %q", path, n, want)
		}
	}
	if n := tn.Line("approve.rules[7]"); n != 0 {
		t.Errorf("line of what is not there = %d, want 0", n)
	}
}

func TestDefaultsFillWhatIsLeftOut(t *testing.T) {
	tn, err := tenant.Load(write(t, t.TempDir(), "a.yaml", document("acme")))
	if err != nil {
		t.Fatal(err)
	}
	got := []any{
		tn.ControlPlane.Dialect, tn.ControlPlane.Profile, tn.ControlPlane.Signaling.DataplaneID,
		tn.ControlPlane.Signaling.Authorization.Subject, tn.ControlPlane.Signaling.Authorization.Audience, tn.Approve.Mode, tn.Approve.Default, tn.Auth.Scopes, tn.ControlPlane.ManagementURL,
	}
	want := []any{
		tenant.EDCV, "http-dsp-profile-2025-1", "acme-tidegate", "cp", "acme-tidegate", "veto", "review",
		[]string{"management-api:read", "management-api:write"},
		"https://cp.example/management",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestValidatorsReportWithFileAndLineBesideOtherFaults(t *testing.T) {
	file := write(t, t.TempDir(), "a.yaml", document("acme")+`approve:
  rules:
    - {name: one, when: "1 +", then: approve}
    - {name: two, when: "", then: allow}
`)
	_, err := tenant.Load(file, func(tn *tenant.Tenant) error {
		return errors.Join(
			problem.Field("approve.rules[0].when", "is no CEL"),
			problem.Field("approve.rules[1].when", "is no CEL either"), // it is missing, which was said already
			fmt.Errorf("bucket %d is on fire", 3),
		)
	})
	want := strings.Join([]string{
		file + ":1: bucket 3 is on fire",
		file + ":18: approve.rules[0].when: is no CEL",
		file + ":19: approve.rules[1].when: is missing",
		file + `:19: approve.rules[1].then: "allow" is not one of approve, reject, review`,
	}, "\n")
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func TestADocumentOverTheLimitIsRefused(t *testing.T) {
	file := write(t, t.TempDir(), "a.yaml", document("acme")+"#"+strings.Repeat("x", tenant.MaxDocument))
	if _, err := tenant.Load(file); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("error = %v", err)
	}
}

// Some of these took the parser minutes before tokens were counted.
func TestAHostileDocumentIsRefusedSoon(t *testing.T) {
	for name, content := range map[string]string{
		"nested lists":    strings.Repeat("[", 100000),
		"nested mappings": strings.Repeat("{a: ", 50000),
		"nested entries":  strings.Repeat("- ", 200000),
		"anchors":         strings.Repeat("&a ", 100000),
		"many members":    strings.Repeat("a: 1\n", 60000),
	} {
		t.Run(name, func(t *testing.T) {
			file := write(t, t.TempDir(), "a.yaml", content)
			start := time.Now()
			if _, err := tenant.Load(file); err == nil {
				t.Error("the document was taken")
			}
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("took %s", took)
			}
		})
	}
}

func TestAMissingFileIsOneLine(t *testing.T) {
	_, err := tenant.Load("testdata/nothing.yaml")
	if want := "testdata/nothing.yaml: can't be read: no such file or directory"; err == nil || err.Error() != want {
		t.Errorf("error = %v, want %s", err, want)
	}
}

func TestPartsAreFoundByName(t *testing.T) {
	tn, err := tenant.Load(complete)
	if err != nil {
		t.Fatal(err)
	}
	if b, ok := tn.Bucket("inbox"); !ok || b.URL != "file:///var/lib/tidegate/inbox" {
		t.Errorf("bucket = %+v, %v", b, ok)
	}
	if s, ok := tn.Sink("incoming"); !ok || s.Prefix != "prices/" {
		t.Errorf("sink = %+v, %v", s, ok)
	}
	if p, ok := tn.Policy("partners"); !ok || p.Contract == nil {
		t.Errorf("policy = %+v, %v", p, ok)
	}
	if _, ok := tn.Policy("none"); ok {
		t.Error("found a policy that is not there")
	}
}

// document is a small good document of a tenant.
func document(id string) string {
	secret, err := filepath.Abs("testdata/complete/secrets/cp-client")
	if err != nil {
		panic(err)
	}
	return strings.NewReplacer("ID", id, "SECRET", secret).Replace(`participantContextId: ID
did: did:web:ID.example
controlPlane:
  managementUrl: https://cp.example/management/
  signalingUrl: https://cp.example/signaling
  signaling:
    authorization:
      type: oauth2_client_credentials
      tokenEndpoint: https://idp.example/token
      clientId: cp
      clientSecretFile: SECRET
      issuer: https://idp.example
      jwksUrl: https://idp.example/jwks
auth: {type: token_exchange, tokenEndpoint: "https://idp.example/token", subjectTokenFile: SECRET}
bpn: BPNL1
`)
}

func write(t *testing.T, dir, name, content string) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestWhatAControlPlaneCanTakeFollowsFromItsDialect(t *testing.T) {
	for lines, want := range map[string]string{
		"": tenant.AnswersSynchronous, "  dialect: edc-0.18\n": tenant.AnswersSynchronous, "  dialect: dps-1.0\n": tenant.AnswersAsynchronous,
		"  answers: asynchronous\n": tenant.AnswersAsynchronous, "  dialect: dps-1.0\n  answers: synchronous\n": tenant.AnswersSynchronous,
	} {
		text, err := os.ReadFile("testdata/broken/profiles.yaml")
		if err != nil {
			t.Fatal(err)
		}
		head, _, _ := strings.Cut(string(text), "profiles:")
		head = strings.Replace(head, "  answers: later\n", lines, 1)
		head = strings.Replace(head, "../complete", filepath.Join(must(os.Getwd())(t), "testdata/complete"), 1)
		file := filepath.Join(t.TempDir(), "tenant.yaml")
		if err := os.WriteFile(file, []byte(head), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := tenant.Load(file)
		if err != nil {
			t.Fatal(err)
		}
		if got.ControlPlane.Answers != want {
			t.Errorf("%q: %s, want %s", lines, got.ControlPlane.Answers, want)
		}
	}
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
