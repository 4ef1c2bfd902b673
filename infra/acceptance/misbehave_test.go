package acceptance

import (
	"fmt"
	"testing"
	"time"

	"github.com/tidegate/tidegate/infra/internal/demo"
)

// TestAControlPlaneThatMisbehavesInEveryWay has the sandbox be slow, fail, lose and repeat events and calls, all at once.
func TestAControlPlaneThatMisbehavesInEveryWay(t *testing.T) {
	h := start(t, newLayout(t))
	for i, pc := range []string{"provider", "consumer"} {
		h.misbehave(t, pc, map[string]any{
			"seed": 7 + i, "slow": map[string]any{"minMs": 0, "maxMs": 100}, "errorRate": 0.1, "errorAfterRate": 0.1,
			"duplicateEvents": 0.3, "loseEvents": 0.3, "reorderEvents": 0.3, "duplicateDps": 0.3, "duplicateDpsNewId": 0.3, "refuseCallbacks": 1,
		})
	}
	var files []demo.File
	for i := range 40 {
		files = append(files, h.write(t, fmt.Sprintf("folder %d/file %02d.csv", i%3, i), fmt.Appendf(nil, "%d;%s", i, time.Now())))
	}
	eventually(t, 3*time.Minute, h.arrived(files))
	for _, pc := range []string{"provider", "consumer"} {
		h.misbehave(t, pc, map[string]any{"seed": 1})
	}
	eventually(t, time.Minute, h.settled(t))
	h.once(t, files)
}
