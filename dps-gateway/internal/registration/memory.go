package registration

import (
	"context"
	"encoding/json"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tidegate/tidegate/dps-gateway/internal/keys"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

// Memory keeps in Redis what is registered, so that it can be deleted when no document tells of it any more. It holds no secret: the
// credentials are named by the files that held them, and if these are gone too, the deletion is a person's work.
type Memory struct{ rdb redis.UniversalClient }

// NewMemory returns the memory that all replicas share.
func NewMemory(rdb redis.UniversalClient) *Memory { return &Memory{rdb: rdb} }

// entry is one registration.
type entry struct {
	ParticipantContextID string      `json:"participantContextId"`
	DataplaneID          string      `json:"dataplaneId"`
	ManagementURL        string      `json:"managementUrl"`
	Auth                 tenant.Auth `json:"auth"`
	At                   time.Time   `json:"at"`                // when a replica last renewed it
	Problem              string      `json:"problem,omitempty"` // why it can't be deleted
}

// tenant is what of a tenant's document is needed to delete the registration.
func (e *entry) tenant() *tenant.Tenant {
	return &tenant.Tenant{
		ParticipantContextID: e.ParticipantContextID, Auth: e.Auth,
		ControlPlane: tenant.ControlPlane{ManagementURL: e.ManagementURL, Signaling: tenant.Signaling{DataplaneID: e.DataplaneID}},
	}
}

// fieldOf tells one registration from another. None of its parts holds white space.
func fieldOf(t *tenant.Tenant) string {
	return t.ParticipantContextID + " " + t.ControlPlane.Signaling.DataplaneID + " " + t.ControlPlane.ManagementURL
}

// Remember keeps a registration, or keeps it fresh.
func (m *Memory) Remember(ctx context.Context, t *tenant.Tenant) error {
	return m.write(ctx, t, &entry{
		ParticipantContextID: t.ParticipantContextID, DataplaneID: t.ControlPlane.Signaling.DataplaneID, ManagementURL: t.ControlPlane.ManagementURL,
		Auth: t.Auth, At: time.Now().UTC(),
	})
}

// note keeps what stands in the way of a deletion.
func (m *Memory) note(ctx context.Context, t *tenant.Tenant, e *entry, why string) error {
	noted := *e
	noted.Problem = why
	return m.write(ctx, t, &noted)
}

func (m *Memory) write(ctx context.Context, t *tenant.Tenant, e *entry) error {
	b, err := json.Marshal(e)
	if err != nil {
		return problem.Wrap(problem.Internal, err, "the registration can't be kept")
	}
	return unreachable(m.rdb.HSet(ctx, keys.Registrations(keys.Shard(t.ParticipantContextID)), fieldOf(t), b).Err())
}

// Forget drops a registration that has been deleted.
func (m *Memory) Forget(ctx context.Context, t *tenant.Tenant) error {
	return unreachable(m.rdb.HDel(ctx, keys.Registrations(keys.Shard(t.ParticipantContextID)), fieldOf(t)).Err())
}

// All reads every registration, in one round trip (on Cluster one a node).
func (m *Memory) All(ctx context.Context) ([]*entry, error) {
	var found [keys.Shards]*redis.MapStringStringCmd
	if _, err := m.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i := range found {
			found[i] = p.HGetAll(ctx, keys.Registrations(i))
		}
		return nil
	}); err != nil {
		return nil, unreachable(err)
	}
	var all []*entry
	for _, c := range found {
		for _, text := range c.Val() {
			var e entry
			if json.Unmarshal([]byte(text), &e) == nil && e.ParticipantContextID != "" {
				all = append(all, &e)
			}
		}
	}
	return all, nil
}

// claim lets one replica at a time delete a registration.
func (m *Memory) claim(ctx context.Context, t *tenant.Tenant, ttl time.Duration) (bool, error) {
	ok, err := m.rdb.SetNX(ctx, keys.Tenant(t.ParticipantContextID, "deregister"), t.ControlPlane.Signaling.DataplaneID, max(ttl, time.Millisecond)).Result()
	return ok, unreachable(err)
}

func unreachable(err error) error {
	if err == nil {
		return nil
	}
	return problem.Wrap(problem.Unavailable, err, "the memory of registrations can't be reached")
}
