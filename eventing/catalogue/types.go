package catalogue

import "time"

// The types of Tidegate's events: io.tidegate.<entity>.<past-tense>.v1.
const (
	ObjectCreated   = "io.tidegate.object.created.v1"
	ObjectChanged   = "io.tidegate.object.changed.v1"
	ObjectRemoved   = "io.tidegate.object.removed.v1"
	ObjectDelivered = "io.tidegate.object.delivered.v1"

	DatasetPublished = "io.tidegate.dataset.published.v1"
	DatasetWithdrawn = "io.tidegate.dataset.withdrawn.v1"

	NegotiationInitiated  = "io.tidegate.negotiation.initiated.v1" // by us, as consumer
	NegotiationRequested  = "io.tidegate.negotiation.requested.v1" // hint from the control plane, either side
	NegotiationDecided    = "io.tidegate.negotiation.decided.v1"
	NegotiationFinalized  = "io.tidegate.negotiation.finalized.v1"
	NegotiationTerminated = "io.tidegate.negotiation.terminated.v1"

	VerdictGiven = "io.tidegate.verdict.given.v1" // a person decided

	TransferRequested  = "io.tidegate.transfer.requested.v1" // by us, as consumer
	TransferProgressed = "io.tidegate.transfer.progressed.v1"
	TransferTerminated = "io.tidegate.transfer.terminated.v1" // hint from the control plane

	DataFlowPrepared   = "io.tidegate.dataflow.prepared.v1"
	DataFlowStarted    = "io.tidegate.dataflow.started.v1"
	DataFlowSuspended  = "io.tidegate.dataflow.suspended.v1"
	DataFlowResumed    = "io.tidegate.dataflow.resumed.v1"
	DataFlowCompleted  = "io.tidegate.dataflow.completed.v1"
	DataFlowTerminated = "io.tidegate.dataflow.terminated.v1"

	// Schedule is the type that a Knative PingSource gives its events; the extension "schedule" names which one it is.
	Schedule = "dev.knative.sources.ping"
)

// Extension attributes. CloudEvents allows lower-case letters and digits only.
const (
	ExtParticipantContextID = "participantcontextid" // on every event but Schedule
	ExtSchedule             = "schedule"             // on Schedule events: one of the Schedule… values
	ExtPartitionKey         = "partitionkey"         // orders events of one flow on a Kafka broker
	ExtTraceParent          = "traceparent"
	ExtFlowRole             = "flowrole"      // on dataflow events and transfer.progressed: CONSUMER or PROVIDER, for Triggers to look at
	ExtFlowDirection        = "flowdirection" // on dataflow events: PULL or PUSH
)

// The schedules: each wakes one function for all tenants.
const (
	ScheduleSweep     = "sweep"     // bucket-events: compare the buckets with what is published
	ScheduleReconcile = "reconcile" // negotiation-approver: find negotiations whose events were lost
	ScheduleSupply    = "supply"    // subscription-manager: compare the catalogs with what was delivered
)

// Object is the data of object.created, object.changed and object.removed. Subject: <bucket>/<key>.
type Object struct {
	Bucket      string    `json:"bucket" schema:"nonempty"` // the bucket's name in the tenant's document
	Key         string    `json:"key" schema:"nonempty"`
	Size        int64     `json:"size" schema:"min=0"` // bytes; 0 when removed
	StoreETag   string    `json:"storeEtag,omitempty"`
	ContentType string    `json:"contentType,omitempty"`
	Modified    time.Time `json:"modified,omitzero"`
}

// Delivered is the data of object.delivered. Subject: <sink>/<key>.
type Delivered struct {
	DataFlowID     string `json:"dataFlowId" schema:"nonempty"`
	DatasetID      string `json:"datasetId"`
	AgreementID    string `json:"agreementId"`
	CounterPartyID string `json:"counterPartyId"`
	Sink           string `json:"sink"`
	Key            string `json:"key"`
	Size           int64  `json:"size" schema:"min=0"`    // bytes
	SHA256         string `json:"sha256" schema:"sha256"` // of the content, lower-case hex
	Slices         int    `json:"slices" schema:"min=0"`  // invocations it took
	Resumed        bool   `json:"resumed"`                // a partial object was continued
}

