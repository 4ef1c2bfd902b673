package dps

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/tidegate/tidegate/shared/problem"
)

const maxErrorText = 1024 // bytes of a status message's error

// NewStatus returns a status message with a new message id. addr may be nil.
func NewStatus(dataFlowID string, state State, addr *DataAddress) *StatusMessage {
	return &StatusMessage{MessageID: uuid.NewString(), DataFlowID: dataFlowID, State: state, DataAddress: addr}
}

// NewErrored returns the body of an errored callback: state is where the flow stands, errored does not change it.
func NewErrored(dataFlowID string, state State, text string) *StatusMessage {
	m := NewStatus(dataFlowID, state, nil)
	m.Error = strings.ToValidUTF8(text[:min(len(text), maxErrorText)], "")
	return m
}

// NewDataPlaneRegistration returns the registration of a data plane, with its profiles under both names. baseURL is where
// the tenant's signaling API is, without "/dataflows": the text's control planes append that, EDC's don't, so it is put into
// the endpoint for them.
func NewDataPlaneRegistration(
	dataplaneID, baseURL string, profiles, labels []string, auth *Authorization, dialect Dialect,
) (*DataPlaneRegistrationMessage, error) {
	if dataplaneID == "" {
		return nil, problem.Field("dataplaneId", "is missing")
	}
	if len(profiles) == 0 {
		return nil, problem.Field("profiles", "is empty: a data plane without a profile is never chosen")
	}
	if err := validateURL("endpoint", baseURL, true); err != nil {
		return nil, err
	}
	endpoint := strings.TrimRight(baseURL, "/")
	if !dialect.traits().appendsDataflows {
		endpoint += "/dataflows"
	}
	return &DataPlaneRegistrationMessage{
		DataplaneID: dataplaneID, Endpoint: endpoint, Profiles: slices.Clone(profiles), TransferTypes: slices.Clone(profiles),
		Labels: append([]string{}, labels...), Authorization: auth,
	}, nil
}

// EncodeFlowMessage writes a prepare or a start as a control plane of the dialect sends it, except that it never writes
// null. It is the inverse of DecodeFlowMessage.
func EncodeFlowMessage(m *FlowMessage, signal Signal, dialect Dialect) ([]byte, error) {
	t := dialect.traits()
	w := wireFlow{plainFlow: plainFlow(strictFlow(*m))}
	if t.transferType {
		w.TransferType, w.Profile = m.Profile, ""
	} else {
		w.Profile = m.Profile
	}
	if !t.callback {
		w.CallbackAddress = ""
	}
	if t.swapsOnStart && signal == SignalStart {
		w.ParticipantID, w.CounterPartyID = m.CounterPartyID, m.ParticipantID
	}
	return json.Marshal(w)
}

type (
	plainFlow         FlowMessage
	plainAddress      DataAddress
	plainProperty     EndpointProperty
	plainRegistration DataPlaneRegistrationMessage
)

// wireFlow is a flow message with its profile under either name: its own Profile hides the embedded one.
type wireFlow struct {
	plainFlow
	Profile      string `json:"profile,omitempty"`
	TransferType string `json:"transferType,omitempty"`
}

func strictFlow(m FlowMessage) FlowMessage {
	if m.Claims == nil {
		m.Claims = map[string]any{}
	}
	return m
}

// MarshalJSON writes an empty object for claims that are nil.
func (m FlowMessage) MarshalJSON() ([]byte, error) { return json.Marshal(plainFlow(strictFlow(m))) }

// wireAddress is a data address whose properties are written with it: its own list hides the embedded one. What a Marshaler within
// another one writes is read again by each, an access token among it.
type wireAddress struct {
	plainAddress
	EndpointProperties []plainProperty `json:"endpointProperties,omitempty"`
}

// MarshalJSON always sets @type, of the properties, too.
func (a DataAddress) MarshalJSON() ([]byte, error) {
	w := wireAddress{plainAddress: plainAddress(a), EndpointProperties: make([]plainProperty, len(a.EndpointProperties))}
	w.Type = typeDataAddress
	for i, p := range a.EndpointProperties {
		w.EndpointProperties[i] = plainProperty{typeEndpointProperty, p.Name, p.Value}
	}
	return json.Marshal(w)
}

// MarshalJSON always sets @type.
func (p EndpointProperty) MarshalJSON() ([]byte, error) {
	p.Type = typeEndpointProperty
	return json.Marshal(plainProperty(p))
}

// MarshalJSON writes empty lists for lists that are nil.
func (m DataPlaneRegistrationMessage) MarshalJSON() ([]byte, error) {
	for _, l := range []*[]string{&m.Profiles, &m.TransferTypes, &m.Labels} {
		if *l == nil {
			*l = []string{}
		}
	}
	return json.Marshal(plainRegistration(m))
}
