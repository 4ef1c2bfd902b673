// Package config reads the one YAML file that describes a sandbox dataspace: who takes part, who may call, where events go,
// how fast things are and how badly they behave. The file is read strictly: an unknown key, a missing value or a contradiction
// is an error that names file, line and field, and all of them are reported together.
package config

import "time"

// Config is the whole file.
type Config struct {
	Listen    string `yaml:"listen"`    // host:port of the one listener
	PublicURL string `yaml:"publicURL"` // how others reach it, without a trailing slash; default "http://" + listen
	StateDir  string `yaml:"stateDir"`  // one directory; relative to the file. Everything survives a restart here
	Sync      bool   `yaml:"sync"`      // fsync every change; without it a kill loses nothing, a power cut may
	Hostname  string `yaml:"hostname"`  // the source of the events, as edc.hostname; default "localhost"

	AdminKey     string `yaml:"adminKey"`     // bearer of the /sandbox surface, beside tokens with management-api:admin
	AdminKeyFile string `yaml:"adminKeyFile"` // the same, from a file

	// Agreements serves GET /signaling/transfers/{id}/agreement (DPS 1.0), which EDC of August 2026 does not.
	Agreements bool `yaml:"agreements"`

	IDP            IDP             `yaml:"idp"`
	Participants   []Participant   `yaml:"participants"`
	CELExpressions []CELExpression `yaml:"celExpressions"`
	Events         Events          `yaml:"events"`
	Callbacks      []Callback      `yaml:"callbacks"`
	Delays         Delays          `yaml:"delays"`
}

// IDP is the identity provider: OAuth2 token endpoint {publicURL}/idp/oauth/token, keys {publicURL}/idp/keys, issuer {publicURL}/idp.
type IDP struct {
	Algorithm string        `yaml:"algorithm"` // ES256 (default) or RS256
	TokenTTL  time.Duration `yaml:"tokenTTL"`  // life of an access token; default 5m
	Clients   []Client      `yaml:"clients"`   // those that belong to no participant, such as the admin
	Exchange  Exchange      `yaml:"exchange"`
}

// The roles of a client: they only choose the defaults of subject and scopes.
const (
	RoleApplication  = "application"  // subject: the participant context; scopes management-api:read and write
	RoleControlPlane = "controlplane" // subject: the client id; no scopes. EDC calls data planes with it
	RoleDataPlane    = "dataplane"    // subject: the client id; no scopes. A data plane calls back with it
	RoleAdmin        = "admin"        // subject: the client id; scope management-api:admin
	RoleWorkload     = "workload"     // subject: the client id; its token is good as the subject token of an exchange
)

// Client is an OAuth2 client with a secret.
type Client struct {
	ID         string        `yaml:"id"`
	Secret     string        `yaml:"secret"`     // inline, or
	SecretFile string        `yaml:"secretFile"` // the first line of a file, relative to the configuration
	Role       string        `yaml:"role"`       // default application
	Subject    string        `yaml:"subject"`    // claim sub; default by role
	Scopes     []string      `yaml:"scopes"`     // claim scope; default by role
	Audience   []string      `yaml:"audience"`   // claim aud; default the client id
	TokenTTL   time.Duration `yaml:"tokenTTL"`   // default idp.tokenTTL
}

// Exchange configures RFC 8693 token exchange as jwtlet does it. It is off while Mappings is empty.
type Exchange struct {
	SubjectAudience string            `yaml:"subjectAudience"` // the aud that a subject token must carry; "" = not checked
	Issuers         []SubjectIssuer   `yaml:"issuers"`         // whose subject tokens are good, beside the sandbox's own
	Tiers           map[string]string `yaml:"tiers"`           // requested scope → claim scope; defaults read, write, admin
	Mappings        []Mapping         `yaml:"mappings"`
}

// SubjectIssuer is an issuer of subject tokens, such as a Kubernetes API server.
type SubjectIssuer struct {
	Issuer   string `yaml:"issuer"`
	JWKSURL  string `yaml:"jwksURL"`
	JWKSFile string `yaml:"jwksFile"`
}

// Mapping lets a workload act for a participant context.
type Mapping struct {
	Client             string   `yaml:"client"` // the sub of the subject token
	ParticipantContext string   `yaml:"participantContext"`
	Resource           string   `yaml:"resource"`  // what is asked for, and becomes the sub; default participantContext
	Scopes             []string `yaml:"scopes"`    // tiers
	Audiences          []string `yaml:"audiences"` // default edcv
}

