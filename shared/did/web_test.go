package did_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/shared/did"
)

func TestAnIdIsTranslatedToTheURLOfItsDocument(t *testing.T) {
	for id, want := range map[string]string{
		"did:web:example.com":               "https://example.com/.well-known/did.json",
		"did:web:example.com%3A7083":        "https://example.com:7083/.well-known/did.json",
		"did:web:example.com%3a7083":        "https://example.com:7083/.well-known/did.json",
		"did:web:example.com:a":             "https://example.com/a/did.json",
		"did:web:example.com%3A7083:a:b":    "https://example.com:7083/a/b/did.json",
		"did:web:w3c-ccg.github.io:user:al": "https://w3c-ccg.github.io/user/al/did.json",
		"did:web:example.com:a_b:x%20y":     "https://example.com/a_b/x%20y/did.json",
		"did:web:127.0.0.1%3A80:p":          "https://127.0.0.1:80/p/did.json",
	} {
		got, err := did.WebURL(id, false)
		if err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", id, got, err, want)
		}
		plain, err := did.WebURL(id, true)
		if err != nil || plain != strings.Replace(want, "https:", "http:", 1) {
			t.Errorf("%s by http: %q, %v", id, plain, err)
		}
	}
}

var malformed = []string{
	"", "did:web:", "did:key:z6Mk", "web:example.com", "did:web::a", "did:web:example.com:", "did:web:example.com::a", "did:web:example.com/x",
	"did:web:example.com?x", "did:web:example.com#key", "did:web:user@example.com", "did:web:example.com:a/b", "did:web:example.com:..",
	"did:web:example.com:.", "did:web:example.com:%2e%2e", "did:web:example.com:a%2Fb", "did:web:example.com:a%5Cb", "did:web:example.com:a%3Fb",
	"did:web:example.com:a%00b", "did:web:example.com:a%zz", "did:web:example.com:a%", "did:web:example.com%3A", "did:web:example.com%3A0",
	"did:web:example.com%3A99999", "did:web:example.com%3A+80", "did:web:example.com%3A080", "did:web:example.com%3A80%3A81", "did:web:exa%6Dple.com",
	"did:web:[::1]", "did:web:-a.com", "did:web:.a.com", "did:web:a..com", "did:web:exämple.com", "did:web:example.com:a b", "did:web:example.com\n",
	"did:web:" + strings.Repeat("a", 254), "did:web:example.com:" + strings.Repeat("a", 2048), "did:web:example.com%2Fx",
}

func TestWhatIsNoDIDOfTheWebIsRefused(t *testing.T) {
	for _, id := range malformed {
		if got, err := did.WebURL(id, false); err == nil {
			t.Errorf("%q became %s", id, got)
		}
	}
}

// Whatever is accepted leads to the host that stands in it and nowhere else.
func FuzzWebURL(f *testing.F) {
	f.Add("did:web:example.com%3A7083:a:b")
	for _, id := range malformed {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		got, err := did.WebURL(id, false)
		if err != nil {
			return
		}
		u, err := url.Parse(got)
		if err != nil || u.Scheme != "https" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			t.Fatalf("%q became %q: %v", id, got, err)
		}
		host, _, _ := strings.Cut(strings.TrimPrefix(id, "did:web:"), ":")
		if !strings.EqualFold(u.Host, strings.NewReplacer("%3A", ":", "%3a", ":").Replace(host)) || !strings.HasSuffix(u.Path, "/did.json") ||
			strings.Contains(u.Path, "..") && strings.Contains(u.Path, "/../") {
			t.Fatalf("%q became %q", id, got)
		}
	})
}
