package token

import (
	"strings"
	"testing"
)

func TestARefreshTokenNamesItsFlowAndNothingElseCanBeMadeOfIt(t *testing.T) {
	a, b := newRefresh("provider", "tp/1 ü"), newRefresh("provider", "tp/1 ü")
	if a == b || member("f", a) == member("f", b) {
		t.Error("two refresh tokens of a flow are one")
	}
	pc, flow, ok := parseRefresh(a)
	if !ok || pc != "provider" || flow != "tp/1 ü" {
		t.Errorf("%q %q %v", pc, flow, ok)
	}
	if strings.Contains(member("f", a), strings.Split(a, ".")[2]) {
		t.Error("the id of the access token shows the refresh token")
	}
}

func FuzzParseRefresh(f *testing.F) {
	f.Add(newRefresh("provider", "tp"))
	f.Add("a.b.c")
	f.Add("..")
	f.Add(strings.Repeat("A", 5000))
	f.Fuzz(func(t *testing.T, token string) {
		pc, flow, ok := parseRefresh(token)
		if ok && (pc == "" || flow == "" || len(token) > maxRefresh || token != base64url.EncodeToString([]byte(pc))+"."+base64url.EncodeToString([]byte(flow))+"."+strings.Split(token, ".")[2]) {
			t.Errorf("%q is of %q %q", token, pc, flow)
		}
	})
}
