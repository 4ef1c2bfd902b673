package tenant

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Whatever a document holds: no panic, no success without an id, and every fault is one line with the file's name.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*/*.yaml")
	if err != nil || len(files) == 0 {
		f.Fatal("no seeds")
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		if len(data) < 8<<10 {
			f.Add(data)
		}
	}
	f.Add([]byte("a: &a [*a]\n"))
	f.Add([]byte("? {a: 1}\n: b\n"))
	f.Add([]byte("policies: [{name: a, access: " + strings.Repeat("{a: ", 40) + "1" + strings.Repeat("}", 40) + "}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		start := time.Now()
		tn, err := parse("testdata/complete/f.yaml", data, nil)
		if took := time.Since(start); took > 10*time.Second {
			t.Fatalf("took %s", took)
		}
		if (tn == nil) == (err == nil) {
			t.Fatalf("tenant %v, error %v", tn, err)
		}
		if err == nil {
			if !idPattern.MatchString(tn.ParticipantContextID) || tn.DID == "" {
				t.Fatalf("taken with id %q", tn.ParticipantContextID)
			}
			return
		}
		for line := range strings.SplitSeq(err.Error(), "\n") {
			if !strings.HasPrefix(line, "testdata/complete/f.yaml") {
				t.Fatalf("line %q of %q has no file", line, err)
			}
		}
		if _, ok := errors.AsType[*FaultError](err); !ok {
			t.Fatalf("%T is no fault", err)
		}
	})
}
