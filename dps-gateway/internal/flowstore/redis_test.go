package flowstore_test

import (
	"errors"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tidegate/tidegate/dps-gateway/internal/flowstore"
	"github.com/tidegate/tidegate/dps-gateway/internal/flowstore/flowstoretest"
	"github.com/tidegate/tidegate/dps-gateway/internal/outbox"
	"github.com/tidegate/tidegate/dps-gateway/internal/redistest"
	"github.com/tidegate/tidegate/shared/problem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestContract(t *testing.T) {
	for name, open := range redistest.Kinds() {
		t.Run(name, func(t *testing.T) {
			rdb := open(t)
			flowstoretest.Run(t, flowstoretest.Suite{Store: flowstore.New(rdb, outbox.NewBell(), time.Hour), Redis: rdb})
		})
	}
}

func TestContractOnCluster(t *testing.T) {
	rdb := redistest.Cluster3(t)
	flowstoretest.Run(t, flowstoretest.Suite{Store: flowstore.New(rdb, outbox.NewBell(), time.Hour), Redis: rdb})
}

func TestRedisThatIsGoneIsUnavailableWithRetryAfter(t *testing.T) {
	rdb, m := redistest.Mini(t)
	s := flowstore.New(rdb, outbox.NewBell(), time.Hour)
	m.Close()
	_, err := s.Apply(t.Context(), flowstoretest.Create("t", "a", "CONSUMER"))
	var p *problem.Error
	if !problem.Is(err, problem.Unavailable) || !asProblem(err, &p) || p.RetryAfter <= 0 {
		t.Errorf("apply: %v", err)
	}
	if _, err := s.Live(t.Context(), "t", "a"); !problem.Is(err, problem.Unavailable) {
		t.Errorf("live: %v", err)
	}
}

func asProblem(err error, p **problem.Error) bool {
	e, ok := errors.AsType[*problem.Error](err)
	*p = e
	return ok
}
