// Package token makes and checks the access tokens of the public data endpoint, and the data addresses that carry them.
//
// A token is a JWT (ES256) bound to one data flow: tenant, flow, agreement and dataset stand in it, signed. That it is well
// signed is necessary and not enough: the data endpoint reads the flow's state on every request, and a flow knows the id of
// the one token that is in force. The address is that of the HTTP transfer profile (DPS profiles, "HTTP"); as there is no
// refresh token, it has no expiresIn either (token renewal profile).
package token

import (
	"crypto/sha256"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/tidegate/tidegate/dps-gateway/internal/cache"
	"github.com/tidegate/tidegate/shared/auth"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/problem"
)

// Private claims. The registered ones: iss and aud are the public URL, sub the counterparty, jti the token's id.
const (
	claimParticipantContext = "participant_context"
	claimDataFlow           = "data_flow"
	claimAgreement          = "agreement"
	claimDataset            = "dataset"
)

// verified is how many tokens are remembered as well signed, so that a busy consumer costs one signature check.
const verified = 16 << 10

// Grant is what a token gives access to, and to whom.
type Grant struct {
	ID                   string // the token's
	ParticipantContextID string
	DataFlowID           string
	AgreementID          string
	DatasetID            string
	CounterPartyID       string
	Expiry               time.Time
}

// Issuer issues and verifies tokens. It is safe for concurrent use.
type Issuer struct {
	signer    *auth.Signer
	publicURL string
	ttl       time.Duration
	cache     *cache.Cache[[sha256.Size]byte, *Grant]
}

// NewIssuer returns an issuer of tokens that are good for ttl at the public listener, which others reach by publicURL.
func NewIssuer(signer *auth.Signer, publicURL string, ttl time.Duration) *Issuer {
	return &Issuer{
		signer: signer, publicURL: strings.TrimRight(publicURL, "/"), ttl: ttl,
		cache: cache.New[[sha256.Size]byte, *Grant](verified),
	}
}

// Issue makes a token for a grant, whose ID and Expiry are set here, and returns it with the token.
func (i *Issuer) Issue(g Grant) (string, Grant, error) {
	now := time.Now()
	g.ID, g.Expiry = uuid.NewString(), now.Add(i.ttl).Truncate(time.Second)
	token, err := i.signer.Sign(map[string]any{
		"iss": i.publicURL, "aud": i.publicURL, "sub": g.CounterPartyID, "jti": g.ID,
		"iat": now.Unix(), "exp": g.Expiry.Unix(),
		claimParticipantContext: g.ParticipantContextID, claimDataFlow: g.DataFlowID,
		claimAgreement: g.AgreementID, claimDataset: g.DatasetID,
	})
	if err != nil {
		return "", g, problem.Wrap(problem.Internal, err, "issuing an access token")
	}
	return token, g, nil
}

// Address is the data address at which the holder of the token gets the flow's data.
func (i *Issuer) Address(flowID, profile, token string) *dps.DataAddress {
	return &dps.DataAddress{
		Type: "DataAddress", EndpointType: profile, Endpoint: i.publicURL + "/data/" + url.PathEscape(flowID),
		EndpointProperties: []dps.EndpointProperty{
			{Type: "EndpointProperty", Name: dps.PropertyAuthorization, Value: token},
			{Type: "EndpointProperty", Name: dps.PropertyAuthType, Value: "bearer"},
		},
	}
}

// Verify checks a token's signature, issuer, audience and times, and returns what it grants. Its error is of kind
// Unauthenticated, with no hint at what is wrong for the caller.
func (i *Issuer) Verify(token string) (*Grant, error) {
	key := sha256.Sum256([]byte(token))
	if g, ok := i.cache.Get(key); ok { // its expiry is the entry's end
		return g, nil
	}
	c, err := i.signer.Verify(token)
	if err != nil {
		return nil, problem.Wrap(problem.Unauthenticated, err, "the access token is not valid")
	}
	if c.Issuer != i.publicURL || !c.HasAudience(i.publicURL) {
		return nil, problem.New(problem.Unauthenticated, "the access token is not valid")
	}
	text := func(name string) string { s, _ := c.All[name].(string); return s }
	g := &Grant{
		ID: c.ID, CounterPartyID: c.Subject, Expiry: c.Expiry,
		ParticipantContextID: text(claimParticipantContext), DataFlowID: text(claimDataFlow),
		AgreementID: text(claimAgreement), DatasetID: text(claimDataset),
	}
	if g.ID == "" || g.ParticipantContextID == "" || g.DataFlowID == "" {
		return nil, problem.New(problem.Unauthenticated, "the access token is not valid")
	}
	i.cache.Put(key, g, g.Expiry)
	return g, nil
}

// JWKS is the set of public keys, old and new, by which anybody can check the tokens.
func (i *Issuer) JWKS() []byte { return i.signer.JWKS() }
