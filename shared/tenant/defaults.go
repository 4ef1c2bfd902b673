package tenant

import (
	"path/filepath"
	"strings"
)

// Values that members have which a document leaves out.
const (
	DefaultProfile   = "http-dsp-profile-2025-1"
	DefaultMode      = ModeVeto
	DefaultVerdict   = Review
	dataplaneSuffix  = "-tidegate"
	scopeManageRead  = "management-api:read"
	scopeManageWrite = "management-api:write"
)

// Directions of a Subscription.
const (
	DirectionPull = "pull" // we fetch the data from the counterparty's endpoint
	DirectionPush = "push" // the counterparty sends the data to ours
)

// Modes of Approve.
const (
	ModeVeto  = "veto"  // the control plane asks before it answers the counterparty
	ModeWatch = "watch" // the approver hears of the negotiation by an event, and terminates what it rejects
)

// Verdicts of Approve.
const (
	Approved = "approve"
	Rejected = "reject"
	Review   = "review" // a person decides
)

// Values of Renewal.Offer: what a provider's data addresses hold for a consumer that is named by a did:web.
const (
	OfferLong  = "long"  // a token that lasts, and a refresh token beside it: a consumer that can't renew works too
	OfferShort = "short" // a token of minutes that must be renewed
	OfferOff   = "off"   // a token that lasts, and nothing else
)

// Algorithms of Vault.
const (
	AlgorithmES256 = "ES256"
	AlgorithmES384 = "ES384"
	AlgorithmEdDSA = "EdDSA"
)

// Values of ControlPlane.Answers: what a control plane can take as the answer to prepare and start.
const (
	AnswersSynchronous  = "synchronous"  // it must be done when it is answered; the default of EDC, which never finishes what is promised
	AnswersAsynchronous = "asynchronous" // 202, and a callback later; the default of dps-1.0
)

// Types of SignalingAuthorization.
const (
	SignalingOAuth2   = "oauth2_client_credentials"
	SignalingExchange = "oauth2_token_exchange"
	SignalingNetwork  = "network"
)

// Values of Signaling.Registration.
const (
	RegistrationRefused = "refused"
	RegistrationAllowed = "allowed"
)

// Claims that may say who the control plane is.
const (
	ClaimSub      = "sub"
	ClaimClientID = "client_id"
)

// Types of Auth.
const (
	AuthClientCredentials = "client_credentials"
	AuthTokenExchange     = "token_exchange"
)

func setDefaults(t *Tenant) {
	cp := &t.ControlPlane
	fill(&cp.Dialect, EDCV)
	fill(&cp.Profile, DefaultProfile)
	if cp.Dialect == DPS10 {
		fill(&cp.Answers, AnswersAsynchronous)
	}
	fill(&cp.Answers, AnswersSynchronous)
	if t.ParticipantContextID != "" {
		fill(&cp.Signaling.DataplaneID, t.ParticipantContextID+dataplaneSuffix)
	}
	setSignalingDefaults(&cp.Signaling)
	fill(&t.Renewal.Offer, OfferLong)
	if v := &t.Renewal.Key.Vault; *v != (Vault{}) {
		fill(&v.Mount, "transit")
		fill(&v.Algorithm, AlgorithmES256)
		v.URL = strings.TrimRight(v.URL, "/")
	}
	fill(&t.Approve.Mode, DefaultMode)
	fill(&t.Approve.Default, DefaultVerdict)
	if len(t.Auth.Scopes) == 0 {
		t.Auth.Scopes = []string{scopeManageRead, scopeManageWrite}
	}
	cp.ManagementURL = strings.TrimRight(cp.ManagementURL, "/")
	cp.SignalingURL = strings.TrimRight(cp.SignalingURL, "/")
	cp.IdentityURL = strings.TrimRight(cp.IdentityURL, "/")
}

func setSignalingDefaults(s *Signaling) {
	fill(&s.Registration, RegistrationRefused)
	a := &s.Authorization
	if a.Type == SignalingNetwork {
		return
	}
	fill(&a.SubjectClaim, ClaimSub)
	if !a.AnyAudience {
		fill(&a.Audience, s.DataplaneID)
	}
	if a.Type != SignalingExchange {
		fill(&a.Subject, a.ClientID)
		return
	}
	fill(&a.Resource, a.Subject)
	fill(&a.Callback.Resource, s.DataplaneID)
	if len(a.RequestScopes) == 0 {
		a.RequestScopes = a.Scopes
	}
}

func fill[T ~string](v *T, def T) {
	if *v == "" {
		*v = def
	}
}

// resolveFiles makes the names of secret files that are relative in the document relative to its folder.
func (t *Tenant) resolveFiles(dir string) {
	files := []*string{
		&t.ControlPlane.Signaling.Authorization.ClientSecretFile, &t.ControlPlane.Signaling.Authorization.SubjectTokenFile,
		&t.ControlPlane.Signaling.RegistrationTokenFile,
		&t.Auth.ClientSecretFile, &t.Auth.SubjectTokenFile,
		&t.Renewal.Key.File, &t.Renewal.Key.Vault.TokenFile,
	}
	for i := range t.Buckets {
		files = append(files, &t.Buckets[i].CredentialsFile)
	}
	for _, f := range files {
		if *f != "" && !filepath.IsAbs(*f) {
			*f = filepath.Join(dir, *f)
		}
	}
}
