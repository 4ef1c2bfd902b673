package tenant

import (
	"slices"

	"github.com/tidegate/tidegate/shared/dps"
)

// Tenant is one tenant's document. Secrets stand in it only by reference: the name of a file.
// A Tenant is shared by all who read the registry: don't change it.
type Tenant struct {
	ParticipantContextID string         `yaml:"participantContextId"` // as EDC knows it; [A-Za-z0-9._-]{1,64}, beginning with a letter or digit
	DID                  string         `yaml:"did"`                  // the DSP participant id
	BPN                  string         `yaml:"bpn,omitempty"`
	Suspended            bool           `yaml:"suspended,omitempty"` // a suspended tenant is answered like an unknown one
	FunctionLine         string         `yaml:"line,omitempty"`      // the functions that serve it: "" = the shared ones, else those whose names end in -<line>
	ControlPlane         ControlPlane   `yaml:"controlPlane"`
	Auth                 Auth           `yaml:"auth"`
	Renewal              Renewal        `yaml:"renewal,omitempty"`
	Profiles             []Profile      `yaml:"profiles,omitempty"`
	Buckets              []Bucket       `yaml:"buckets"`
	Policies             []Policy       `yaml:"policies,omitempty"`
	Publish              []PublishRule  `yaml:"publish,omitempty"`
	Approve              Approve        `yaml:"approve,omitempty"`
	Subscribe            []Subscription `yaml:"subscribe,omitempty"`
	Sinks                []Sink         `yaml:"sinks,omitempty"`
	Limits               Limits         `yaml:"limits,omitempty"`

	file  string
	lines map[string]int
}

// Dialect names the spelling that a control plane speaks.
type Dialect string

// The dialects, see the gateway's documentation. EDCV is the default.
const (
	EDCV   Dialect = "edc-v"    // EDC HEAD of August 2026: "profile"
	EDC018 Dialect = "edc-0.18" // "transferType", "callbackAddress"
	EDC017 Dialect = "edc-0.17" // as 0.18, participant ids swapped on start
	EDC016 Dialect = "edc-0.16"
	DPS10  Dialect = "dps-1.0"
)

// Profile is a transfer profile that a function serves, or one of the gateway's own that a function has a say in.
type Profile struct {
	Profile string `yaml:"profile"` // as it stands in catalogs and in DPS messages; it ends in -pull or -push
	Hook    string `yaml:"hook"`    // the function's name; the gateway's configuration says where it is
	// ReportWithin is how long a flow of which the function has promised to a control plane that it will be prepared or started (202) waits
	// for it, before it ends; 0 = what the gateway is set to.
	ReportWithin Duration `yaml:"reportWithin,omitempty"`
}

// Tolerance names a fault of messages that is let pass.
type Tolerance string

// The tolerances. Conformance tests need them; no control plane does.
const (
	// ToleratePullWithoutAddress lets a started of a pull come without the data address. There is nothing to pull from then.
	ToleratePullWithoutAddress Tolerance = "pull-without-address"
	// TolerateHTTPAddressType takes the endpointType of earlier drafts, https://w3id.org/idsa/v4.1/HTTP, for that of a push.
	TolerateHTTPAddressType Tolerance = "http-address-type"
)

// ControlPlane tells where the tenant's control plane is and how it speaks.
type ControlPlane struct {
	Dialect       Dialect     `yaml:"dialect,omitempty"`
	Tolerate      []Tolerance `yaml:"tolerate,omitempty"`
	ManagementURL string      `yaml:"managementUrl"`         // without /v5beta
	SignalingURL  string      `yaml:"signalingUrl"`          // DPS callbacks go to <signalingUrl>/transfers/{id}/dataflow/…, whatever messages say
	IdentityURL   string      `yaml:"identityUrl,omitempty"` // Identity API
	Profile       string      `yaml:"profile"`               // dataspace profile, e.g. http-dsp-profile-2025-1
	Answers       string      `yaml:"answers,omitempty"`     // to prepare and start, where a function needs time: synchronous or asynchronous
	Signaling     Signaling   `yaml:"signaling"`
}

