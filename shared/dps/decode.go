package dps

import (
	"encoding/json"

	"github.com/tidegate/tidegate/shared/problem"
)

// CompletedMessage is the body of completed: the text wants none, control planes send {} or a message id.
type CompletedMessage struct {
	MessageID string `json:"messageId,omitempty"`
}

// ControlPlaneRegistrationMessage registers a control plane at a data plane.
type ControlPlaneRegistrationMessage struct {
	ControlplaneID string         `json:"controlplaneId"`
	Endpoint       string         `json:"endpoint"`
	Authorization  *Authorization `json:"authorization,omitempty"`
}

// DecodeFlowMessage reads the body of a prepare or a start (signal tells which). The result has a profile that tells its
// direction, claims that are not nil, participants the right way round for every dialect, and a data address exactly if it
// is the start of a push.
func DecodeFlowMessage(body []byte, signal Signal, dialect Dialect) (*FlowMessage, error) {
	role, ok := RoleOf(signal)
	if !ok {
		return nil, problem.New(problem.Internal, "%q is no signal with a flow message", signal)
	}
	o, err := parseObject(body)
	if err != nil {
		return nil, err
	}
	t := dialect.traits()
	r := &reader{o: o}
	m := &FlowMessage{
		MessageID: r.need("messageId"), ParticipantID: r.need("participantId"), CounterPartyID: r.need("counterPartyId"),
		DataspaceContext: r.needIf(!t.optionalContext, "dataspaceContext"), ProcessID: r.need("processId"),
		AgreementID: r.need("agreementId"), DatasetID: r.need("datasetId"), Profile: r.profile(),
		CallbackAddress: r.text("callbackAddress"), Claims: r.free("claims"), Labels: r.texts("labels"),
		Metadata: r.free("metadata"), DataAddress: r.address("dataAddress"),
	}
	if m.Claims == nil {
		if !t.optionalClaims {
			r.fail("claims", "is missing, want an object")
		}
		m.Claims = map[string]any{}
	}
	if r.err != nil {
		return nil, r.err
	}
	dir, err := DirectionOf(m.Profile)
	if err != nil {
		return nil, err
	}
	if m.DataAddress, err = CheckAddress(signal, role, dir, m.DataAddress); err != nil {
		return nil, err
	}
	if t.swapsOnStart && signal == SignalStart {
		m.ParticipantID, m.CounterPartyID = m.CounterPartyID, m.ParticipantID
	}
	return m, nil
}

// profile reads the profile under either spelling.
func (r *reader) profile() string {
	profile, transferType := r.id("profile"), r.id("transferType")
	switch {
	case profile == "" && transferType == "":
		r.fail("profile", "is missing, want a string")
	case profile == "":
		return transferType
	case transferType != "" && transferType != profile:
		r.fail("transferType", "differs from profile, want one of them or both the same")
	}
	return profile
}

// DecodeStarted reads the body of a started. An address for push is refused, since the consumer made it itself, but in the
// dialects that send it back.
func DecodeStarted(body []byte, dialect Dialect) (*StartedNotificationMessage, error) {
	return decode(body, func(r *reader) *StartedNotificationMessage {
		m := &StartedNotificationMessage{MessageID: r.messageID(dialect), DataAddress: r.address("dataAddress")}
		if a := m.DataAddress; a != nil && !dialect.traits().echoesAddress {
			if dir, err := DirectionOf(a.EndpointType); err == nil && dir == Push {
				r.fail("dataAddress", "is there, but on push the consumer's data plane makes it")
			}
		}
		return m
	})
}

// DecodeSuspend reads the body of a suspend.
func DecodeSuspend(body []byte, dialect Dialect) (*SuspendMessage, error) {
	return decode(body, func(r *reader) *SuspendMessage {
		return &SuspendMessage{MessageID: r.messageID(dialect), Reason: r.text("reason")}
	})
}

// DecodeResume reads the body of a resume.
func DecodeResume(body []byte, dialect Dialect) (*ResumeMessage, error) {
	return decode(body, func(r *reader) *ResumeMessage {
		return &ResumeMessage{MessageID: r.messageID(dialect), DataAddress: r.address("dataAddress")}
	})
}

// DecodeTerminate reads the body of a terminate.
func DecodeTerminate(body []byte, dialect Dialect) (*TerminateMessage, error) {
	return decode(body, func(r *reader) *TerminateMessage {
		return &TerminateMessage{MessageID: r.messageID(dialect), Reason: r.text("reason")}
	})
}

