package gateway_test

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/dps-gateway/internal/gateway"
	"github.com/tidegate/tidegate/dps-gateway/internal/redistest"
	"github.com/tidegate/tidegate/shared/function"
)

func TestAllFaultsOfTheEnvironmentAreToldTogether(t *testing.T) {
	for name, v := range map[string]string{
		"SIGNALING_URL": "ftp://x", "PUBLIC_URL": "http://public.example", "REDIS_URL": ":hunter2@redis:6379", "K_SINK": "nowhere",
		"APPROVER_URL": "http://a", "TENANTS_DIR": "/t", "INTERNAL_TOKEN_FILE": "/i", "CONTROLPLANE_KEY_FILE": "/c", "SIGNING_KEY_FILE": "/s",
		"TOKEN_TTL": "-1s", "METRICS_ADDR": "9090", "LOG_LEVEL": "loud", "TENANT_BYTES_PER_SECOND": "-1",
	} {
		t.Setenv(name, v)
	}
	_, err := function.LoadConfig[gateway.Config]()
	if err == nil {
		t.Fatal("accepted")
	}
	lines := strings.Split(err.Error(), "\n")
	for _, want := range []string{
		"SIGNALING_URL: ", "PUBLIC_URL: ", "REDIS_URL: ", "K_SINK: ", "DATA_SERVER_URL: is not set", "TOKEN_TTL: ", "METRICS_ADDR: ",
		"LOG_LEVEL: ", "TENANT_BYTES_PER_SECOND: ",
	} {
		if !slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, want) }) {
			t.Errorf("no line about %s", want)
		}
	}
	if len(lines) != 10 || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%s", err)
	}
}

func TestWhatCanNotStartSaysWhyAndLeavesNothingOpen(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	w := newWorld(t)
	for name, c := range map[string]struct {
		change func(c *gateway.Config)
		want   []string
	}{
		"an address in use": {
			func(c *gateway.Config) { c.PublicAddr = taken.Addr().String() },
			[]string{"PUBLIC_ADDR: " + taken.Addr().String() + " is in use by another process"},
		},
		"files that are not there": {
			func(c *gateway.Config) {
				c.InternalTokenFile, c.ControlPlaneKeyFile, c.TenantsDir = w.path("no-internal"), w.path("no-key"), w.path("no-tenants")
			},
			[]string{"INTERNAL_TOKEN_FILE: ", "CONTROLPLANE_KEY_FILE: ", "TENANTS_DIR: "},
		},
		"a key file that holds none": {
			func(c *gateway.Config) { c.SigningKeyFile = w.path("secrets/internal") },
			[]string{"SIGNING_KEY_FILE: "},
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := w.config()
			free, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			cfg.SignalingAddr = free.Addr().String()
			free.Close()
			c.change(&cfg)
			_, err = gateway.Open(t.Context(), cfg, zerolog.Nop())
			if err == nil {
				t.Fatal("opened")
			}
			lines := strings.Split(err.Error(), "\n")
			if len(lines) != len(c.want) {
				t.Errorf("%d lines: %s", len(lines), err)
			}
			for i := range min(len(lines), len(c.want)) {
				if !strings.HasPrefix(lines[i], c.want[i]) {
					t.Errorf("line %d is %q, want %q…", i+1, lines[i], c.want[i])
				}
			}
			again, err := net.Listen("tcp", cfg.SignalingAddr)
			if err != nil {
				t.Errorf("the signaling address was left open: %v", err)
			} else {
				again.Close()
			}
		})
	}
}

