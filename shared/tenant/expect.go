package tenant

import (
	"time"

	"github.com/tidegate/tidegate/shared/problem"
)

// lookAgain is the least time between two readings of the folder for tenants that are not there. A document of a stranger can't make
// anybody read it all the time.
const lookAgain = time.Second

// Expect returns the tenant that an event, or a call of the gateway, is about. Each process reads the documents at its own moment, so who tells
// of a tenant may know of it before we do: the folder is read again, and if no document is about it then, the error is
// problem.Unavailable, so that what came is brought again. For a tenant that is suspended, broken or of another line it is problem.NotFound.
func (r *Registry) Expect(participantContextID string) (*Tenant, error) {
	t, ok := r.Get(participantContextID)
	if ok {
		return t, nil
	}
	if !r.Known(participantContextID) {
		r.reread()
		if t, ok = r.Get(participantContextID); ok {
			return t, nil
		}
	}
	if r.Known(participantContextID) {
		return nil, problem.New(problem.NotFound, "no such participant context")
	}
	return nil, problem.New(problem.Unavailable, "no document of this participant context is here, or none yet")
}

// reread reads the folder, unless somebody did a moment ago. Watch tells of a folder that can't be read.
func (r *Registry) reread() {
	r.looking.Lock()
	defer r.looking.Unlock()
	if time.Since(r.looked) < lookAgain {
		return
	}
	_, _ = r.reload()
	r.looked = time.Now()
}
