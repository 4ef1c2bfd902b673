package gatewayapi

import (
	"encoding/json"
	"time"
)

// Kind names a kind of record; it is the path segment.
type Kind string

// The kinds of records.
const (
	KindDataset  Kind = "datasets"   // id: the dataset id, which is the EDC asset id
	KindDecision Kind = "decisions"  // id: the negotiation id at the deciding side, or "agreement:" + agreement id, see Decision
	KindSupply   Kind = "supplies"   // id: SupplyID(subscription, dataset id)
	KindDelivery Kind = "deliveries" // id: the data flow id
	KindPush     Kind = "pushes"     // id: the data flow id
)

// Dataset tells where the bytes of a published dataset are and what they must be. asset-publisher writes it before the asset
// exists at the control plane; the gateway and data-server read it; the sweep compares it with the bucket.
type Dataset struct {
	ID                 string    `json:"id"`
	Bucket             string    `json:"bucket"` // the name of the bucket in the tenant's document, never its URL
	Key                string    `json:"key"`
	Rule               string    `json:"rule"`           // the publish rule that matched
	Size               int64     `json:"size"`           // bytes
	SHA256             string    `json:"sha256"`         // of the content, lower-case hex; it is the dataset's version
	StoreETag          string    `json:"storeEtag"`      // the object store's own tag for these bytes; tells a change without reading
	ContentType        string    `json:"contentType"`    // media type
	Modified           time.Time `json:"modified"`       // last change of the object
	PublishedAt        time.Time `json:"publishedAt"`    // when the control plane had this version
	Withdrawn          bool      `json:"withdrawn"`      // the offer is gone; open streams of the dataset are cut
	AccessPolicyID     string    `json:"accessPolicyId"` // ids at the control plane
	ContractPolicyID   string    `json:"contractPolicyId"`
	ContractDefinition string    `json:"contractDefinitionId"`
	Terms              string    `json:"terms,omitempty"`    // digest of what the tenant's document said of the offer: another one means that it has changed
	Replaces           string    `json:"replaces,omitempty"` // SHA256 of the version that was on offer before this one
	CausedBy           string    `json:"causedBy,omitempty"` // id of the event that brought the control plane to this state; only its repetition is answered again
}

// Verdict is the outcome of a decision.
type Verdict string

// The verdicts.
const (
	Approved Verdict = "approved"
	Rejected Verdict = "rejected"
	Review   Verdict = "review" // a person must decide; until then no byte flows
)

// Decision is the record of why a counterparty may or may not have a dataset. It is written once per negotiation and
// once more, under AgreementRecordID, when the agreement's id is known: that one is what a provider start looks for.
// Only a person's verdict replaces a Review.
type Decision struct {
	ID             string          `json:"id"`
	NegotiationID  string          `json:"negotiationId,omitempty"`
	AgreementID    string          `json:"agreementId,omitempty"`
	DatasetID      string          `json:"datasetId"`
	CounterPartyID string          `json:"counterPartyId"`
	Verdict        Verdict         `json:"verdict"`
	Rule           string          `json:"rule"`            // the rule's name; "default" if none matched; "person" for a person's verdict
	Reason         string          `json:"reason"`          // for the counterparty and the record
	By             string          `json:"by"`              // "rules" or the person's name
	Mode           string          `json:"mode"`            // the tenant's approve mode: "veto" or "watch"
	DecidedAt      time.Time       `json:"decidedAt"`       //
	Input          json.RawMessage `json:"input,omitempty"` // what the rules saw, for the audit
}

// AgreementRecordID is the id of the decision record of an agreement.
func AgreementRecordID(agreementID string) string { return "agreement:" + agreementID }

// SupplyState says how far a subscription's supply of one dataset is.
type SupplyState string

// The states of a supply, in order.
const (
	SupplyNegotiating  SupplyState = "negotiating"
	SupplyAgreed       SupplyState = "agreed"
	SupplyTransferring SupplyState = "transferring"
	SupplyDelivered    SupplyState = "delivered"
	SupplyFailed       SupplyState = "failed" // will be tried again at NextAttempt
)

