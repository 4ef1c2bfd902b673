package management

// Asset is an EDC asset. Its properties are public: the catalog shows them.
type Asset struct {
	ID                string             `json:"@id"`
	Properties        map[string]any     `json:"properties"`
	PrivateProperties map[string]any     `json:"privateProperties,omitempty"`
	DataplaneMetadata *DataplaneMetadata `json:"dataplaneMetadata,omitempty"`
}

// DataplaneMetadata selects the data plane and reaches it as DPS metadata.
type DataplaneMetadata struct {
	Labels     []string       `json:"labels,omitempty"`
	Profiles   []string       `json:"profiles,omitempty"`
	Properties map[string]any `json:"properties,omitempty"`
}

// PolicyDefinition is an ODRL Set under an id.
type PolicyDefinition struct {
	ID     string         `json:"@id"`
	Policy map[string]any `json:"policy"`
}

// ContractDefinition offers the assets that its selector finds under an access policy and a contract policy.
type ContractDefinition struct {
	ID               string      `json:"@id"`
	AccessPolicyID   string      `json:"accessPolicyId"`
	ContractPolicyID string      `json:"contractPolicyId"`
	AssetsSelector   []Criterion `json:"assetsSelector"`
}

// Criterion is one condition of a query or a selector.
type Criterion struct {
	OperandLeft  string `json:"operandLeft"`
	Operator     string `json:"operator"`
	OperandRight any    `json:"operandRight"`
}

// Query selects objects; the iterators page through the results.
type Query struct {
	Filter    []Criterion
	SortField string // "" = the server's order
	Desc      bool
	PageSize  int // 0 = 50
}

// Dataset is a DCAT dataset of a counterparty's catalog.
type Dataset struct {
	ID            string
	Properties    map[string]any // without prefix: "edc:name" and "https://w3id.org/edc/v0.0.1/ns/name" are both "name"
	Offers        []Offer
	Distributions []Distribution
}

// Offer is an offer of a dataset. Raw is the offer as received, from which the contract request is made.
type Offer struct {
	ID        string
	DatasetID string
	Policy    map[string]any // permission, prohibition, obligation as received
}

// Distribution is one way to get a dataset; Format is the transfer type, which is the DPS profile.
type Distribution struct {
	Format      string
	EndpointURL string
}

// Negotiation is a contract negotiation of the local control plane.
type Negotiation struct {
	ID                  string `json:"@id"`
	Type                string `json:"type"` // CONSUMER or PROVIDER
	State               string `json:"state"`
	CounterPartyID      string `json:"counterPartyId"`
	CounterPartyAddress string `json:"counterPartyAddress"`
	AssetID             string `json:"assetId"`
	ContractAgreementID string `json:"contractAgreementId"`
	CorrelationID       string `json:"correlationId"`
	ErrorDetail         string `json:"errorDetail"`
	CreatedAt           int64  `json:"createdAt"` // ms since 1970
}

// Agreement is a contract agreement.
type Agreement struct {
	ID                  string         `json:"@id"`
	AgreementID         string         `json:"agreementId"` // the id that both sides share
	AssetID             string         `json:"assetId"`
	ProviderID          string         `json:"providerId"`
	ConsumerID          string         `json:"consumerId"`
	ContractSigningDate int64          `json:"contractSigningDate"` // s since 1970
	Policy              map[string]any `json:"policy"`
	Claims              map[string]any `json:"claims"`
}

// Transfer is a transfer process.
type Transfer struct {
	ID             string `json:"@id"`
	Type           string `json:"type"`
	State          string `json:"state"`
	StateTimestamp int64  `json:"stateTimestamp"` // ms since 1970
	AssetID        string `json:"assetId"`
	ContractID     string `json:"contractId"`
	TransferType   string `json:"transferType"`
	CorrelationID  string `json:"correlationId"`
	ErrorDetail    string `json:"errorDetail"`
}
