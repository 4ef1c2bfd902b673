package controlplane_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/tidegate/tidegate/dps-gateway/internal/controlplane"
	"github.com/tidegate/tidegate/dps-gateway/internal/redistest"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/problem"
)

// TestRegistrations on every sort of Redis: a Cluster of three refuses a script whose keys are not of one node.
func TestRegistrations(t *testing.T) {
	redistest.Each(t, registrations)
	t.Run("cluster of three", func(t *testing.T) { registrations(t, redistest.Cluster3(t)) })
}

func registrations(t *testing.T, rdb redis.UniversalClient) {
	t.Helper()
	ctx := t.Context()
	s := controlplane.NewRegistrations(rdb)
	of := func(id, endpoint string) *controlplane.Registration {
		return &controlplane.Registration{ID: id, Endpoint: endpoint, Authorization: dps.Authorization{Type: "oauth2_client_credentials", ClientSecret: "s3cret"}}
	}
	for i := range 8 { // tenants of several shards, and so of several nodes
		pc := fmt.Sprintf("tenant-%d", i)
		want := func(id string, r *controlplane.Registration) {
			t.Helper()
			got, err := s.Get(ctx, pc, id)
			if d := cmp.Diff(r, got); err != nil || d != "" {
				t.Errorf("%s, %s: %v %s", pc, id, err, d)
			}
		}
		kind := func(what string, err error, k problem.Kind) {
			t.Helper()
			if !problem.Is(err, k) {
				t.Errorf("%s, %s: %v, want %s", pc, what, err, k)
			}
		}
		good := func(what string, err error) {
			t.Helper()
			if err != nil {
				t.Errorf("%s, %s: %v", pc, what, err)
			}
		}
		once := func(token, request string) *controlplane.Once {
			return &controlplane.Once{TokenID: token, Request: request, TTL: time.Minute}
		}
		want("x", nil)
		kind("what is not there is removed", s.Delete(ctx, pc, "x", nil), problem.NotFound)
		good("put", s.Put(ctx, pc, of("x", "https://one.example"), once("token-1", "request-1")))
		want("x", of("x", "https://one.example"))
		good("the same request again", s.Put(ctx, pc, of("x", "https://one.example"), once("token-1", "request-1")))
		kind("another request with its token", s.Put(ctx, pc, of("x", "https://two.example"), once("token-1", "request-2")), problem.Unauthenticated)
		kind("a removal with its token", s.Delete(ctx, pc, "x", once("token-1", "request-3")), problem.Unauthenticated)
		want("x", of("x", "https://one.example"))
		good("replaced", s.Put(ctx, pc, of("x", "https://two.example"), once("token-2", "request-2")))
		want("x", of("x", "https://two.example"))
		for n := range controlplane.MaxRegistrations - 1 {
			good("another one", s.Put(ctx, pc, of(fmt.Sprint("y", n), "https://y.example"), nil))
		}
		kind("one too many", s.Put(ctx, pc, of("z", "https://z.example"), nil), problem.Conflict)
		want("z", nil)
		good("one of a full number is replaced", s.Put(ctx, pc, of("x", "https://three.example"), nil))
		good("removed", s.Delete(ctx, pc, "x", once("token-3", "request-4")))
		want("x", nil)
		good("there is room again", s.Put(ctx, pc, of("z", "https://z.example"), nil))
	}
}