// Participant is a participant context, upserted at every start.
type Participant struct {
	ID           string            `yaml:"id"`       // participant context id
	Identity     string            `yaml:"identity"` // DSP participant id, a DID
	Dialect      string            `yaml:"dialect"`  // head (default), 0.18, 0.17, 0.16: how data planes are spoken to
	Claims       map[string]any    `yaml:"claims"`   // what this participant's credentials say about it to counterparties
	Properties   map[string]string `yaml:"properties"`
	Clients      []Client          `yaml:"clients"`
	Misbehaviour *Misbehaviour     `yaml:"misbehaviour"`

	// ControlPlane makes this participant's side of the control plane register itself at its data planes. EDC does not.
	ControlPlane *ControlPlane `yaml:"controlPlane"`

	// DIDKeyFile is a key, PEM (PKCS#8 or PKIX) or JWK, whose public part the sandbox publishes in the participant's DID document as
	// "#key-1": {publicURL}/did/{id}/did.json, for an identity "did:web:<host>%3A<port>:did:<id>" of the sandbox's own address.
	DIDKeyFile string `yaml:"didKeyFile"`
}

// ControlPlane is a control plane of DPS 1.0 that registers itself (ControlPlaneRegistrationMessage, oauth2_client_credentials): its signals
// bear tokens that it signs itself, with the keys of the identity provider, and callbacks must bear one of the client that it names.
type ControlPlane struct {
	ID         string `yaml:"id"`         // controlplaneId, the sub of its tokens
	Client     string `yaml:"client"`     // the id of one of the participant's clients: data planes get their tokens as it
	Secret     string `yaml:"secret"`     // bearer of the registration itself; without it the control plane's own token
	SecretFile string `yaml:"secretFile"` // the same, from a file
}

// The dialects of Data Plane Signaling.
const (
	DialectHead = "head"
	Dialect018  = "0.18"
	Dialect017  = "0.17"
	Dialect016  = "0.16"
)

// CELExpression gives a left operand of policies its meaning.
type CELExpression struct {
	ID          string   `yaml:"id" json:"id"`
	LeftOperand string   `yaml:"leftOperand" json:"leftOperand"`
	Expression  string   `yaml:"expression" json:"expression"`
	Scopes      []string `yaml:"scopes" json:"scopes"` // catalog, contract.negotiation, transfer.process; default *.
	Description string   `yaml:"description" json:"description"`
}

// Events says where CloudEvents go.
type Events struct {
	Sink    string        `yaml:"sink"`    // "" = nowhere
	Timeout time.Duration `yaml:"timeout"` // of one POST; default 5s
}

// Callback is a static callback, as edc.callback.<alias>.*.
type Callback struct {
	Alias         string        `yaml:"alias"`
	URI           string        `yaml:"uri"`
	Events        []string      `yaml:"events"`        // prefixes of event names
	Transactional bool          `yaml:"transactional"` // called before the state change is answered; a refusal fails it
	AuthHeader    string        `yaml:"authHeader"`    // header name
	AuthValueFile string        `yaml:"authValueFile"` // header value
	AuthValue     string        `yaml:"-"`             // read from the file
	Timeout       time.Duration `yaml:"timeout"`       // default 30s
}

// Delays is how long things take. All are durations.
type Delays struct {
	Step       time.Duration `yaml:"step"`       // before each step of a state machine; default 5ms
	Retry      time.Duration `yaml:"retry"`      // between attempts of a refused DSP message; default 250ms
	Retries    int           `yaml:"retries"`    // attempts of a DSP message answered with 5xx; default 4
	IORetries  int           `yaml:"ioRetries"`  // attempts of a data plane call that fails without an answer; default 6
	IOBackoff  time.Duration `yaml:"ioBackoff"`  // before the second attempt, doubled each time up to 10s; default 500ms
	DPSTimeout time.Duration `yaml:"dpsTimeout"` // of one data plane call; default 30s
}

// Misbehaviour is what goes wrong on purpose for one participant. Rates are probabilities from 0 to 1. Decision number n of
// a kind is a pure function of (Seed, participant context, kind, n): the same calls in the same order meet the same fate.
type Misbehaviour struct {
	Seed            uint64  `yaml:"seed" json:"seed"`
	Slow            Range   `yaml:"slow" json:"slow"`                           // management calls wait this long first
	ErrorRate       float64 `yaml:"errorRate" json:"errorRate"`                 // management calls answered 5xx without effect
	ErrorAfterRate  float64 `yaml:"errorAfterRate" json:"errorAfterRate"`       // management calls answered 5xx after they had their effect
	DuplicateEvents float64 `yaml:"duplicateEvents" json:"duplicateEvents"`     // events sent twice
	LoseEvents      float64 `yaml:"loseEvents" json:"loseEvents"`               // events never sent
	ReorderEvents   float64 `yaml:"reorderEvents" json:"reorderEvents"`         // events held back until after the next one
	DuplicateDPS    float64 `yaml:"duplicateDps" json:"duplicateDps"`           // data plane calls made twice, the same message
	DuplicateDPSNew float64 `yaml:"duplicateDpsNewId" json:"duplicateDpsNewId"` // data plane calls made twice, the second with a new messageId
	RefuseCallbacks int     `yaml:"refuseCallbacks" json:"refuseCallbacks"`     // the first so many callbacks of each process answered 401
}

// Range is a span of milliseconds, both ends included.
type Range struct {
	MinMS int `yaml:"minMs" json:"minMs"`
	MaxMS int `yaml:"maxMs" json:"maxMs"`
}
