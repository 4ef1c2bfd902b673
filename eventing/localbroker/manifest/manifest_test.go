package manifest_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tidegate/tidegate/eventing/localbroker/manifest"
	"github.com/tidegate/tidegate/shared/problem"
)

// Each file of testdata/broken begins with what must be said of it: one line with file, line and field.
func TestBrokenManifestsAreRefusedWithFileLineAndField(t *testing.T) {
	files, err := filepath.Glob("testdata/broken/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no test data: %v", err)
	}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			content, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			first, _, _ := strings.Cut(string(content), "\n")
			want := strings.ReplaceAll(strings.TrimPrefix(first, "# want: "), "FILE", "x.yaml")
			_, err = manifest.Parse("x.yaml", content)
			if !problem.Is(err, problem.Invalid) {
				t.Fatalf("got %v, want an invalid", err)
			}
			if !strings.HasPrefix(err.Error(), want) {
				t.Errorf("got  %s\nwant %s", err, want)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("%q is more than one line", err)
			}
		})
	}
}

func TestATriggerWithoutDeliveryHasItsBrokersAndOneWithItsOwnFallsBackToTheDeadLetterSinkOnly(t *testing.T) {
	set, err := manifest.Parse("x.yaml", []byte(`
apiVersion: eventing.knative.dev/v1
kind: Broker
metadata: {name: default, labels: {a: b}}
spec:
  delivery: {retry: 7, backoffPolicy: exponential, backoffDelay: PT0.25S, timeout: PT1M, deadLetterSink: {ref: {apiVersion: v1, kind: Service, name: dead}, uri: /all}}
---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: without}
spec: {broker: default, filter: {attributes: {type: a}}, subscriber: {ref: {apiVersion: serving.knative.dev/v1, kind: Service, name: fn}, uri: /in}}
---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: with}
spec: {broker: default, subscriber: {uri: "http://x/y"}, delivery: {retry: 1, backoffPolicy: linear, backoffDelay: PT1S}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: not-for-us}
data: {any: thing}
---
apiVersion: sources.knative.dev/v1
kind: PingSource
metadata: {name: p, namespace: default}
spec:
  schedule: "30 0/2 * * *"
  timezone: Europe/Berlin
  contentType: application/json
  dataBase64: eyJhIjoxfQ==
  sink: {ref: {apiVersion: eventing.knative.dev/v1, kind: Broker, name: default}}
  ceOverrides: {extensions: {schedule: sweep}}
`))
	if err != nil {
		t.Fatal(err)
	}
	name := func(n string) manifest.Name { return manifest.Name{Namespace: "default", Name: n} }
	dead := &manifest.Destination{Service: "dead", URI: "/all"}
	all := manifest.Delivery{Retry: 7, Exponential: true, Delay: 250 * time.Millisecond, Timeout: time.Minute, DeadLetter: dead}
	want := &manifest.Set{
		Brokers: []manifest.Broker{{Name: name("default"), Delivery: &all}},
		Triggers: []manifest.Trigger{
			{
				Name: name("without"), Broker: name("default"), Attributes: map[string]string{"type": "a"},
				Subscriber: manifest.Destination{Service: "fn", URI: "/in"}, Delivery: all,
			},
			{
				Name: name("with"), Broker: name("default"), Subscriber: manifest.Destination{URI: "http://x/y"},
				Delivery: manifest.Delivery{Retry: 1, Delay: time.Second, DeadLetter: dead},
			},
		},
		Pings: []manifest.Ping{{
			Name: name("p"), Schedule: "CRON_TZ=Europe/Berlin 30 0/2 * * *", Broker: name("default"), ContentType: "application/json",
			Data: []byte(`{"a":1}`), Extensions: map[string]string{"schedule": "sweep"},
		}},
	}
	if diff := cmp.Diff(want, set, cmpopts.IgnoreTypes(manifest.Origin{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestLaterFoldersAddTriggersToTheBrokersOfEarlierOnes(t *testing.T) {
	first, second := t.TempDir(), t.TempDir()
	write := func(dir, name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(first, "b.yaml", "apiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata: {name: default}\n")
	write(first, "notes.txt", "no YAML: {")
	write(second, "t.yml", "apiVersion: eventing.knative.dev/v1\nkind: Trigger\nmetadata: {name: t}\nspec: {broker: default, subscriber: {uri: 'http://x'}}\n")
	set, err := manifest.LoadDirs(first, second)
	if err != nil {
		t.Fatal(err)
	}
	if len(set.Brokers) != 1 || len(set.Triggers) != 1 || set.Triggers[0].File != filepath.Join(second, "t.yml") {
		t.Errorf("got %+v", set)
	}
	if _, err := manifest.LoadDirs(filepath.Join(first, "none")); !problem.Is(err, problem.Invalid) {
		t.Errorf("a folder that is not there: %v", err)
	}
}

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"PT0.5S": 500 * time.Millisecond, "PT0,2S": 200 * time.Millisecond, "PT1M30S": 90 * time.Second, "P1DT2H": 26 * time.Hour,
		"PT0S": 0, "P2W": 14 * 24 * time.Hour,
	} {
		if got, err := manifest.ParseDuration(text); err != nil || got != want {
			t.Errorf("%s = %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "P", "PT", "1s", "PT-1S", "-PT1S", "P1Y", "P1M", "PT1S ", "PT1.S", "P9999999999999999999999D", "pt1s", "P1DT"} {
		if got, err := manifest.ParseDuration(text); err == nil {
			t.Errorf("%q is taken as %v", text, got)
		}
	}
}

// Whatever a file holds: no panic, one line of fault, and what is accepted is complete.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/broken/*.yaml", "../../manifests/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, name := range files {
			content, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(content)
		}
	}
	f.Add([]byte("apiVersion: &a eventing.knative.dev/v1\nkind: Broker\nmetadata: {name: *a}"))
	f.Add([]byte("apiVersion: eventing.knative.dev/v1\nkind: Trigger\n<<: 1"))
	f.Fuzz(func(t *testing.T, content []byte) {
		set, err := manifest.Parse("f.yaml", content)
		if err != nil {
			if !problem.Is(err, problem.Invalid) || strings.Contains(err.Error(), "\n") {
				t.Fatalf("%q", err)
			}
			return
		}
		brokers := map[manifest.Name]bool{}
		for _, b := range set.Brokers {
			brokers[b.Name] = true
		}
		for _, tr := range set.Triggers {
			if !brokers[tr.Broker] || (tr.Subscriber.Service == "" && tr.Subscriber.URI == "") || tr.Delivery.Retry < 0 || tr.Delivery.Delay < 0 {
				t.Fatalf("accepted %+v", tr)
			}
		}
	})
}
