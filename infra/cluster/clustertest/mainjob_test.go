package clustertest

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tidegate/tidegate/infra/internal/demo"
)

// arrival is how long a file may take on a small machine whose functions are all at zero.
const arrival = 5 * time.Minute

func (w *world) rests(t *testing.T) { //nolint:thelper // a chapter of the test, no helper
	w.atZero(t)
}

// mainJob has the demo's files go their way, starting with everything at zero, and looks whether all is at zero again.
func (w *world) mainJob(t *testing.T) { //nolint:thelper // a chapter of the test, no helper
	dir := t.TempDir()
	files, err := demo.Make(dir, 1)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := demo.Secret(dir)
	if err != nil {
		t.Fatal(err)
	}
	files = append(files, secret)
	put := map[string]time.Time{}
	for _, f := range files {
		r, err := os.Open(filepath.Join(dir, filepath.FromSlash(f.Name)))
		if err != nil {
			t.Fatal(err)
		}
		w.put(t, f.Name, r, f.Size)
		put[f.Name] = time.Now()
		_ = r.Close() // it was only read
	}
	w.allArrive(t, accepted(files), arrival)
	eventually(t, arrival, func() error { return w.decided(t.Context(), secret) })
	table(t, files, put, w.once(t, files))
	w.rests(t)
}

// accepted are the files that the rules don't reject.
func accepted(files []demo.File) []demo.File {
	var out []demo.File
	for _, f := range files {
		if !f.Reject {
			out = append(out, f)
		}
	}
	return out
}
