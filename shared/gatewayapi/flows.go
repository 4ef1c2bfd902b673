package gatewayapi

import (
	"time"

	"github.com/tidegate/tidegate/shared/dps"
)

// Flow is a data flow as functions and operators see it: without its data address.
type Flow struct {
	ParticipantContextID string         `json:"participantContextId"`
	DataFlowID           string         `json:"dataFlowId"` // equals the transfer process id
	State                dps.State      `json:"state"`
	Role                 dps.Role       `json:"role"`
	Direction            dps.Direction  `json:"direction"`
	Profile              string         `json:"profile"`
	ParticipantID        string         `json:"participantId"`
	CounterPartyID       string         `json:"counterPartyId"`
	DataspaceContext     string         `json:"dataspaceContext"`
	AgreementID          string         `json:"agreementId"`
	DatasetID            string         `json:"datasetId"`
	Claims               map[string]any `json:"claims,omitempty"`
	Labels               []string       `json:"labels,omitempty"`
	Metadata             map[string]any `json:"metadata,omitempty"`
	Reason               string         `json:"reason,omitempty"`
	Hook                 string         `json:"hook,omitempty"` // the function that serves the profile, if one does
	Revision             int64          `json:"revision"`       // rises with every transition
	CreatedAt            time.Time      `json:"createdAt"`
	UpdatedAt            time.Time      `json:"updatedAt"`
}

// Agreement is the agreement under which a data flow moves data, as the control plane tells it.
type Agreement struct {
	ID         string         `json:"id"` // that both sides share, where the control plane tells it
	DatasetID  string         `json:"datasetId"`
	ProviderID string         `json:"providerId"`
	ConsumerID string         `json:"consumerId"`
	SignedAt   time.Time      `json:"signedAt,omitzero"`
	Policy     map[string]any `json:"policy"` // ODRL, as the control plane writes it
}

// Page is one page of a listing. Next is the value of the query parameter after for the next one; empty at the end.
type Page[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty"`
}

// ErroredRequest reports that a flow cannot go on.
type ErroredRequest struct {
	Reason string `json:"reason"`
}

// RenewRequest asks for a data address with another access token than one that the other side has refused.
type RenewRequest struct {
	Refused string `json:"refused"` // SHA-256 of that token, in hexadecimal digits
}

// VerdictRequest is a person's verdict on a decision that is in review.
type VerdictRequest struct {
	Verdict Verdict `json:"verdict"` // approved or rejected
	By      string  `json:"by"`
	Reason  string  `json:"reason"`
}

// Parked is an event or a callback that was given up after its retries.
type Parked struct {
	ID                   string    `json:"id"`
	ParticipantContextID string    `json:"participantContextId"` // "-" for work that belongs to no tenant
	Lane                 string    `json:"lane"`                 // "event", "callback", "terminate" (outbox lanes) or "deadletter" (from the broker)
	Reason               string    `json:"reason"`
	Subject              string    `json:"subject"` // the flow or the event's subject
	EventType            string    `json:"eventType,omitempty"`
	EventID              string    `json:"eventId,omitempty"`
	ParkedAt             time.Time `json:"parkedAt"`
}

// TenantStatus is what an operator sees of a tenant.
type TenantStatus struct {
	ParticipantContextID string   `json:"participantContextId"`
	Registered           bool     `json:"registered"` // the data plane is registered at the tenant's control plane
	Problems             []string `json:"problems,omitempty"`
}