// Tolerates tells whether the tenant's document lets a fault pass.
func (c *ControlPlane) Tolerates(t Tolerance) bool { return slices.Contains(c.Tolerate, t) }

// Auth is how the application gets tokens for the Management and the Identity API.
type Auth struct {
	Type             string   `yaml:"type"` // client_credentials or token_exchange
	TokenEndpoint    string   `yaml:"tokenEndpoint"`
	ClientID         string   `yaml:"clientId,omitempty"`         // client_credentials
	ClientSecretFile string   `yaml:"clientSecretFile,omitempty"` // client_credentials
	SubjectTokenFile string   `yaml:"subjectTokenFile,omitempty"` // token_exchange: the projected workload token, read anew each time
	Audience         string   `yaml:"audience,omitempty"`         // token_exchange
	Scopes           []string `yaml:"scopes,omitempty"`
}

// Renewal is the tenant's part in the token renewal profile of Data Plane Signaling.
type Renewal struct {
	Offer  string     `yaml:"offer,omitempty"`  // of addresses that the tenant makes: long (default), short or off
	Demand bool       `yaml:"demand,omitempty"` // as consumer: refuse a pull whose data address can't be renewed
	Key    RenewalKey `yaml:"key,omitempty"`    // for addresses that others made: signs requests to renew; without it none is made
}

// RenewalKey is a key of the tenant's own DID document: in a file, or in Vault.
type RenewalKey struct {
	ID    string `yaml:"id"`             // of the verification method: <did>#<fragment>
	File  string `yaml:"file,omitempty"` // PEM (PKCS#8) or JWK, EC P-256, EC P-384 or Ed25519; read anew each time
	Vault Vault  `yaml:"vault,omitempty"`
}

// Vault names a key of a Vault transit engine, which signs without giving it out.
type Vault struct {
	URL       string `yaml:"url"`
	TokenFile string `yaml:"tokenFile"` // read anew each time
	Key       string `yaml:"key"`
	Version   int    `yaml:"version,omitempty"`   // of the key; 0 = the latest
	Mount     string `yaml:"mount,omitempty"`     // default transit
	Algorithm string `yaml:"algorithm,omitempty"` // ES256 (default), ES384 or EdDSA, as the key's type is
	Namespace string `yaml:"namespace,omitempty"` // Vault Enterprise
}

// Bucket is a place for objects: a folder or a bucket of an object store.
type Bucket struct {
	Name            string `yaml:"name"`
	URL             string `yaml:"url"`                       // file:///path or s3://bucket?region=…&endpoint=…
	CredentialsFile string `yaml:"credentialsFile,omitempty"` // s3: lines accessKey=… and secretKey=…
}

// Policy is a named pair of ODRL policies that publish rules refer to.
type Policy struct {
	Name     string         `yaml:"name"`
	Access   map[string]any `yaml:"access,omitempty"`   // who sees the offer; empty = everybody
	Contract map[string]any `yaml:"contract,omitempty"` // the terms of use; empty = use is permitted
}

// PublishRule says which objects of a bucket are published and how. The first rule that matches an object counts.
type PublishRule struct {
	Name     string            `yaml:"name"`
	Bucket   string            `yaml:"bucket"`
	Prefix   string            `yaml:"prefix,omitempty"`
	Exclude  []string          `yaml:"exclude,omitempty"` // path.Match patterns on the key's last segment
	Policy   string            `yaml:"policy"`
	Metadata map[string]string `yaml:"metadata,omitempty"` // extra asset properties; {key}, {name}, {bucket} are replaced
}

