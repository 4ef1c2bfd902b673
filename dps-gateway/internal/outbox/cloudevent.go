package outbox

import (
	"encoding/json"
	"strconv"

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
	ce, err := catalogue.New(program, e.PC, e.Kind, e.Subject, catalogue.DataFlow{
		DataFlowID: e.Subject, State: string(e.State), Role: string(e.Role), Direction: string(e.Direction), Profile: e.Profile,
		CounterPartyID: e.CounterPartyID, AgreementID: e.AgreementID, DatasetID: e.DatasetID, Revision: e.Revision, Reason: e.Reason,
	}, strconv.FormatInt(e.Revision, 10))
	if err != nil {
		return nil, err
	}
	ce.SetTime(e.At)
	ce.SetExtension(catalogue.ExtPartitionKey, e.PC+"/"+e.Subject)
	return ce, nil
}
