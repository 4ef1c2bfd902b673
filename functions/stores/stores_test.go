package stores

import (
	"testing"

	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

func TestABucketIsOpenedOnce(t *testing.T) {
	dir := t.TempDir()
	ten := &tenant.Tenant{Buckets: []tenant.Bucket{{Name: "a", URL: "file://" + dir}, {Name: "lost", URL: "file://" + dir + "/none"}}}
	p := New()
	defer p.Close()
	first, err := p.Open(t.Context(), ten, "a")
	if err != nil {
		t.Fatal(err)
	}
	if second, err := p.Open(t.Context(), ten, "a"); err != nil || second != first {
		t.Errorf("%v, %v; want the same store", second, err)
	}
	ten.Buckets[0].URL = "file://" + t.TempDir()
	if third, err := p.Open(t.Context(), ten, "a"); err != nil || third == first {
		t.Errorf("%v, %v; want another store for another folder", third, err)
	}
	if _, err := p.Open(t.Context(), ten, "none"); !problem.Is(err, problem.NotFound) {
		t.Errorf("a bucket that is not configured: %v", err)
	}
	if _, err := p.Open(t.Context(), ten, "lost"); err == nil || problem.Is(err, problem.NotFound) {
		t.Errorf("a folder that is not there: %v; want a passing failure", err)
	}
}
