package gateway_test

import (
	"net/http"
	"testing"

	"github.com/tidegate/tidegate/dps-gateway/internal/gateway"
)

func TestProfilesAreServedOnlyIfTurnedOn(t *testing.T) {
	for name, test := range map[string]struct {
		on   bool
		code int
	}{"by default": {false, http.StatusNotFound}, "with PPROF": {true, http.StatusOK}} {
		t.Run(name, func(t *testing.T) {
			r := newWorld(t).start(func(c *gateway.Config) { c.PPROF = test.on })
			for addr, want := range map[string]int{r.metrics: test.code, r.public: http.StatusNotFound} {
				res, err := r.hc.Get("http://" + addr + "/debug/pprof/heap")
				if err != nil {
					t.Fatal(err)
				}
				res.Body.Close()
				if res.StatusCode != want {
					t.Errorf("%s answers %d, want %d", addr, res.StatusCode, want)
				}
			}
		})
	}
}
