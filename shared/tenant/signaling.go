package tenant

// Signaling tells how this data plane is registered and how the control plane's calls are authenticated.
type Signaling struct {
	DataplaneID string   `yaml:"dataplaneId,omitempty"` // default <participantContextId>-tidegate; global at EDC, so unique
	Labels      []string `yaml:"labels,omitempty"`
	// Authorization is the profile by which control plane and data plane prove to each other who they are.
	Authorization SignalingAuthorization `yaml:"authorization"`
	// Registration says whether control planes may register themselves: refused (default) or allowed.
	Registration string `yaml:"registration,omitempty"`
	// RegistrationTokenFile holds secrets, one a line, by which an operator registers any control plane.
	RegistrationTokenFile string `yaml:"registrationTokenFile,omitempty"`
}

// RegistrationAllowed tells whether control planes may register themselves.
func (s *Signaling) RegistrationAllowed() bool { return s.Registration == RegistrationAllowed }

// SignalingAuthorization is an authorization profile of Data Plane Signaling: how the control plane gets the tokens that it sends to us,
// how they are verified, and with oauth2_token_exchange how we get ours.
type SignalingAuthorization struct {
	// Type is oauth2_client_credentials, oauth2_token_exchange, or "network" if the operator says that the network protects the calls.
	Type          string `yaml:"type"`
	TokenEndpoint string `yaml:"tokenEndpoint"` // at which the control plane gets its tokens; with oauth2_token_exchange we too

	ClientID         string `yaml:"clientId"`         // oauth2_client_credentials: given to the control plane
	ClientSecretFile string `yaml:"clientSecretFile"` // oauth2_client_credentials: given to the control plane

	// What a token of the control plane must be.
	Issuer       string   `yaml:"issuer"`
	JWKSURL      string   `yaml:"jwksUrl"`
	Audience     string   `yaml:"audience,omitempty"`     // that tokens must name; default dataplaneId
	AnyAudience  bool     `yaml:"anyAudience,omitempty"`  // oauth2_client_credentials: tokens may name any audience, or none
	Subject      string   `yaml:"subject,omitempty"`      // who the control plane is; oauth2_client_credentials: default clientId
	SubjectClaim string   `yaml:"subjectClaim,omitempty"` // the claim that says it: sub (default) or client_id
	Scopes       []string `yaml:"scopes,omitempty"`       // that tokens must have, all of them; oauth2_token_exchange: at least one
	Reusable     bool     `yaml:"reusable,omitempty"`     // a token may come again, since the control plane keeps its tokens

	// What the control plane asks for in a token exchange, by our registration.
	Resource      string   `yaml:"resource,omitempty"`      // default Subject
	RequestScopes []string `yaml:"requestScopes,omitempty"` // default Scopes

	// What we ask for in a token exchange, for calls to the control plane.
	SubjectTokenFile string            `yaml:"subjectTokenFile,omitempty"` // the projected workload token, read anew each time
	Callback         SignalingCallback `yaml:"callback,omitempty"`
}

// SignalingCallback are the parameters of our token exchange for calls to the control plane.
type SignalingCallback struct {
	Resource string   `yaml:"resource,omitempty"` // who we are; default dataplaneId
	Audience string   `yaml:"audience,omitempty"` // who the control plane is
	Scopes   []string `yaml:"scopes,omitempty"`
}
