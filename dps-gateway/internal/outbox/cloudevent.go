package outbox

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/shared/problem"
)

// program is the gateway's name in the source of its events.
const program = "dps-gateway"

// CloudEvent is the event of an entry of the event lane. The same entry always makes the same event: its id is made of the
// flow and the revision, or was fixed when the entry was appended.
func (e *Entry) CloudEvent() (*event.Event, error) {
	if len(e.Event) > 0 {
		var ce event.Event
		if err := json.Unmarshal(e.Event, &ce); err != nil {
			return nil, problem.Wrap(problem.Unprocessable, err, "the stored event is not one")
		}
		return &ce, nil
	}
	ce, err := catalogue.New(program, e.PC, e.Kind, e.Subject, e.data(), strconv.FormatInt(e.Revision, 10))
	if err != nil {
		return nil, err
	}
	ce.SetTime(e.At)
	ce.SetExtension(catalogue.ExtPartitionKey, e.partition())
	return ce, nil
}

func (e *Entry) data() catalogue.DataFlow {
	return catalogue.DataFlow{
		DataFlowID: e.Subject, State: string(e.State), Role: string(e.Role), Direction: string(e.Direction), Profile: e.Profile,
		CounterPartyID: e.CounterPartyID, AgreementID: e.AgreementID, DatasetID: e.DatasetID, Revision: e.Revision, Reason: e.Reason,
	}
}

// canonicalFlow is catalogue.DataFlow with its members in the order in which they are signed.
type canonicalFlow struct {
	AgreementID    string `json:"agreementId"`
	CounterPartyID string `json:"counterPartyId"`
	DataFlowID     string `json:"dataFlowId"`
	DatasetID      string `json:"datasetId"`
	Direction      string `json:"direction"`
	Profile        string `json:"profile"`
	Reason         string `json:"reason,omitempty"`
	Revision       int64  `json:"revision"`
	Role           string `json:"role"`
	State          string `json:"state"`
}

func (e *Entry) canonical() *canonicalFlow {
	valid := func(s string) string { return strings.ToValidUTF8(s, "\ufffd") }
	return &canonicalFlow{
		AgreementID: valid(e.AgreementID), CounterPartyID: valid(e.CounterPartyID), DataFlowID: valid(e.Subject), DatasetID: valid(e.DatasetID),
		Direction: string(e.Direction), Profile: valid(e.Profile), Reason: valid(e.Reason), Revision: e.Revision, Role: string(e.Role), State: string(e.State),
	}
}

// partition keeps the events of a flow in order on a broker that has partitions.
func (e *Entry) partition() string { return e.PC + "/" + e.Subject }
