package gateway_test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/tidegate/tidegate/dps-gateway/openapi/openapitest"
)

// described holds every exchange of these tests with a listener to its description.
var described = func() *openapitest.Recorder {
	r, err := openapitest.New()
	if err != nil {
		panic(err)
	}
	return r
}()

// TestMain also fails if the tests, run whole, have not seen an answer that a listener's description says it may give.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if left := described.Unseen(); code == 0 && whole() && len(left) > 0 {
			fmt.Fprintf(os.Stderr, "%d answers are described in dps-gateway/openapi, and no test of internal/gateway has been given them.\n"+
				"Give them in a test (requests of running.hc and running.api count), or describe them no more:\n%s\n", len(left), strings.Join(left, "\n"))
			code = 1
		}
		os.Exit(code)
	}))
}

// whole tells whether all tests of the package ran.
func whole() bool {
	for _, name := range []string{"test.run", "test.skip", "test.list", "test.bench", "test.fuzz"} {
		if f := flag.Lookup(name); f != nil && f.Value.String() != "" {
			return false
		}
	}
	_, err := exec.LookPath("redis-server")
	return err == nil && !testing.Short()
}
