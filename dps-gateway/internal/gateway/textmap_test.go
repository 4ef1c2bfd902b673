package gateway_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// tested finds the tests that the documentation names, with a row of their table.
var tested = regexp.MustCompile("`(Test[A-Za-z0-9_]+)(?:: ([^`]+))?`")

// TestTheMapOfTheText holds docs/signaling.md to the tests by which it says that what Data Plane Signaling demands is kept.
func TestTheMapOfTheText(t *testing.T) {
	const root = "../../.."
	doc, err := os.ReadFile(root + "/docs/signaling.md")
	if err != nil {
		t.Fatal(err)
	}
	sources := map[string]string{} // of a test's file, by the test's name
	for _, module := range []string{"dps-gateway", "shared"} {
		err := filepath.WalkDir(filepath.Join(root, module), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
				return err
			}
			b, err := os.ReadFile(path)
			for _, f := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllStringSubmatch(string(b), -1) {
				sources[f[1]] += string(b)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	_, section, _ := strings.Cut(string(doc), "\n## The text, and where it is tested\n")
	section, _, _ = strings.Cut(section, "\n## ")
	rows := 0
	for line := range strings.Lines(section) {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| about |") {
			continue
		}
		rows++
		named := tested.FindAllStringSubmatch(line, -1)
		if len(named) == 0 {
			t.Errorf("no test is named: %s", line)
		}
		for _, n := range named {
			source, ok := sources[n[1]]
			switch {
			case !ok:
				t.Errorf("there is no %s: %s", n[1], line)
			case n[2] != "" && !strings.Contains(source, strconv.Quote(n[2])):
				t.Errorf("%s has no row %q", n[1], n[2])
			}
		}
	}
	if rows < 20 {
		t.Errorf("%d rows were found", rows)
	}
}
