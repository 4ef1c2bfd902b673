package flowstore

import (
	"context"
	_ "embed"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tidegate/tidegate/dps-gateway/internal/keys"
)

//go:embed rotate.lua
var rotateSource string

var rotateScript = redis.NewScript(rotateSource)

// Takes tells whether a request with the access token of an id may be answered: it is the one in force, or the one that it has
// renewed, which lives on until its own end, so that a renewal breaks nothing that is under way.
func (l *LiveFlow) Takes(tokenID string) bool {
	return tokenID != "" && (tokenID == l.TokenID || (tokenID == l.PreviousTokenID && l.Keeps(tokenID)))
}

// Keeps tells whether an answer that was begun with the access token of an id may go on: the token in force is that one, or was
// made of it by renewals.
func (l *LiveFlow) Keeps(tokenID string) bool {
	if tokenID == l.TokenID {
		return tokenID != ""
	}
	family, ok := Family(tokenID)
	now, renewable := Family(l.TokenID)
	return ok && renewable && family == now
}

// Family is what the ids of an access token and of those that renew it have in common; false if it can't be renewed.
func Family(tokenID string) (string, bool) {
	family, _, ok := strings.Cut(tokenID, ".")
	return family, ok && family != ""
}

// Rotation renews the access token of a data address that this side made: a provider's on pull, a consumer's on push.
type Rotation struct {
	ParticipantContextID string
	DataFlowID           string
	Presented            string        // id of the token that the presented refresh token belongs to
	Next                 string        // id of the new token, of the same family
	Assertion            string        // names the client's JWT, which is good once
	TTL                  time.Duration // until that JWT ends
}

// Rotated is the outcome of a rotation.
type Rotated string

// The outcomes.
const (
	RotationApplied  Rotated = "applied"
	RotationReplayed Rotated = "replayed" // the assertion was used before
	RotationRefused  Rotated = "refused"  // the flow is not started (a consumer's push: nor prepared), or the token is neither the one in force nor the previous one
)

// Rotate renews an access token, atomically, in one round trip. No stream is cut by it.
func (s *Redis) Rotate(ctx context.Context, r *Rotation) (Rotated, error) {
	names := []string{keys.Flow(r.ParticipantContextID, r.DataFlowID), keys.TokenID(r.ParticipantContextID, "renewal:"+r.Assertion)}
	out, err := rotateScript.Run(ctx, s.rdb, names, r.Presented, r.Next, max(r.TTL.Milliseconds(), 1)).Text()
	if err != nil {
		return "", unavailable(err)
	}
	return Rotated(out), nil
}
