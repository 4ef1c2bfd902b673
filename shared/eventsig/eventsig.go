// Package eventsig makes events tell that they come from inside the deployment, whatever broker carries them. A Knative Broker passes
// no credentials on to subscribers: without a signature anybody who can reach a function could tell it that a verdict was given
// or that an object has gone.
//
// The signature is an extension attribute, an HMAC under the internal token over what an event says: id, source, type, subject,
// dataschema, the participant context and the data. It holds through every way in which a broker may write the event anew: binary
// or structured, JSON spelt otherwise, attributes of its own added (arrival times, traces, dead letter reasons).
package eventsig

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"mime"
	"strings"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/tidegate/tidegate/shared/auth"
)

// Extension is the attribute that carries the signature.
const Extension = "tidegatesignature"

// extParticipantContext is the attribute that names the tenant.
const extParticipantContext = "participantcontextid"

// Sign sets the signature of an event, or replaces it. Everything else must be set before.
func Sign(secret *auth.SharedSecret, e *event.Event) {
	e.SetExtension(Extension, secret.MAC(message(e)))
}

// Signed tells whether an event carries a signature, good or bad.
func Signed(e *event.Event) bool {
	s, ok := e.Extensions()[Extension].(string)
	return ok && s != ""
}

// Check tells whether the event is what somebody who has the secret has signed.
func Check(secret *auth.SharedSecret, e *event.Event) bool {
	s, ok := e.Extensions()[Extension].(string)
	return ok && s != "" && secret.CheckMAC(message(e), s)
}

// Message is what is signed, for senders that have no event.Event. Data is JSON in the one
// spelling that is signed: as encoding/json writes valid UTF-8, members sorted.
type Message struct {
	ID, Source, Type, Subject, DataSchema, ParticipantContextID string
	Data                                                        []byte
}

// Signature is the value of the attribute.
func (m *Message) Signature(secret *auth.SharedSecret) string { return secret.MAC(m.bytes()) }

// bytes has each part with its length before it, so that none can be moved into the next.
func (m *Message) bytes() []byte {
	b := make([]byte, 0, 512+len(m.Data))
	for _, part := range [...]string{m.ID, m.Source, m.Type, m.Subject, m.DataSchema, m.ParticipantContextID} {
		b = append(binary.BigEndian.AppendUint64(b, uint64(len(part))), part...)
	}
	return append(binary.BigEndian.AppendUint64(b, uint64(len(m.Data))), m.Data...)
}

func message(e *event.Event) []byte {
	pc, _ := e.Extensions()[extParticipantContext].(string)
	m := Message{
		ID: e.ID(), Source: e.Source(), Type: e.Type(), Subject: e.Subject(), DataSchema: e.DataSchema(), ParticipantContextID: pc, Data: canonical(e),
	}
	return m.bytes()
}

// canonical is the data, JSON in one spelling: members sorted, no white space, numbers as they are written.
func canonical(e *event.Event) []byte {
	data := e.Data()
	if t, _, err := mime.ParseMediaType(e.DataContentType()); err == nil && t != "application/json" && t != "text/json" && !strings.HasSuffix(t, "+json") {
		return data
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil || d.More() {
		return data
	}
	if out, err := json.Marshal(v); err == nil {
		return out
	}
	return data
}
