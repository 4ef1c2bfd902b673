package token_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/dps-gateway/internal/dataflow"
	"github.com/tidegate/tidegate/dps-gateway/internal/token"
	"github.com/tidegate/tidegate/shared/auth"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/problem"
)

func key(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func signer(t *testing.T, keys ...*ecdsa.PrivateKey) *auth.Signer {
	t.Helper()
	s, err := auth.NewSigner(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var grant = dataflow.Grant{
	ParticipantContextID: "provider", DataFlowID: "tp/1 ü", AgreementID: "agr", DatasetID: "ds", CounterPartyID: "did:web:c", Profile: dps.ProfileHTTPPull,
	Direction: dps.Pull,
}

func issue(t *testing.T, i *token.Issuer) (*dps.DataAddress, string) {
	t.Helper()
	addr, id, err := i.Issue(t.Context(), grant)
	if err != nil {
		t.Fatal(err)
	}
	return addr, id
}

func TestAnAddressIsWhatTheHTTPProfileSays(t *testing.T) {
	i := token.NewIssuer(signer(t, key(t)), "https://public.example/", time.Hour)
	addr, id := issue(t, i)
	secret := addr.Property(dps.PropertyAuthorization)
	want := &dps.DataAddress{
		Type: "DataAddress", EndpointType: dps.ProfileHTTPPull, Endpoint: "https://public.example/data/tp%2F1%20%C3%BC",
		EndpointProperties: []dps.EndpointProperty{
			{Type: "EndpointProperty", Name: "authorization", Value: secret},
			{Type: "EndpointProperty", Name: "authType", Value: "bearer"},
		},
	}
	if diff := cmp.Diff(want, addr); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for range 2 { // checked, then remembered
		a, err := i.Verify(secret)
		if err != nil {
			t.Fatal(err)
		}
		g := grant
		g.Profile = "" // the live flow has it
		if diff := cmp.Diff(g, a.Grant); diff != "" || a.TokenID != id {
			t.Errorf("token %q, %q (-want +got):\n%s", a.TokenID, id, diff)
		}
	}
	if _, other := issue(t, i); other == id {
		t.Error("two tokens have one id")
	}
}

func TestATokenEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := token.NewIssuer(signer(t, key(t)), "https://public.example", time.Minute)
		addr, _ := issue(t, i)
		secret := addr.Property(dps.PropertyAuthorization)
		time.Sleep(58 * time.Second)
		if _, err := i.Verify(secret); err != nil {
			t.Errorf("before its end: %v", err)
		}
		time.Sleep(5 * time.Second)
		if _, err := i.Verify(secret); !problem.Is(err, problem.Unauthenticated) {
			t.Errorf("after its end, though remembered: %v", err)
		}
	})
}

func TestKeysRotateWithoutABrokenToken(t *testing.T) {
	old, fresh := key(t), key(t)
	before := token.NewIssuer(signer(t, old), "https://public.example", time.Hour)
	addr, _ := issue(t, before)
	after := token.NewIssuer(signer(t, fresh, old), "https://public.example", time.Hour)
	if _, err := after.Verify(addr.Property(dps.PropertyAuthorization)); err != nil {
		t.Errorf("a token of the old key: %v", err)
	}
	if n := strings.Count(string(after.JWKS()), `"kid"`); n != 2 {
		t.Errorf("the JWKS has %d keys", n)
	}
	gone := token.NewIssuer(signer(t, fresh), "https://public.example", time.Hour)
	if _, err := gone.Verify(addr.Property(dps.PropertyAuthorization)); !problem.Is(err, problem.Unauthenticated) {
		t.Errorf("when the old key is gone: %v", err)
	}
}

func TestATokenForSomethingElseIsRefused(t *testing.T) {
	s := signer(t, key(t))
	i := token.NewIssuer(s, "https://public.example", time.Hour)
	now := time.Now().Unix()
	good := map[string]any{
		"iss": "https://public.example", "aud": "https://public.example", "sub": "did:web:c", "jti": "1", "iat": now, "exp": now + 60,
		"participant_context": "p", "data_flow": "f", "agreement": "a", "dataset": "d",
	}
	sign := func(change func(map[string]any)) string {
		c := maps.Clone(good)
		change(c)
		text, err := s.Sign(c)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	if _, err := i.Verify(sign(func(map[string]any) {})); err != nil {
		t.Fatalf("the good one: %v", err)
	}
	for name, change := range map[string]func(map[string]any){
		"a callback's token, for a control plane": func(c map[string]any) { c["aud"] = "https://cp.example" },
		"another issuer":     func(c map[string]any) { c["iss"] = "https://other.example" },
		"no id":              func(c map[string]any) { delete(c, "jti") },
		"no flow":            func(c map[string]any) { delete(c, "data_flow") },
		"no tenant":          func(c map[string]any) { delete(c, "participant_context") },
		"a flow of no text":  func(c map[string]any) { c["data_flow"] = 7 },
		"no end":             func(c map[string]any) { delete(c, "exp") },
		"ended":              func(c map[string]any) { c["exp"] = now - 60 },
		"made in the future": func(c map[string]any) { c["iat"] = now + 600 },
	} {
		if _, err := i.Verify(sign(change)); !problem.Is(err, problem.Unauthenticated) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzVerify(f *testing.F) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	s, err := auth.NewSigner(k)
	if err != nil {
		f.Fatal(err)
	}
	i := token.NewIssuer(s, "https://public.example", time.Hour)
	addr, _, err := i.Issue(f.Context(), grant)
	if err != nil {
		f.Fatal(err)
	}
	good := addr.Property(dps.PropertyAuthorization)
	f.Add(good)
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := i.Verify(text); err == nil && text != good {
			t.Errorf("accepted %q", text)
		}
	})
}

func TestATokenReadsOrWritesNeverBoth(t *testing.T) {
	i := token.NewIssuer(signer(t, key(t)), "https://public.example", time.Hour)
	push := grant
	push.Profile, push.Direction = dps.ProfileHTTPPush, dps.Push
	addr, _, err := i.Issue(t.Context(), push)
	if err != nil {
		t.Fatal(err)
	}
	if addr.Endpoint != "https://public.example/ingest/tp%2F1%20%C3%BC" || addr.EndpointType != dps.ProfileHTTPPush {
		t.Errorf("address %s %s", addr.EndpointType, addr.Endpoint)
	}
	a, err := i.Verify(addr.Property(dps.PropertyAuthorization))
	if err != nil || a.Direction != dps.Push {
		t.Errorf("%+v %v", a, err)
	}
}
