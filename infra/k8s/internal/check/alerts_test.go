package check_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

const runBook = "../../../../docs/operate.md"

// alert is a rule of components/alerts.
type alert struct {
	Alert, Expr string
	Annotations map[string]string
}

func alerts(t *testing.T) []alert {
	t.Helper()
	b, err := os.ReadFile("../../components/alerts/rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var rule struct {
		Spec struct {
			Groups []struct{ Rules []alert }
		}
	}
	if err := yaml.Unmarshal(b, &rule); err != nil {
		t.Fatal(err)
	}
	var all []alert
	for _, g := range rule.Spec.Groups {
		all = append(all, g.Rules...)
	}
	if len(all) == 0 {
		t.Fatal("there are no alerts")
	}
	return all
}

// Who is woken finds what to do: each alert has its entry in the run-book, by its name, and no entry is of an alert that is no more.
func TestEachAlertHasAnEntryInTheRunBookAndTheReverse(t *testing.T) {
	b, err := os.ReadFile(runBook)
	if err != nil {
		t.Fatal(err)
	}
	var entries, names []string
	for _, m := range regexp.MustCompile(`(?m)^### (Tidegate\w+)\n\n(.+)$`).FindAllStringSubmatch(string(b), -1) {
		entries = append(entries, m[1])
	}
	for _, a := range alerts(t) {
		names = append(names, a.Alert)
		if want := "/docs/operate.md#" + strings.ToLower(a.Alert); !strings.HasSuffix(a.Annotations["runbook_url"], want) {
			t.Errorf("%s: runbook_url is %q, want …%s", a.Alert, a.Annotations["runbook_url"], want)
		}
		if a.Annotations["summary"] == "" {
			t.Errorf("%s: has no summary", a.Alert)
		}
	}
	slices.Sort(entries)
	slices.Sort(names)
	if !slices.Equal(entries, names) {
		t.Errorf("entries of the run-book: %v, alerts: %v", entries, names)
	}
}

// An alert on a metric that nobody gives never fires, or always does.
func TestEachMetricThatIsWatchedIsGiven(t *testing.T) {
	given := metricsOfTheCode(t)
	name := regexp.MustCompile(`tidegate_\w+`)
	for _, a := range alerts(t) {
		for _, m := range name.FindAllString(a.Expr, -1) {
			if !given[m] {
				t.Errorf("%s: no program gives %s", a.Alert, m)
			}
		}
	}
	for _, file := range []string{runBook, "../../base/gateway/autoscaler.yaml"} {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range name.FindAllString(string(b), -1) {
			if !given[m] {
				t.Errorf("%s: no program gives %s", file, m)
			}
		}
	}
}

// metricsOfTheCode are the names of metrics as the programs register them.
func metricsOfTheCode(t *testing.T) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	whole, short := regexp.MustCompile(`(?:Name: |NewDesc\()"(tidegate_\w+)"`), regexp.MustCompile(`= (?:counter|histogram)\("(\w+)"|: +(?:counter|histogram)\("(\w+)"`)
	for _, pattern := range []string{"dps-gateway/internal/*/*.go", "shared/*/*.go"} {
		files, err := filepath.Glob(filepath.Join("../../../..", pattern))
		if err != nil || len(files) == 0 {
			t.Fatal("no code: ", err)
		}
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range whole.FindAllStringSubmatch(string(b), -1) {
				out[m[1]] = true
			}
			for _, m := range short.FindAllStringSubmatch(string(b), -1) {
				out["tidegate_"+m[1]+m[2]] = true
			}
		}
	}
	return out
}
