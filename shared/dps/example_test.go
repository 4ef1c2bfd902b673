package dps_test

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/tidegate/tidegate/shared/dps"
)

func ExampleDecodeFlowMessage() {
	// EDC 0.18 spells the profile "transferType" and sends the asset's metadata along.
	body := []byte(`{"messageId":"m1","participantId":"did:web:provider.example","counterPartyId":"did:web:consumer.example",
		"dataspaceContext":"http-dsp-profile-2025-1","processId":"tp-77","agreementId":"agr-9","datasetId":"asset-1",
		"transferType":"http-pull","callbackAddress":"https://cp.example/signaling","claims":{},"labels":[],"metadata":{}}`)
	m, err := dps.DecodeFlowMessage(body, dps.SignalStart, dps.DialectEDC018)
	if err != nil {
		panic(err)
	}
	dir, err := dps.DirectionOf(m.Profile)
	fmt.Println(m.ProcessID, m.Profile, dir, err)

	_, err = dps.DecodeFlowMessage([]byte(`{"messageId":"m1"}`), dps.SignalStart, dps.DialectEDC018)
	fmt.Println(err)
	// Output:
	// tp-77 http-pull PULL <nil>
	// participantId: is missing, want a string
}

func ExampleTransition() {
	state := dps.Initialized
	for _, signal := range []dps.Signal{dps.SignalStart, dps.SignalSuspend, dps.SignalSuspend, dps.SignalResume, dps.SignalCompleted, dps.SignalTerminate} {
		to, err := dps.Transition(state, dps.Provider, dps.Pull, signal)
		if refused, ok := errors.AsType[*dps.TransitionError](err); ok {
			fmt.Println(signal, "refused, repeated:", refused.Repeated)
			continue
		}
		fmt.Println(signal, to)
		state = to
	}
	// Output:
	// start STARTED
	// suspend SUSPENDED
	// suspend refused, repeated: true
	// resume STARTED
	// completed COMPLETED
	// terminate refused, repeated: false
}

func ExampleNewStatus() {
	addr := dps.NewBearerAddress(dps.ProfileHTTPPull, "https://provider.example/data/tp-77", "access-token")
	answer := dps.NewStatus("tp-77", dps.Started, addr)
	answer.MessageID = "m2" // for the sake of the example
	body, err := json.Marshal(answer)
	fmt.Println(string(body), err)
	fmt.Println(addr) // shows no secret
	// Output:
	// {"messageId":"m2","dataFlowId":"tp-77","state":"STARTED","dataAddress":{"@type":"DataAddress","endpointType":"https://w3id.org/dspace-sig/profile/http-pull","endpoint":"https://provider.example/data/tp-77","endpointProperties":[{"@type":"EndpointProperty","name":"authorization","value":"access-token"},{"@type":"EndpointProperty","name":"authType","value":"bearer"}]}} <nil>
	// data address of type https://w3id.org/dspace-sig/profile/http-pull at https://provider.example with 2 properties
}
