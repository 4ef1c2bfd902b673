package tenant

import (
	"regexp"
	"strings"
)

// vaultName is a key's or a mount's name, as it stands in the path of a request.
var vaultName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*$`)

func (c checker) renewal(t *Tenant) {
	c.oneOf("renewal.offer", t.Renewal.Offer, OfferLong, OfferShort, OfferOff)
	const at = "renewal.key."
	k := t.Renewal.Key
	if k == (RenewalKey{}) {
		return
	}
	if c.required(at+"id", k.ID) {
		c.word(at+"id", k.ID)
		if fragment, ok := strings.CutPrefix(k.ID, t.DID+"#"); t.DID != "" && (!ok || fragment == "") {
			c.add(at+"id", "%s is no key of the tenant's did, expected is %s#…", quote(k.ID), t.DID)
		}
	}
	switch {
	case k.File == "" && k.Vault == (Vault{}):
		c.add(at+"file", "is missing, expected is a file, or a vault")
	case k.File != "" && k.Vault != (Vault{}):
		c.add(at+"file", "has no meaning beside vault, leave one of them out")
	case k.File != "":
		c.secretFile(at+"file", k.File)
	default:
		c.vault(at+"vault.", k.Vault)
	}
}

func (c checker) vault(at string, v Vault) {
	if c.required(at+"url", v.URL) {
		c.url(at+"url", v.URL)
	}
	if c.required(at+"tokenFile", v.TokenFile) {
		c.secretFile(at+"tokenFile", v.TokenFile)
	}
	for _, m := range []struct{ name, value string }{{"key", v.Key}, {"mount", v.Mount}} {
		if c.required(at+m.name, m.value) && !vaultName.MatchString(m.value) {
			c.add(at+m.name, "%s is not a name of Vault", quote(m.value))
		}
	}
	c.limit(at+"version", int64(v.Version))
	c.oneOf(at+"algorithm", v.Algorithm, AlgorithmES256, AlgorithmES384, AlgorithmEdDSA)
	c.word(at+"namespace", v.Namespace)
}