// DecodeCompleted reads the body of a completed, in which nothing is required.
func DecodeCompleted(body []byte) (*CompletedMessage, error) {
	return decode(body, func(r *reader) *CompletedMessage { return &CompletedMessage{MessageID: r.id("messageId")} })
}

// DecodeStatus reads a status message: an answer of a data plane, or the body of its callback. Like EDC it needs the state
// alone.
func DecodeStatus(body []byte) (*StatusMessage, error) {
	return decode(body, func(r *reader) *StatusMessage {
		return &StatusMessage{
			MessageID: r.id("messageId"), DataFlowID: r.id("dataFlowId"), State: r.state(),
			DataAddress: r.address("dataAddress"), Error: r.text("error"),
		}
	})
}

// DecodeStatusResponse reads the answer to GET status.
func DecodeStatusResponse(body []byte) (*StatusResponseMessage, error) {
	return decode(body, func(r *reader) *StatusResponseMessage {
		return &StatusResponseMessage{DataFlowID: r.need("dataFlowId"), State: r.state()}
	})
}

// DecodeControlPlaneRegistration reads the body of PUT /controlplanes.
func DecodeControlPlaneRegistration(body []byte) (*ControlPlaneRegistrationMessage, error) {
	return decode(body, func(r *reader) *ControlPlaneRegistrationMessage {
		return &ControlPlaneRegistrationMessage{
			ControlplaneID: r.need("controlplaneId"), Endpoint: r.need("endpoint"), Authorization: r.authorization("authorization"),
		}
	})
}

// DecodeDataPlaneRegistration reads a data plane's registration, with its list of profiles under either name.
func DecodeDataPlaneRegistration(body []byte) (*DataPlaneRegistrationMessage, error) {
	return decode(body, func(r *reader) *DataPlaneRegistrationMessage {
		m := &DataPlaneRegistrationMessage{
			DataplaneID: r.need("dataplaneId"), Endpoint: r.need("endpoint"), Profiles: r.texts("profiles"),
			TransferTypes: r.texts("transferTypes"), Labels: r.texts("labels"), Authorization: r.authorization("authorization"),
		}
		if len(m.Profiles) == 0 {
			m.Profiles = m.TransferTypes
		}
		if len(m.TransferTypes) == 0 {
			m.TransferTypes = m.Profiles
		}
		if len(m.Profiles) == 0 {
			r.fail("profiles", "is missing, want a list of strings")
		}
		return m
	})
}

// decode reads the members of a body by fill.
func decode[M any](body []byte, fill func(*reader) *M) (*M, error) {
	o, err := parseObject(body)
	if err != nil {
		return nil, err
	}
	r := &reader{o: o}
	m := fill(r)
	if r.err != nil {
		return nil, r.err
	}
	return m, nil
}

func (r *reader) messageID(dialect Dialect) string {
	return r.needIf(!dialect.traits().optionalMessageID, "messageId")
}

func (r *reader) state() State {
	s := State(r.need("state"))
	if r.err == nil && !s.Valid() {
		r.fail("state", "is no state of a data flow")
	}
	return s
}

func (r *reader) authorization(name string) *Authorization {
	switch v := r.o[name].(type) {
	case nil:
		return nil
	case object:
		in := &reader{o: v, path: r.path + name + "."}
		a := &Authorization{
			Type: in.need("type"), TokenEndpoint: in.text("tokenEndpoint"), ClientID: in.text("clientId"),
			ClientSecret: in.text("clientSecret"), JWKS: in.jwks("jwks"), JWKSURI: in.text("jwksUri"),
			TokenExchangeEndpoint: in.text("tokenExchangeEndpoint"), Issuer: in.text("issuer"),
			Resource: in.text("resource"), Audience: in.text("audience"), Scope: in.text("scope"),
		}
		if in.err != nil && r.err == nil {
			r.err = in.err
		}
		return a
	default:
		r.fail(name, "is %s, want an object", kindOf(v))
		return nil
	}
}

// jwks reads an optional JWK set as it stands.
func (r *reader) jwks(name string) json.RawMessage {
	set := r.free(name)
	if set == nil {
		return nil
	}
	b, err := json.Marshal(set)
	if err != nil {
		r.fail(name, "is no JWK set")
	}
	return b
}
