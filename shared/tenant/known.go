package tenant

import "regexp"

// idLine finds the participant context in a document that may be broken in any other place.
var idLine = regexp.MustCompile(`(?m)^participantContextId:[ \t]*["']?([A-Za-z0-9._-]{1,64})["']?[ \t\r]*(?:#.*)?$`)

// Known tells whether any document is about a participant context, in force or not: a suspended one, one that was broken from the
// start, one that gives way to another. What must not happen without a decision must not happen for such a tenant, while
// what is of no tenant at all is nobody's to decide.
func (r *Registry) Known(participantContextID string) bool {
	return r.current.Load().known[participantContextID]
}

// named is what the document says it is about; "" if that can't be told.
func (d *document) named() string {
	switch {
	case d.candidate != nil:
		return d.candidate.ParticipantContextID
	case d.id != "":
		return d.id
	case d.inForce != nil:
		return d.inForce.ParticipantContextID
	}
	return ""
}
