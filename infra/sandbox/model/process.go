package model

// The two sides of a process.
const (
	Consumer = "CONSUMER"
	Provider = "PROVIDER"
)

// The states of a negotiation.
const (
	Initial     = "INITIAL"
	Requesting  = "REQUESTING"
	Requested   = "REQUESTED"
	Agreeing    = "AGREEING"
	Agreed      = "AGREED"
	Verifying   = "VERIFYING"
	Verified    = "VERIFIED"
	Finalizing  = "FINALIZING"
	Finalized   = "FINALIZED"
	Terminating = "TERMINATING"
	Terminated  = "TERMINATED"
)

// Further states of a transfer.
const (
	PreparationRequested = "PREPARATION_REQUESTED"
	Starting             = "STARTING"
	StartupRequested     = "STARTUP_REQUESTED"
	Started              = "STARTED"
	Suspending           = "SUSPENDING"
	Suspended            = "SUSPENDED"
	Resuming             = "RESUMING"
	Resumed              = "RESUMED"
	Completing           = "COMPLETING"
	Completed            = "COMPLETED"
)

// NegotiationCodes and TransferCodes are the numbers of the states, which a query may use.
var (
	NegotiationCodes = map[string]int{
		Initial: 50, Requesting: 100, Requested: 200, Agreeing: 825, Agreed: 850, Verifying: 1050, Verified: 1100,
		Finalizing: 1150, Finalized: 1200, Terminating: 1300, Terminated: 1400,
	}
	TransferCodes = map[string]int{
		Initial: 100, PreparationRequested: 250, Requesting: 400, Requested: 500, Starting: 550, StartupRequested: 570,
		Started: 600, Suspending: 650, Suspended: 700, Resuming: 720, Resumed: 725, Completing: 750, Completed: 800,
		Terminating: 825, Terminated: 850,
	}
)

// Offer is a contract offer.
type Offer struct {
	ID      string `json:"id"`
	AssetID string `json:"assetId"`
	Policy  Policy `json:"policy"`
}

// Negotiation is one side of a contract negotiation.
type Negotiation struct {
	Owned

	Type                string            `json:"type"`
	State               string            `json:"state"`
	StateTimestamp      int64             `json:"stateTimestamp"`
	Protocol            string            `json:"protocol"`
	CounterPartyID      string            `json:"counterPartyId"`
	CounterPartyAddress string            `json:"counterPartyAddress"`
	CorrelationID       string            `json:"correlationId,omitempty"`
	CallbackAddresses   []CallbackAddress `json:"callbackAddresses"`
	Offer               Offer             `json:"offer"`
	AgreementID         string            `json:"agreementId,omitempty"` // of the local agreement
	ErrorDetail         string            `json:"errorDetail,omitempty"`
	Unanswered          bool              `json:"unanswered,omitempty"` // the blocking callbacks have not let the request pass yet
	Vetoed              bool              `json:"vetoed,omitempty"`     // one of them has refused it; nothing happens to this row any more
}

// Agreement is one side's copy of a contract agreement.
type Agreement struct {
	Owned

	AgreementID   string         `json:"agreementId"` // shared by both sides
	PolicyID      string         `json:"policyId"`
	NegotiationID string         `json:"negotiationId"`
	AssetID       string         `json:"assetId"`
	ProviderID    string         `json:"providerId"`
	ConsumerID    string         `json:"consumerId"`
	SigningDate   int64          `json:"signingDate"` // s since 1970
	Policy        Policy         `json:"policy"`
	Claims        map[string]any `json:"claims"`
}

// Transfer is one side of a transfer process. DataAddress holds secrets.
type Transfer struct {
	Owned

	Type                string             `json:"type"`
	State               string             `json:"state"`
	StateTimestamp      int64              `json:"stateTimestamp"`
	Protocol            string             `json:"protocol"`
	CounterPartyID      string             `json:"counterPartyId"`
	CounterPartyAddress string             `json:"counterPartyAddress"`
	CorrelationID       string             `json:"correlationId,omitempty"`
	CallbackAddresses   []CallbackAddress  `json:"callbackAddresses"`
	AssetID             string             `json:"assetId"`
	ContractID          string             `json:"contractId"` // the local agreement
	TransferType        string             `json:"transferType"`
	DataplaneMetadata   *DataplaneMetadata `json:"dataplaneMetadata,omitempty"`
	PrivateProperties   map[string]any     `json:"privateProperties,omitempty"`
	ErrorDetail         string             `json:"errorDetail,omitempty"`
	DataPlaneID         string             `json:"dataPlaneId,omitempty"` // known once prepare or start was answered
	Owner               bool               `json:"owner,omitempty"`       // this side's data plane gave the data address
	DataAddress         *DataAddress       `json:"dataAddress,omitempty"` // the one in force, own or received
}

// DataAddress is a data address in DSP form.
type DataAddress struct {
	EndpointType string            `json:"endpointType"`
	Endpoint     string            `json:"endpoint"`
	Properties   map[string]string `json:"properties,omitempty"`
}

// Task is a step of a state machine that is still to be done. It is written in the same transaction as the state that
// calls for it, so that a killed sandbox goes on where it was.
type Task struct {
	ID        string `json:"id"`
	Kind      string `json:"kind"`
	ProcessID string `json:"processId"`
	State     string `json:"state"` // the state that the process must be in; if it is not, the task is moot
	Attempt   int    `json:"attempt"`
	NotBefore int64  `json:"notBefore"` // ms since 1970
	Reason    string `json:"reason,omitempty"`
}