func TestReadinessSaysWhyNot(t *testing.T) {
	rdb, mini := redistest.Mini(t)
	w := newWorldOn(t, rdb, "redis://"+mini.Addr()+"/0")
	mini.SetError("ERR the disk is full")
	r := w.start(nil)
	probe := func(path string) (int, string) {
		res, err := r.hc.Get("http://" + r.metrics + path)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		return res.StatusCode, string(b)
	}
	if code, body := probe("/readyz"); code != 503 || !strings.Contains(body, "the disk is full") {
		t.Errorf("without Redis: %d %s", code, body)
	}
	if code, _ := probe("/healthz"); code != 200 {
		t.Errorf("live without Redis: %d", code)
	}
	mini.SetError("")
	within(t, "ready", func() bool { code, _ := probe("/readyz"); return code == 200 })
	if err := os.Rename(w.path("tenants"), w.path("elsewhere")); err != nil {
		t.Fatal(err)
	}
	if code, body := probe("/readyz"); code != 503 || !strings.Contains(body, "TENANTS_DIR") {
		t.Errorf("without a tenants' folder: %d %s", code, body)
	}
	if err := os.Rename(w.path("elsewhere"), w.path("tenants")); err != nil {
		t.Fatal(err)
	}
}

func TestARedisThatIsAwayIsAPassingFailureEverywhere(t *testing.T) {
	rdb, mini := redistest.Mini(t)
	w := newWorldOn(t, rdb, "redis://"+mini.Addr()+"/0")
	r := w.start(nil)
	g := r.startFlow("provider", r.publish("provider", "a", []byte("a")))
	mini.SetError("ERR the disk is full")
	for name, req := range map[string]*http.Request{
		"data":   r.request(http.MethodGet, g),
		"record": r.internalRequest(http.MethodGet, "/v1/participants/provider/datasets/x", ""),
		"flows":  r.internalRequest(http.MethodGet, "/v1/participants/provider/dataflows", ""),
		"put":    r.internalRequest(http.MethodPut, "/v1/participants/provider/deliveries/x", `{"id":"x","sink":"s","key":"k","size":1}`),
	} {
		a := r.do(req)
		if a.code != 503 || a.header.Get("Retry-After") == "" {
			t.Errorf("%s: %d %v", name, a.code, a.header)
		}
		if strings.Contains(string(a.body), "the disk is full") {
			t.Errorf("%s: the cause is told: %s", name, a.body)
		}
	}
	mini.SetError("")
	within(t, "served again", func() bool { return r.get(g).code == 200 })
}

func TestMetricsTellWhatHappened(t *testing.T) {
	w := newWorld(t)
	r := w.start(nil)
	g := r.startFlow("provider", r.publish("provider", "a", []byte("a")))
	r.get(g)
	res, err := r.hc.Get("http://" + r.metrics + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`tidegate_flow_transitions_total{participant_context="provider",state="STARTED"} 1`,
		`tidegate_signals_total{outcome="applied",participant_context="provider",signal="start"} 1`,
		`tidegate_data_requests_total{code="200",participant_context="provider"} 1`,
		`tidegate_data_bytes_total{participant_context="provider"} 1`,
		`tidegate_data_streams{participant_context="provider"} 0`,
		`tidegate_parked{participant_context="-"} 0`,
		"tidegate_outbox_depth ", "tidegate_outbox_oldest_seconds ", "go_goroutines ", "process_resident_memory_bytes ", "tidegate_build_info{",
	} {
		if !strings.Contains(string(b), want) {
			t.Errorf("no %s", want)
		}
	}
}

func TestTheKeysOfTokensArePublic(t *testing.T) {
	w := newWorld(t)
	r := w.start(nil)
	res, err := r.hc.Get("http://" + r.public + "/.well-known/jwks.json")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var set struct {
		Keys []map[string]string `json:"keys"`
	}
	if err := json.NewDecoder(res.Body).Decode(&set); err != nil {
		t.Fatal(err)
	}
	if len(set.Keys) != 1 || set.Keys[0]["alg"] != "ES256" || set.Keys[0]["d"] != "" {
		t.Errorf("%v", set.Keys)
	}
	if c := res.Header.Get("Cache-Control"); c != "public, max-age=300" {
		t.Errorf("Cache-Control: %q", c)
	}
}
