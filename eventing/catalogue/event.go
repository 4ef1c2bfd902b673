package catalogue

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/tidegate/tidegate/shared/problem"
)

// ID makes a deterministic event id of the parts that make the event what it is: the same happening, told twice, has the
// same id.
func ID(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		_, _ = fmt.Fprintf(h, "%d:%s,", len(p), p) // a hash never fails
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// Source is the source attribute of the events that a program emits for a participant context.
func Source(program, participantContextID string) string {
	return "/tidegate/" + program + "/" + participantContextID
}

// New makes an event of the catalogue. idParts are what makes it this very happening (see ID); type and participant context
// are added to them.
func New(program, participantContextID, eventType, subject string, data any, idParts ...string) (*event.Event, error) {
	e := event.New()
	e.SetID(ID(append([]string{eventType, participantContextID, subject}, idParts...)...))
	e.SetType(eventType)
	e.SetSource(Source(program, participantContextID))
	e.SetSubject(subject)
	e.SetTime(time.Now().UTC())
	e.SetDataSchema(SchemaID(eventType))
	e.SetExtension(ExtParticipantContextID, participantContextID)
	if flow, ok := data.(DataFlow); ok {
		setIfAny(&e, ExtFlowRole, flow.Role)
		setIfAny(&e, ExtFlowDirection, flow.Direction)
	}
	if err := e.SetData(event.ApplicationJSON, data); err != nil {
		return nil, problem.New(problem.Invalid, "data of %s: %w", eventType, err)
	}
	if err := e.Validate(); err != nil {
		return nil, problem.New(problem.Invalid, "event %s: %w", eventType, err)
	}
	return &e, nil
}

func setIfAny(e *event.Event, extension, value string) {
	if value != "" {
		e.SetExtension(extension, value)
	}
}

// ParticipantContextID returns the tenant that the event belongs to; an error if the event names none.
func ParticipantContextID(e *event.Event) (string, error) {
	if v, ok := e.Extensions()[ExtParticipantContextID]; ok {
		if s, ok := v.(string); ok && strings.TrimSpace(s) != "" {
			return s, nil
		}
	}
	return "", problem.Field(ExtParticipantContextID, "is missing: every event of type %s names its participant context", e.Type())
}

// Data decodes the data of the event into T.
func Data[T any](e *event.Event) (T, error) {
	var data T
	if err := e.DataAs(&data); err != nil {
		return data, problem.Wrap(problem.Invalid, err, "data of %s %s is not what its schema says", e.Type(), e.ID())
	}
	return data, nil
}