// Supply is subscription-manager's memory of one dataset of one counterparty: it makes sure that one negotiation and one
// transfer per version are under way, whoever runs, however often.
type Supply struct {
	ID                string      `json:"id"`
	Subscription      string      `json:"subscription"`
	CounterPartyID    string      `json:"counterPartyId"`
	DatasetID         string      `json:"datasetId"`
	State             SupplyState `json:"state"`
	Version           string      `json:"version"`            // the SHA-256 that the catalog offered for what is under way
	Name              string      `json:"name"`               // the key at the sink, without its prefix: the dataset's name in the catalog, made unique
	Size              int64       `json:"size"`               // bytes, as the catalog says; -1 = unsaid
	ClaimedAt         time.Time   `json:"claimedAt,omitzero"` // when the start of the negotiation was claimed
	NegotiationID     string      `json:"negotiationId,omitempty"`
	AgreementID       string      `json:"agreementId,omitempty"`
	TransferProcessID string      `json:"transferProcessId,omitempty"`
	DeliveredVersion  string      `json:"deliveredVersion,omitempty"`
	Sequence          int         `json:"sequence"`    // rises with each version and each try: the transfer's id follows from it
	Attempts          int         `json:"attempts"`    // failures in a row
	NextAttempt       time.Time   `json:"nextAttempt"` // not to be tried again before; while a negotiation has no id yet, not to be looked for before
	LastError         string      `json:"lastError,omitempty"`
	UpdatedAt         time.Time   `json:"updatedAt"`
}

// Delivery is the memory of one consumer's flow, transfer-puller's on pull and the gateway's on push: what is being written where. The bytes' progress itself is at the sink.
type Delivery struct {
	ID        string          `json:"id"` // the data flow id
	DatasetID string          `json:"datasetId"`
	Sink      string          `json:"sink"`
	Key       string          `json:"key"`
	Size      int64           `json:"size"`             // bytes; -1 = not known yet
	SHA256    string          `json:"sha256,omitempty"` // as the provider says; empty = not known yet
	Offset    int64           `json:"offset"`           // bytes safely at the sink when this was written
	Upload    json.RawMessage `json:"upload,omitempty"` // the object store's own state of a resumable upload
	Slices    int             `json:"slices"`
	Done      bool            `json:"done"`
	UpdatedAt time.Time       `json:"updatedAt"`

	ETag        string    `json:"etag,omitempty"`        // the provider's strong entity tag of the bytes at the sink, for If-Range
	ContentType string    `json:"contentType,omitempty"` // as the provider says
	Resumed     bool      `json:"resumed,omitempty"`     // a partial object was continued
	Attempts    int       `json:"attempts,omitempty"`    // refusals and broken promises of the provider so far
	LeaseOwner  string    `json:"leaseOwner,omitempty"`  // the invocation that is at work on this flow
	LeaseUntil  time.Time `json:"leaseUntil,omitzero"`   // when the owner is taken for dead unless it has renewed
}

// Push is transfer-pusher's memory of one provider's flow: what is being sent. How much of it has arrived only the consumer knows.
type Push struct {
	ID         string    `json:"id"` // the data flow id
	DatasetID  string    `json:"datasetId"`
	Size       int64     `json:"size"`             // bytes
	SHA256     string    `json:"sha256,omitempty"` // of what is being sent; empty = not begun
	Offset     int64     `json:"offset"`           // bytes sent, or there according to the consumer, when this was written
	Slices     int       `json:"slices"`
	Done       bool      `json:"done"`               // nothing more is to be sent
	Failed     string    `json:"failed,omitempty"`   // why the flow was given up
	Attempts   int       `json:"attempts,omitempty"` // refusals of the consumer so far
	LeaseOwner string    `json:"leaseOwner,omitempty"`
	LeaseUntil time.Time `json:"leaseUntil,omitzero"` // when the owner is taken for dead unless it has renewed
	UpdatedAt  time.Time `json:"updatedAt"`
}

// SupplyID is the id of the supply record of a dataset under a subscription.
func SupplyID(subscription, datasetID string) string { return subscription + ":" + datasetID }
