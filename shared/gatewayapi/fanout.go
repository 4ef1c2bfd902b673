package gatewayapi

// The paths on which the gateway calls functions.
const (
	PathDecide = "/decide" // negotiation-approver: DecideRequest → Decision
	PathVeto   = "/veto"   // negotiation-approver: VetoRequest → 204, or 403 with the reason
	PathData   = "/data"   // data-server: DataRequest → DataReference, or the data itself
)

// DecideRequest asks for the decision on an agreement that has none yet, when a provider start is waiting.
type DecideRequest struct {
	ParticipantContextID string         `json:"participantContextId"`
	AgreementID          string         `json:"agreementId"`
	DatasetID            string         `json:"datasetId"`
	CounterPartyID       string         `json:"counterPartyId"`
	Claims               map[string]any `json:"claims"`
	// Agreement is set if it is of another control plane than the one of the tenant's document, whose Management API knows nothing of it: as that
	// control plane tells it.
	Agreement *Agreement `json:"agreement,omitempty"`
}

// VetoRequest asks whether a negotiation may be answered. It is the control plane's blocking callback, already resolved to
// a tenant.
type VetoRequest struct {
	ParticipantContextID string      `json:"participantContextId"`
	NegotiationID        string      `json:"negotiationId"`
	CounterPartyID       string      `json:"counterPartyId"`
	CounterPartyAddress  string      `json:"counterPartyAddress"`
	Offers               []VetoOffer `json:"offers"`
}

// VetoOffer is one offer of a negotiation.
type VetoOffer struct {
	ID      string         `json:"id"`
	AssetID string         `json:"assetId"`
	Policy  map[string]any `json:"policy"` // EDC's internal form of an ODRL policy
}

// DataRequest asks a data server to answer a consumer's request for a dataset. The token was checked by the gateway and is
// not passed on; of the headers only Range, If-*, Accept* and Content-* are.
type DataRequest struct {
	ParticipantContextID string              `json:"participantContextId"`
	DataFlowID           string              `json:"dataFlowId"`
	AgreementID          string              `json:"agreementId"`
	CounterPartyID       string              `json:"counterPartyId"`
	Profile              string              `json:"profile"`
	Method               string              `json:"method"`
	Path                 string              `json:"path"` // what follows /data/{dataFlowId}, with its leading slash; "" if nothing does
	Query                string              `json:"query,omitempty"`
	Header               map[string][]string `json:"header,omitempty"`
	Dataset              Dataset             `json:"dataset"`
}

// ReferenceContentType marks an answer by reference: the body is a DataReference and the gateway streams the object itself.
const ReferenceContentType = "application/vnd.tidegate.data-reference+json"

// DataReference names the object that answers a data request. The gateway reads it with the tenant's own credentials and
// refuses to mix versions: an object whose store tag is another by then answers 503, and the consumer asks again.
type DataReference struct {
	Bucket      string `json:"bucket"` // the name of the bucket in the tenant's document
	Key         string `json:"key"`
	StoreETag   string `json:"storeEtag"`
	Size        int64  `json:"size"`   // bytes
	SHA256      string `json:"sha256"` // lower-case hex; becomes the ETag and the Repr-Digest of the answer
	ContentType string `json:"contentType"`
}