// Approve is the tenant's rules for negotiations, evaluated in order; the first that matches decides.
type Approve struct {
	Mode    string `yaml:"mode,omitempty"`    // veto (default) or watch
	Default string `yaml:"default,omitempty"` // approve, reject or review (default) when no rule matches
	Rules   []Rule `yaml:"rules,omitempty"`
}

// Rule is one rule of Approve. Variables of When: counterparty, claims, asset, offer, now; see docs.
type Rule struct {
	Name   string `yaml:"name"`
	When   string `yaml:"when"` // CEL, of type bool
	Then   string `yaml:"then"` // approve, reject or review
	Reason string `yaml:"reason,omitempty"`
}

// Subscription keeps the tenant supplied with datasets of one counterparty.
type Subscription struct {
	Name         string       `yaml:"name"`
	CounterParty CounterParty `yaml:"counterParty"`
	Filter       string       `yaml:"filter,omitempty"`    // CEL over dataset, of type bool; empty = all
	Accept       string       `yaml:"accept,omitempty"`    // CEL over offer and dataset, of type bool; empty = only offers without constraints
	Sink         string       `yaml:"sink,omitempty"`      // needed by HTTP; a function that serves the profile knows by itself where the data goes
	Direction    string       `yaml:"direction,omitempty"` // of HTTP, pull (default): we fetch; push: the counterparty sends
	Profile      string       `yaml:"profile,omitempty"`   // transfer profile: an entry of profiles; empty = HTTP in the direction
	Every        Duration     `yaml:"every,omitempty"`     // least time between two looks at the catalog
}

// TransferType is the transfer profile by which a subscription has its data moved, as catalogs spell it.
func (s Subscription) TransferType() string {
	switch {
	case s.Profile != "":
		return s.Profile
	case s.Direction == DirectionPush:
		return dps.ProfileHTTPPush
	}
	return dps.ProfileHTTPPull
}

// OverHTTP tells whether the data comes by HTTP and is delivered to the sink; if not, a function serves the profile and has it.
func (s Subscription) OverHTTP() bool { return dps.IsHTTP(s.TransferType()) }

// CounterParty is another participant.
type CounterParty struct {
	ID      string `yaml:"id"`
	Address string `yaml:"address"` // its DSP URL, with participant context and profile
}

// Sink is where data that was pulled goes.
type Sink struct {
	Name   string `yaml:"name"`
	Bucket string `yaml:"bucket"`
	Prefix string `yaml:"prefix,omitempty"`
}

// Limits bound what one tenant may use; 0 = the gateway's default.
type Limits struct {
	ConcurrentStreams int   `yaml:"concurrentStreams,omitempty"`
	RequestsPerSecond int   `yaml:"requestsPerSecond,omitempty"`
	BytesPerSecond    int64 `yaml:"bytesPerSecond,omitempty"`
}

// Line returns the line of a field's path (like "approve.rules[2].when") in the document; 0 if it is not there.
func (t *Tenant) Line(path string) int { return t.lines[path] }

// File returns the file that the document was read from.
func (t *Tenant) File() string { return t.file }

// Bucket returns the bucket of a name.
func (t *Tenant) Bucket(name string) (Bucket, bool) {
	return find(t.Buckets, func(b Bucket) bool { return b.Name == name })
}

// Sink returns the sink of a name.
func (t *Tenant) Sink(name string) (Sink, bool) {
	return find(t.Sinks, func(s Sink) bool { return s.Name == name })
}

// Hook returns the function that serves a transfer profile, "" if none does.
func (t *Tenant) Hook(profile string) string {
	p, _ := find(t.Profiles, func(p Profile) bool { return p.Profile == profile })
	return p.Hook
}

// Policy returns the policy of a name.
func (t *Tenant) Policy(name string) (Policy, bool) {
	return find(t.Policies, func(p Policy) bool { return p.Name == name })
}

func find[T any](list []T, match func(T) bool) (T, bool) {
	if i := slices.IndexFunc(list, match); i >= 0 {
		return list[i], true
	}
	var none T
	return none, false
}
