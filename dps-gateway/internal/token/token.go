// Package token makes and checks the access tokens of the public data and ingest endpoints, and the data addresses that carry them.
//
// A token is a JWT (ES256) bound to one data flow: tenant, flow, agreement, dataset and whether it reads or writes stand in it, signed. That it is well
// signed is necessary and not enough: the data endpoint reads the flow's state on every request, and a flow knows the id of
// the one token that is in force. The address is that of the HTTP transfer profile (DPS profiles, "HTTP"); as there is no
// refresh token, it has no expiresIn either (token renewal profile).
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
	now := time.Now()
	tokenID = uuid.NewString()
	token, err := i.signer.Sign(map[string]any{
		"iss": i.publicURL, "aud": i.publicURL, "sub": g.CounterPartyID, "jti": tokenID,
		"iat": now.Unix(), "exp": now.Add(i.ttl).Unix(),
		claimParticipantContext: g.ParticipantContextID, claimDataFlow: g.DataFlowID,
		claimAgreement: g.AgreementID, claimDataset: g.DatasetID, claimUse: use(g.Direction),
	})
	if err != nil {
		return nil, "", problem.Wrap(problem.Internal, err, "issuing an access token")
	}
	return &dps.DataAddress{
		Type: "DataAddress", EndpointType: g.Profile, Endpoint: i.Endpoint(g),
		EndpointProperties: []dps.EndpointProperty{
			{Type: "EndpointProperty", Name: dps.PropertyAuthorization, Value: token},
			{Type: "EndpointProperty", Name: dps.PropertyAuthType, Value: "bearer"},
		},
	}, tokenID, nil
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
	if c.Issuer != i.publicURL || !c.HasAudience(i.publicURL) {
		return nil, problem.New(problem.Unauthenticated, "the access token is not valid")
	}
	text := func(name string) string { s, _ := c.All[name].(string); return s }
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
	i.cache.Put(key, a, a.Expiry)
	return a, nil
}

// JWKS is the set of public keys, old and new, by which anybody can check the tokens.
func (i *Issuer) JWKS() []byte { return i.signer.JWKS() }
