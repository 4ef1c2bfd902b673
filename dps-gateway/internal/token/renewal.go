package token

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"github.com/tidegate/tidegate/dps-gateway/internal/dataflow"
	"github.com/tidegate/tidegate/dps-gateway/internal/flowstore"
	"github.com/tidegate/tidegate/shared/did"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/tenant"
)

// Renewal says whether and how access tokens can be renewed.
type Renewal struct {
	Offer    func(pc string) string // what the tenant offers: tenant.OfferLong, OfferShort, OfferOff; nil = off
	ShortTTL time.Duration          // of the tokens of tenants with OfferShort
}

// WithRenewal makes the issuer offer renewal. It must be called before the first use.
func (i *Issuer) WithRenewal(r Renewal) *Issuer {
	i.renewal = r
	return i
}

const maxRefresh = 4096 // bytes of a refresh token

var base64url = base64.RawURLEncoding

// renewable tells whether an address gets a refresh token: who uses it must have a DID by which it can be known again.
func (i *Issuer) renewable(g dataflow.Grant) bool {
	if i.renewal.Offer == nil || !dps.IsHTTP(g.Profile) || !did.IsWeb(g.CounterPartyID) {
		return false
	}
	offer := i.renewal.Offer(g.ParticipantContextID)
	return offer == tenant.OfferLong || offer == tenant.OfferShort
}

// lifetime is how long a tenant's renewable tokens last.
func (i *Issuer) lifetime(pc string) time.Duration {
	if i.renewal.Offer != nil && i.renewal.Offer(pc) == tenant.OfferShort {
		return i.renewal.ShortTTL
	}
	return i.ttl
}

// addRenewal adds the properties of the token renewal profile.
func (i *Issuer) addRenewal(a *dps.DataAddress, refresh string, ttl time.Duration) {
	a.Add(dps.PropertyRefreshToken, refresh)
	a.Add(dps.PropertyExpiresIn, seconds(ttl))
	a.Add(dps.PropertyRefreshEndpoint, i.publicURL+"/token")
}

func seconds(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }

// newRefresh makes a refresh token. It is opaque to others; to us it names the tenant and the flow, so that it is found without an
// index, and 256 random bits follow.
func newRefresh(pc, flow string) string {
	var secret [32]byte
	_, _ = rand.Read(secret[:]) // never fails (crypto/rand)
	return base64url.EncodeToString([]byte(pc)) + "." + base64url.EncodeToString([]byte(flow)) + "." + base64url.EncodeToString(secret[:])
}

// parseRefresh reads which flow a refresh token is of.
func parseRefresh(token string) (pc, flow string, ok bool) {
	parts := strings.Split(token, ".")
	if len(token) > maxRefresh || len(parts) != 3 {
		return "", "", false
	}
	p, err1 := base64url.Strict().DecodeString(parts[0])
	f, err2 := base64url.Strict().DecodeString(parts[1])
	secret, err3 := base64url.Strict().DecodeString(parts[2])
	if err1 != nil || err2 != nil || err3 != nil || len(p) == 0 || len(f) == 0 || len(secret) != 32 {
		return "", "", false
	}
	return string(p), string(f), true
}

// member is the id of the access token of a family that goes with a refresh token.
func member(family, refresh string) string {
	sum := sha256.Sum256([]byte(refresh))
	return family + "." + base64url.EncodeToString(sum[:])
}

// paired returns what an access token grants, if it is one of ours and goes with the refresh token. It may have ended: a consumer
// that comes late shows what it had.
func (i *Issuer) paired(access, refresh string) (*Access, bool) {
	c, err := i.signer.VerifyExpired(access)
	if err != nil {
		return nil, false
	}
	a, err := i.granted(c)
	if err != nil {
		return nil, false
	}
	family, ok := flowstore.Family(a.TokenID)
	return a, ok && member(family, refresh) == a.TokenID // digests of secrets: how far they are equal tells nothing
}
