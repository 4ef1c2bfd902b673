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

// message is what is signed: each part with its length before it, so that none can be moved into the next.
func message(e *event.Event) []byte {
	pc, _ := e.Extensions()[extParticipantContext].(string)
	var b bytes.Buffer
	for _, part := range [][]byte{
		[]byte(e.ID()), []byte(e.Source()), []byte(e.Type()), []byte(e.Subject()), []byte(e.DataSchema()), []byte(pc), canonical(e),
	} {
		b.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		b.Write(part)
	}
	return b.Bytes()
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
