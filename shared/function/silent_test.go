package function_test

import (
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/shared/function"
	"github.com/tidegate/tidegate/shared/function/functiontest"
)

// A client that dialled in reserve and never spoke must not use up the time to drain.
func TestAConnectionThatNeverSpokeDoesNotHoldUpTheStop(t *testing.T) {
	f := functiontest.Start(t, "", "", func(c *function.Config) { c.DrainTime = time.Minute }, func(*function.Service) {})
	conn, err := net.Dial("tcp", strings.TrimPrefix(f.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	res, err := http.Get(f.URL + "/healthz") // the server has accepted the silent connection before this one
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	began := time.Now()
	if err := f.Stop(); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(began); d > 4500*time.Millisecond {
		t.Errorf("the stop took %v", d)
	}
}
