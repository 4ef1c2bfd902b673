package acceptance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/eventing/localbroker/filter"
	"github.com/tidegate/tidegate/eventing/localbroker/manifest"
	"github.com/tidegate/tidegate/eventing/manifests"
	"github.com/tidegate/tidegate/infra/internal/supervisor"
)

const acmeDocument = `participantContextId: acme
did: did:web:acme.example
controlPlane:
  managementUrl: %[1]s/management
  signalingUrl: %[1]s/signaling
  signaling: {authorization: {type: network}}
auth: {type: client_credentials, tokenEndpoint: '%[1]s/token', clientId: x, clientSecretFile: %[2]s}
buckets: [{name: outbox, url: 'file://%[3]s'}]
`

// While a function is upgraded its new revision is given what the old gateway and the old functions have sent: each consumer decodes each event
// of each release that its Triggers deliver.
func TestEachConsumerReadsTheEventsOfTheReleases(t *testing.T) {
	dir := t.TempDir()
	// Neither the gateway nor the control plane is there: who has read an event fails for want of them, and not for the event.
	away := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	t.Cleanup(away.Close)
	for file, text := range map[string]string{
		"token": "a-secret-of-the-acceptance-tests", "tenants/acme.yaml": fmt.Sprintf(acmeDocument, away.URL, filepath.Join(dir, "token"), dir),
	} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(file)), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	delivered := deliveries(t)
	if len(delivered) != 5 {
		t.Errorf("%d functions are given events of releases, want five: %v", len(delivered), delivered)
	}
	for name, events := range delivered {
		t.Run(name, func(t *testing.T) {
			addr := freeAddr(t)
			host, port, err := net.SplitHostPort(addr)
			if err != nil {
				t.Fatal(err)
			}
			p, err := supervisor.Start(supervisor.Program{
				Name: name, Path: filepath.Join(binDir(t), name), Log: filepath.Join(dir, name+".log"), Health: "http://" + addr + "/readyz",
				Env: append(fleetEnv(), "HOST="+host, "PORT="+port, "K_SINK="+away.URL, "GATEWAY_URL="+away.URL,
					"INTERNAL_TOKEN_FILE="+filepath.Join(dir, "token"), "TENANTS_DIR="+filepath.Join(dir, "tenants")),
			}, zerolog.Nop())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { supervisor.Stop(10*time.Second, p) })
			is(t, "http://"+addr+"/readyz", name)
			for file, e := range events {
				if status, body := deliver(t, addr, e); status == http.StatusBadRequest || status == http.StatusUnprocessableEntity || status == http.StatusUnauthorized {
					t.Errorf("%s: %d %s", file, status, body)
				}
				if name == "subscription-manager" {
					continue // an event tells it to look, and it does not read what else it says
				}
				broken := e.Clone()
				broken.SetDataContentType(event.ApplicationJSON)
				broken.DataEncoded, broken.DataBase64 = []byte(`"no object"`), false
				if status, body := deliver(t, addr, &broken); status != http.StatusBadRequest {
					t.Errorf("%s with broken data: %d %s, want 400: is it read at all?", file, status, body)
				}
			}
		})
	}
}

// deliveries are the events of the releases that have data, by the functions whose Triggers want them.
func deliveries(t *testing.T) map[string]map[string]*event.Event {
	t.Helper()
	files, err := filepath.Glob("../../eventing/catalogue/testdata/releases/*/events/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no events of releases: %v", err)
	}
	names, err := manifests.Files.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var all [][]byte
	for _, n := range names {
		b, err := manifests.Files.ReadFile(n.Name())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
	}
	set, err := manifest.Parse("manifests", bytes.Join(all, []byte("\n---\n")))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]map[string]*event.Event{}
	for i := range set.Triggers {
		f, err := filter.ForTrigger(&set.Triggers[i])
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			for name, e := range readEvents(t, file) {
				if e.Type() == catalogue.Schedule || !filter.Matches(f, e) { // a tick has no data
					continue
				}
				to := set.Triggers[i].Subscriber.Service
				if out[to] == nil {
					out[to] = map[string]*event.Event{}
				}
				out[to][name] = e
			}
		}
	}
	return out
}

// readEvents reads a release's event; what is told of a flow is an event of a push too, for which another function is woken.
func readEvents(t *testing.T, file string) map[string]*event.Event {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	e := event.New()
	if err := json.Unmarshal(b, &e); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	name := filepath.Base(filepath.Dir(filepath.Dir(file))) + " " + e.Type()
	out := map[string]*event.Event{name: &e}
	if e.Extensions()[catalogue.ExtFlowRole] != nil {
		push := e.Clone()
		push.SetExtension(catalogue.ExtFlowRole, "PROVIDER")
		push.SetExtension(catalogue.ExtFlowDirection, "PUSH")
		out[name+" of a push"] = &push
	}
	return out
}

func deliver(t *testing.T, addr string, e *event.Event) (status int, body string) {
	t.Helper()
	b, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+addr+"/", bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", event.ApplicationCloudEventsJSON)
	req.Header.Set("Authorization", "Bearer a-secret-of-the-acceptance-tests")
	client := &http.Client{Timeout: 2 * time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }() // read to its end
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, strings.TrimSpace(string(text))
}
