// Package token makes and checks the access tokens of the public data and ingest endpoints, and the data addresses that carry them.
//
// A token is a JWT (ES256) bound to one data flow: tenant, flow, agreement, dataset and whether it reads or writes stand in it, signed. That it is well
// signed is necessary and not enough: the data endpoint reads the flow's state on every request, and a flow knows the id of
// the one token that is in force. The address is that of the HTTP transfer profile (DPS profiles, "HTTP").
//
// With a consumer that has a did:web the address can hold a refresh token too, which Endpoint takes (token renewal profile). The
// id of such an access token is <family>.<SHA-256 of its refresh token>: so the one id that a flow knows binds the pair, and
// nothing by which a refresh token could be made is stored. A family begins with an address and goes on through its renewals.
package token

import (
	"context"
	"crypto/sha256"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/tidegate/tidegate/dps-gateway/internal/cache"
	"github.com/tidegate/tidegate/dps-gateway/internal/dataflow"
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
	claimUse                = "use" // useRead or useWrite
)

// What a token may be used for: to read a provider's data (pull), or to write into a consumer's sink (push). A token without the
// claim was issued before there was push.
const (
	useRead  = "read"
	useWrite = "write"
)

// claims are those of an access token.
type claims struct {
	Issuer             string `json:"iss"`
	Audience           string `json:"aud"`
	Subject            string `json:"sub"`
	ID                 string `json:"jti"`
	IssuedAt           int64  `json:"iat"`
	Expiry             int64  `json:"exp"`
	ParticipantContext string `json:"participant_context"`
	DataFlow           string `json:"data_flow"`
	Agreement          string `json:"agreement"`
	Dataset            string `json:"dataset"`
	Use                string `json:"use"`
}

// verified is how many tokens are remembered as well signed, so that a busy consumer costs one signature check.
const verified = 16 << 10

// Access is what a verified token gives access to, and to whom.
type Access struct {
	dataflow.Grant
	TokenID string
	Expiry  time.Time
}

// Issuer issues and verifies tokens. It is safe for concurrent use.
type Issuer struct {
	signer    *auth.Signer
	publicURL string
	ttl       time.Duration
	renewal   Renewal
	cache     *cache.Cache[[sha256.Size]byte, *Access]
}

var _ dataflow.AddressIssuer = (*Issuer)(nil)

// NewIssuer returns an issuer of tokens that are good for ttl at the public listener, which others reach by publicURL.
func NewIssuer(signer *auth.Signer, publicURL string, ttl time.Duration) *Issuer {
	return &Issuer{
		signer: signer, publicURL: strings.TrimRight(publicURL, "/"), ttl: ttl,
		cache: cache.New[[sha256.Size]byte, *Access](verified),
	}
}

// Issue implements dataflow.AddressIssuer.
func (i *Issuer) Issue(_ context.Context, g dataflow.Grant) (addr *dps.DataAddress, tokenID string, err error) {
	tokenID, refresh, ttl := uuid.NewString(), "", i.ttl
	if i.renewable(g) {
		refresh, ttl = newRefresh(g.ParticipantContextID, g.DataFlowID), i.lifetime(g.ParticipantContextID)
		tokenID = member(tokenID, refresh)
	}
	token, err := i.access(g, tokenID, ttl)
	if err != nil {
		return nil, "", err
	}
	addr = &dps.DataAddress{
		Type: "DataAddress", EndpointType: g.Profile, Endpoint: i.Endpoint(g),
		EndpointProperties: []dps.EndpointProperty{
			{Type: "EndpointProperty", Name: dps.PropertyAuthorization, Value: token},
			{Type: "EndpointProperty", Name: dps.PropertyAuthType, Value: "bearer"},
		},
	}
	if refresh != "" {
		i.addRenewal(addr, refresh, ttl)
	}
	return addr, tokenID, nil
}

// access makes an access token.
func (i *Issuer) access(g dataflow.Grant, tokenID string, ttl time.Duration) (string, error) {
	now := time.Now()
	token, err := i.signer.Sign(claims{
		Issuer: i.publicURL, Audience: i.publicURL, Subject: g.CounterPartyID, ID: tokenID, IssuedAt: now.Unix(), Expiry: now.Add(ttl).Unix(),
		ParticipantContext: g.ParticipantContextID, DataFlow: g.DataFlowID, Agreement: g.AgreementID, Dataset: g.DatasetID, Use: use(g.Direction),
	})
	if err != nil {
		return "", problem.Wrap(problem.Internal, err, "issuing an access token")
	}
	return token, nil
}

// Endpoint implements dataflow.AddressIssuer.
func (i *Issuer) Endpoint(g dataflow.Grant) string {
	path := "/data/"
	if g.Direction == dps.Push {
		path = "/ingest/"
	}
	return i.publicURL + path + url.PathEscape(g.DataFlowID)
}

func use(dir dps.Direction) string {
	if dir == dps.Push {
		return useWrite
	}
	return useRead
}

// Verify checks a token's signature, issuer, audience and times, and returns what it grants. Its error is of kind
// Unauthenticated, with no hint at what is wrong for the caller.
func (i *Issuer) Verify(token string) (*Access, error) {
	key := sha256.Sum256([]byte(token))
	if a, ok := i.cache.Get(key); ok { // its expiry is the entry's end
		return a, nil
	}
	c, err := i.signer.Verify(token)
	if err != nil {
		return nil, problem.Wrap(problem.Unauthenticated, err, "the access token is not valid")
	}
	a, err := i.granted(c)
	if err != nil {
		return nil, err
	}
	i.cache.Put(key, a, a.Expiry)
	return a, nil
}

// granted reads what a token grants whose signature holds.
func (i *Issuer) granted(c *auth.Claims) (*Access, error) {
	if c.Issuer != i.publicURL || !c.HasAudience(i.publicURL) {
		return nil, problem.New(problem.Unauthenticated, "the access token is not valid")
	}
	all := c.All()
	text := func(name string) string { s, _ := all[name].(string); return s }
	a := &Access{
		TokenID: c.ID, Expiry: c.Expiry,
		Grant: dataflow.Grant{
			ParticipantContextID: text(claimParticipantContext), DataFlowID: text(claimDataFlow),
			AgreementID: text(claimAgreement), DatasetID: text(claimDataset), CounterPartyID: c.Subject,
		},
	}
	switch text(claimUse) {
	case useRead, "":
		a.Direction = dps.Pull
	case useWrite:
		a.Direction = dps.Push
	}
	if a.Direction == "" || a.TokenID == "" || a.ParticipantContextID == "" || a.DataFlowID == "" {
		return nil, problem.New(problem.Unauthenticated, "the access token is not valid")
	}
	return a, nil
}

// JWKS is the set of public keys, old and new, by which anybody can check the tokens.
func (i *Issuer) JWKS() []byte { return i.signer.JWKS() }