// Dataset is the data of dataset.published and dataset.withdrawn. Subject: the dataset id.
type Dataset struct {
	DatasetID string `json:"datasetId" schema:"nonempty"`
	Bucket    string `json:"bucket"`
	Key       string `json:"key"`
	Rule      string `json:"rule,omitempty"`                   // the publish rule that matched
	Size      int64  `json:"size" schema:"min=0"`              // bytes
	SHA256    string `json:"sha256,omitempty" schema:"sha256"` // of the content, lower-case hex
	Replaced  bool   `json:"replaced"`                         // a newer version of a dataset that was published before
}

// Negotiation is the data of negotiation.initiated, .requested, .finalized and .terminated. Subject: the negotiation id.
type Negotiation struct {
	NegotiationID       string `json:"negotiationId" schema:"nonempty"`
	CounterPartyID      string `json:"counterPartyId"`
	CounterPartyAddress string `json:"counterPartyAddress,omitempty"`
	DatasetID           string `json:"datasetId,omitempty"`
	AgreementID         string `json:"agreementId,omitempty"` // the local agreement id, on finalized
	Reason              string `json:"reason,omitempty"`
}

// Decided is the data of negotiation.decided. Subject: the negotiation id, or the agreement id if that is not known.
type Decided struct {
	NegotiationID  string `json:"negotiationId,omitempty"`
	AgreementID    string `json:"agreementId,omitempty"`
	DatasetID      string `json:"datasetId"`
	CounterPartyID string `json:"counterPartyId"`
	Verdict        string `json:"verdict" schema:"enum=approved|rejected|review"` // approved, rejected or review
	Rule           string `json:"rule"`
	Reason         string `json:"reason"`
	By             string `json:"by"`
}

// Verdict is the data of verdict.given. Subject: the decision's id.
type Verdict struct {
	DecisionID string `json:"decisionId" schema:"nonempty"`
	Verdict    string `json:"verdict" schema:"enum=approved|rejected"` // approved or rejected
	By         string `json:"by" schema:"nonempty"`
	Reason     string `json:"reason"`
}

// Transfer is the data of transfer.requested, .progressed and .terminated. Subject: the transfer process id.
type Transfer struct {
	TransferProcessID string `json:"transferProcessId" schema:"nonempty"`
	DatasetID         string `json:"datasetId"`
	AgreementID       string `json:"agreementId,omitempty"`
	CounterPartyID    string `json:"counterPartyId,omitempty"`
	Offset            int64  `json:"offset,omitempty" schema:"min=0"` // bytes at the sink, on progressed
	Size              int64  `json:"size,omitempty" schema:"min=-1"`  // bytes in all, on progressed; -1 = unknown
	Slice             int    `json:"slice,omitempty" schema:"min=0"`  // number of the slice that ended, on progressed
	Reason            string `json:"reason,omitempty"`
}

// DataFlow is the data of every dataflow event. Subject: the data flow id. Never a data address, never a token.
type DataFlow struct {
	DataFlowID     string `json:"dataFlowId" schema:"nonempty"`
	State          string `json:"state" schema:"enum=INITIALIZED|PREPARING|PREPARED|STARTING|STARTED|SUSPENDED|COMPLETED|TERMINATED"` // DPS state
	Role           string `json:"role" schema:"enum=CONSUMER|PROVIDER"`                                                               // CONSUMER or PROVIDER
	Direction      string `json:"direction" schema:"enum=PULL|PUSH"`                                                                  // PULL or PUSH
	Profile        string `json:"profile"`
	CounterPartyID string `json:"counterPartyId"`
	AgreementID    string `json:"agreementId"`
	DatasetID      string `json:"datasetId"`
	Revision       int64  `json:"revision" schema:"min=0"` // of the flow; rises with each transition
	Reason         string `json:"reason,omitempty"`
}

// Tick is the data of Schedule events: there is none.
type Tick struct{}
