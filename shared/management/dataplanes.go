package management

import (
	"context"
	"net/http"

	"github.com/tidegate/tidegate/shared/dps"
)

const dataPlanes = "dataplanes"

// RegisterDataPlane registers a data plane for the participant, or replaces its registration. EDC reads the list
// transferTypes and ignores profiles, DPS 1.0 has profiles: both are sent, the one that is empty filled from the other.
// Ids are global at EDC: registering the id of another participant's data plane takes it over.
func (c *Client) RegisterDataPlane(ctx context.Context, m *dps.DataPlaneRegistrationMessage) error {
	body := *m
	if len(body.TransferTypes) == 0 {
		body.TransferTypes = body.Profiles
	}
	if len(body.Profiles) == 0 {
		body.Profiles = body.TransferTypes
	}
	if body.Labels == nil {
		body.Labels = []string{}
	}
	rq := call{method: http.MethodPut, path: at(dataPlanes), body: body}
	if body.Authorization != nil {
		rq.secret = body.Authorization.ClientSecret
	}
	_, err := c.do(ctx, rq, nil)
	return err
}

// DeleteDataPlane removes a registration, if it is there.
func (c *Client) DeleteDataPlane(ctx context.Context, id string) error {
	return c.remove(ctx, at(dataPlanes, id))
}
