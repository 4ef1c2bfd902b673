package signaling

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/tidegate/tidegate/infra/sandbox/model"
)

// statusMessage is the part of a DataFlowStatusMessage that EDC reads.
type statusMessage struct {
	State       *string         `json:"state"`
	DataAddress json.RawMessage `json:"dataAddress"`
	Error       *string         `json:"error"`
}

type dataAddressMessage struct {
	EndpointType       string              `json:"endpointType"`
	Endpoint           string              `json:"endpoint"`
	EndpointProperties *[]endpointProperty `json:"endpointProperties"`
}

type endpointProperty struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// DecodeAnswer reads a DataFlowStatusMessage: state must be there, endpointProperties may be absent but not null, anything
// unknown is ignored.
func DecodeAnswer(b []byte) (*Answer, error) {
	if len(b) == 0 {
		return nil, errors.New("the body is empty")
	}
	var m statusMessage
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("no status message: %w", err)
	}
	if m.State == nil || *m.State == "" {
		return nil, errors.New("state is missing")
	}
	a := &Answer{State: *m.State}
	if len(m.DataAddress) == 0 || string(m.DataAddress) == "null" {
		return a, nil
	}
	addr, err := decodeAddress(m.DataAddress)
	if err != nil {
		return nil, err
	}
	a.DataAddress = addr
	return a, nil
}

func decodeAddress(b []byte) (*model.DataAddress, error) {
	var members map[string]json.RawMessage
	var m dataAddressMessage
	if err := errors.Join(json.Unmarshal(b, &members), json.Unmarshal(b, &m)); err != nil {
		return nil, fmt.Errorf("dataAddress: %w", err)
	}
	if string(members["endpointProperties"]) == "null" {
		return nil, errors.New("dataAddress: endpointProperties is null")
	}
	a := &model.DataAddress{EndpointType: m.EndpointType, Endpoint: m.Endpoint, Properties: map[string]string{}}
	if m.EndpointProperties != nil {
		for _, p := range *m.EndpointProperties {
			a.Properties[p.Name] = p.Value
		}
	}
	return a, nil
}
