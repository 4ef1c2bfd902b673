// Package model holds the objects of the sandbox dataspace as its store keeps them. Property keys are full IRIs, policies are
// normalised (see package policy). An object that came out of the store is shared: it is never changed, only replaced.
package model

// NS is the namespace of unprefixed property keys (EDC's @vocab inside properties).
const NS = "https://w3id.org/edc/v0.0.1/ns/"

// Profile is the one dataspace profile that the sandbox knows.
const Profile = "http-dsp-profile-2025-1"

// Participant is a participant context with its configuration.
type Participant struct {
	ID             string            `json:"id"`
	Identity       string            `json:"identity"`
	State          string            `json:"state"`
	Properties     map[string]any    `json:"properties"`
	Entries        map[string]string `json:"entries"`
	PrivateEntries map[string]string `json:"privateEntries"`
	Profiles       []string          `json:"profiles"`
	Dialect        string            `json:"dialect"`
	Claims         map[string]any    `json:"claims"`
	CreatedAt      int64             `json:"createdAt"` // ms since 1970
}

// Owned is what every object of a participant has.
type Owned struct {
	ID                   string `json:"id"`
	ParticipantContextID string `json:"participantContextId"`
	CreatedAt            int64  `json:"createdAt"` // ms since 1970
}

// Tenant returns the participant context id.
func (o Owned) Tenant() string { return o.ParticipantContextID }

// Asset is an asset.
type Asset struct {
	Owned

	Properties        map[string]any     `json:"properties"`
	PrivateProperties map[string]any     `json:"privateProperties"`
	DataplaneMetadata *DataplaneMetadata `json:"dataplaneMetadata,omitempty"`
}

// DataplaneMetadata selects the data plane and reaches it.
type DataplaneMetadata struct {
	Labels     []string       `json:"labels,omitempty"`
	Profiles   []string       `json:"profiles,omitempty"`
	Properties map[string]any `json:"properties,omitempty"`
}

// PolicyDefinition is a policy under an id.
type PolicyDefinition struct {
	Owned

	Policy            Policy         `json:"policy"`
	PrivateProperties map[string]any `json:"privateProperties"`
}

// Policy is an ODRL policy: rules as normalised JSON objects {action, constraint}.
type Policy struct {
	Permission  []map[string]any `json:"permission,omitempty"`
	Prohibition []map[string]any `json:"prohibition,omitempty"`
	Obligation  []map[string]any `json:"obligation,omitempty"`
}

// ContractDefinition offers the selected assets under two policies.
type ContractDefinition struct {
	Owned

	AccessPolicyID    string         `json:"accessPolicyId"`
	ContractPolicyID  string         `json:"contractPolicyId"`
	AssetsSelector    []Criterion    `json:"assetsSelector"`
	PrivateProperties map[string]any `json:"privateProperties"`
}

// Criterion is one condition of a query or selector.
type Criterion struct {
	OperandLeft  string `json:"operandLeft"`
	Operator     string `json:"operator"`
	OperandRight any    `json:"operandRight"`
}

// CELExpression gives a left operand its meaning in some scopes.
type CELExpression struct {
	ID          string   `json:"id"`
	LeftOperand string   `json:"leftOperand"`
	Expression  string   `json:"expression"`
	Scopes      []string `json:"scopes"`
	Description string   `json:"description"`
	CreatedAt   int64    `json:"createdAt"`
}

// DataPlane is a registered data plane. Its id is global, as EDC's is: another participant that registers it takes it over.
type DataPlane struct {
	Owned

	Endpoint      string         `json:"endpoint"`
	TransferTypes []string       `json:"transferTypes"`
	Labels        []string       `json:"labels"`
	Authorization map[string]any `json:"authorization,omitempty"`
}

// CallbackAddress is where events of one process go.
type CallbackAddress struct {
	URI           string   `json:"uri"`
	Events        []string `json:"events"`
	Transactional bool     `json:"transactional"`
	AuthKey       string   `json:"authKey,omitempty"`
	AuthCodeID    string   `json:"authCodeId,omitempty"`
}
