package objectstore_test

import (
	"fmt"
	"testing"

	"github.com/tidegate/tidegate/shared/objectstore"
	"github.com/tidegate/tidegate/shared/objectstore/objectstoretest"
	"github.com/tidegate/tidegate/shared/tenant"
)

func openBucket(t testing.TB, b tenant.Bucket) objectstore.Store {
	t.Helper()
	s, err := objectstore.Open(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestS3StoreKeepsTheContract(t *testing.T) {
	server := objectstoretest.StartS3(t)
	n := 0
	objectstoretest.Run(t, func(t *testing.T) (objectstore.Store, func(*testing.T) objectstore.Store) {
		t.Helper()
		n++
		b := server.Bucket(t, fmt.Sprintf("contract-%d", n))
		return openBucket(t, b), func(t *testing.T) objectstore.Store { t.Helper(); return openBucket(t, b) }
	})
}
