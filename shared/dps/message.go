package dps

import "encoding/json"

// The profiles of the HTTP transfer profile (Data Plane Signaling profiles, "HTTP"). The same string is the profile of a
// DPS message, the endpointType of its data address, and the format of the DCAT distribution.
const (
	ProfileHTTPPull = "https://w3id.org/dspace-sig/profile/http-pull"
	ProfileHTTPPush = "https://w3id.org/dspace-sig/profile/http-push"
)

// EndpointTypeHTTP is the endpointType of HTTP addresses in earlier drafts. Conformance tests still send it.
const EndpointTypeHTTP = "https://w3id.org/idsa/v4.1/HTTP"

// Names of the endpoint properties of the HTTP profile and the token renewal profile.
const (
	PropertyAuthorization   = "authorization"
	PropertyAuthType        = "authType"
	PropertyRefreshToken    = "refreshToken"
	PropertyExpiresIn       = "expiresIn"
	PropertyRefreshEndpoint = "refreshEndpoint"
)

// FlowMessage is the body of a DataFlowPrepareMessage and of a DataFlowStartMessage (DPS 1.0, sections on prepare and start):
// the two have the same members, but for DataAddress, which only a start may carry.
type FlowMessage struct {
	MessageID        string         `json:"messageId"`
	ParticipantID    string         `json:"participantId"`  // the DSP participant id (a DID) of the side that owns this data plane
	CounterPartyID   string         `json:"counterPartyId"` // the DSP participant id of the other side
	DataspaceContext string         `json:"dataspaceContext"`
	ProcessID        string         `json:"processId"` // the transfer process of the local control plane; our data flow id too
	AgreementID      string         `json:"agreementId"`
	DatasetID        string         `json:"datasetId"` // equals the DCAT dataset @id and the EDC asset id
	Profile          string         `json:"profile"`
	CallbackAddress  string         `json:"callbackAddress,omitempty"` // EDC up to 0.18 only: the signaling URL of the control plane, as it says
	Claims           map[string]any `json:"claims"`
	Labels           []string       `json:"labels,omitempty"`
	Metadata         map[string]any `json:"metadata,omitempty"`
	DataAddress      *DataAddress   `json:"dataAddress,omitempty"`
}

// StartedNotificationMessage is a DataFlowStartedNotificationMessage: the counterparty's data plane has started.
type StartedNotificationMessage struct {
	MessageID   string       `json:"messageId"`
	DataAddress *DataAddress `json:"dataAddress,omitempty"`
}

// ResumeMessage is a DataFlowResumeMessage.
type ResumeMessage struct {
	MessageID   string       `json:"messageId"`
	DataAddress *DataAddress `json:"dataAddress,omitempty"`
}

// SuspendMessage is a DataFlowSuspendMessage.
type SuspendMessage struct {
	MessageID string `json:"messageId"`
	Reason    string `json:"reason,omitempty"`
}

// TerminateMessage is a DataFlowTerminateMessage.
type TerminateMessage struct {
	MessageID string `json:"messageId"`
	Reason    string `json:"reason,omitempty"`
}

// StatusMessage is a DataFlowStatusMessage: the answer to prepare, start and resume, and the body of every callback.
type StatusMessage struct {
	MessageID   string       `json:"messageId"`
	DataFlowID  string       `json:"dataFlowId"`
	State       State        `json:"state"`
	DataAddress *DataAddress `json:"dataAddress,omitempty"`
	Error       string       `json:"error,omitempty"`
}

// StatusResponseMessage is a DataFlowStatusResponseMessage: the answer to GET status.
type StatusResponseMessage struct {
	DataFlowID string `json:"dataFlowId"`
	State      State  `json:"state"`
}

// DataAddress is a DSP 2025/1 data address. It holds secrets: it never goes into an event or a log.
type DataAddress struct {
	Type               string             `json:"@type"`
	EndpointType       string             `json:"endpointType"`
	Endpoint           string             `json:"endpoint"`
	EndpointProperties []EndpointProperty `json:"endpointProperties,omitempty"`
}

// EndpointProperty is a named value of a data address. Every value is a string, numbers too.
type EndpointProperty struct {
	Type  string `json:"@type"`
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Property returns the value of the first endpoint property with the name, or "".
func (a *DataAddress) Property(name string) string {
	if a == nil {
		return ""
	}
	for _, p := range a.EndpointProperties {
		if p.Name == name {
			return p.Value
		}
	}
	return ""
}

// Authorization is the authorization object of a registration message: how the other side gets tokens to call the
// registrant, and with which keys it verifies the tokens that the registrant sends.
type Authorization struct {
	Type string `json:"type"` // "oauth2_client_credentials" or "oauth2_token_exchange"

	// Of oauth2_client_credentials. JWKS and JWKSURI exclude each other.
	TokenEndpoint string          `json:"tokenEndpoint,omitempty"`
	ClientID      string          `json:"clientId,omitempty"`
	ClientSecret  string          `json:"clientSecret,omitempty"`
	JWKS          json.RawMessage `json:"jwks,omitempty"`

	JWKSURI string `json:"jwksUri,omitempty"` // of both

	// Of oauth2_token_exchange. Resource, Audience and Scope are what EDC asks for; the text has no members for them.
	TokenExchangeEndpoint string `json:"tokenExchangeEndpoint,omitempty"`
	Issuer                string `json:"issuer,omitempty"`
	Resource              string `json:"resource,omitempty"`
	Audience              string `json:"audience,omitempty"`
	Scope                 string `json:"scope,omitempty"`
}

// DataPlaneRegistrationMessage registers a data plane at a control plane. EDC up to HEAD of August 2026 reads TransferTypes
// and ignores Profiles, so both lists are sent, with the same content.
type DataPlaneRegistrationMessage struct {
	DataplaneID   string         `json:"dataplaneId"`
	Endpoint      string         `json:"endpoint"` // ends in /dataflows: EDC appends "/prepare" and so on
	Profiles      []string       `json:"profiles"`
	TransferTypes []string       `json:"transferTypes"`
	Labels        []string       `json:"labels"`
	Authorization *Authorization `json:"authorization,omitempty"`
}
