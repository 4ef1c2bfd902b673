package functiontest

import (
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

// Expect answers as tenant.Registry.Expect does where one tenant's document is all there is.
func Expect(only *tenant.Tenant, participantContextID string) (*tenant.Tenant, error) {
	if only.ParticipantContextID != participantContextID {
		return nil, problem.New(problem.Unavailable, "no document of this participant context is here, or none yet")
	}
	return only, nil
}
