package acceptance

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/tidegate/tidegate/infra/internal/demo"
)

// TestEveryProcessMayBeKilled kills each process in turn, hard, while 200 small files and a large one are under way.
func TestEveryProcessMayBeKilled(t *testing.T) {
	h := start(t, newLayout(t))
	rnd := rand.NewChaCha8([32]byte{1})
	content := func(n int) []byte {
		b := make([]byte, n)
		_, _ = rnd.Read(b)
		return b
	}
	files := []demo.File{h.write(t, "large.bin", content(192<<20))}
	for i := range 200 {
		files = append(files, h.write(t, fmt.Sprintf("small %03d.csv", i), content(1000+i)))
	}
	killed := 0
	for _, p := range h.Processes() {
		if p.Name == "sandbox" { // somebody else's, and tested by its own misbehaviour
			continue
		}
		time.Sleep(500 * time.Millisecond) // so that each end falls into another phase of the work
		if err := p.Kill(); err != nil {
			t.Error(err) // it was not running although nobody had killed it yet
		}
		killed++
	}
	t.Logf("killed %d processes", killed)
	eventually(t, 3*time.Minute, h.arrived(files))
	eventually(t, time.Minute, h.settled(t))
	h.once(t, files)
}
