package acceptance

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/infra/internal/demo"
	"github.com/tidegate/tidegate/infra/internal/local"
	"github.com/tidegate/tidegate/infra/internal/story"
	"github.com/tidegate/tidegate/shared/auth"
	"github.com/tidegate/tidegate/shared/management"
	"github.com/tidegate/tidegate/shared/tenant"
)

// poll is the time between two looks at a condition.
const poll = 50 * time.Millisecond

// house is a deployment under test.
type house struct {
	*local.Deployment

	layout local.Layout
	teller *story.Teller
	lines  *lines
}

// binDir is where make build puts the programs.
func binDir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../../bin")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "tidegate")); err != nil {
		t.Fatalf("the programs are not built: run 'make build' first (%v)", err)
	}
	return dir
}

// newLayout makes the folders of a deployment that goes away with the test, unless it fails.
func newLayout(t *testing.T) local.Layout {
	t.Helper()
	dir, err := os.MkdirTemp("", "tidegate-acceptance-") //nolint:usetesting // a failed test keeps it, to be looked at
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("buckets and logs are kept in", dir)
			return
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	port, err := local.FreeBasePort()
	if err != nil {
		t.Fatal(err)
	}
	layout, err := local.NewLayout(dir, port, "", "")
	if err != nil {
		t.Fatal(err)
	}
	return layout
}

// start starts a deployment; stop it with its Stop, or leave that to the end of the test.
func start(t *testing.T, layout local.Layout, env ...string) *house {
	t.Helper()
	secret, err := local.Prepare(layout, binDir(t))
	if err != nil {
		t.Fatal(err)
	}
	h := &house{layout: layout, lines: &lines{}}
	h.teller = story.NewTeller(h.lines, secret.Check)
	h.Deployment, err = local.Start(t.Context(), layout, secret, local.Options{
		BinDir: binDir(t), Teller: h.teller, Log: zerolog.New(h.lines), Env: env,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		h.stop(t)
		if t.Failed() {
			t.Log("the story so far:\n" + h.lines.String())
		}
	})
	return h
}

// stop stops the deployment, once.
func (h *house) stop(t *testing.T) {
	t.Helper()
	if h.Deployment == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := h.Stop(ctx); err != nil {
		t.Error(err)
	}
	h.Deployment = nil
}

// write puts a file into the provider's bucket, as a whole.
func (h *house) write(t *testing.T, name string, content []byte) demo.File {
	t.Helper()
	f, err := demo.Write(h.layout.Outbox, name, bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// eventually waits for a condition; what says what is missing.
func eventually(t *testing.T, limit time.Duration, what func() string) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		missing := what()
		if missing == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %v: %s", limit, missing)
		}
		time.Sleep(poll)
	}
}

// arrived tells which of the files are not yet at the consumer's, with the same content.
func (h *house) arrived(files []demo.File) func() string {
	return func() string {
		var missing []string
		for _, f := range files {
			if _, sum, err := demo.Digest(filepath.Join(h.layout.Inbox, filepath.FromSlash(f.Name))); err != nil || sum != f.SHA256 {
				missing = append(missing, f.Name)
			}
		}
		if len(missing) == 0 {
			return ""
		}
		return "not arrived: " + strings.Join(missing, ", ")
	}
}

// settled tells what keeps the consumer's supplies from being delivered.
func (h *house) settled(t *testing.T) func() string {
	t.Helper()
	cp := h.controlPlane(t, "consumer")
	return func() string {
		for tp, err := range cp.QueryTransfers(t.Context(), management.Query{}) {
			if err != nil {
				return err.Error()
			}
			if tp.State != "COMPLETED" && tp.State != "TERMINATED" {
				return "transfer " + tp.ID + " is " + tp.State
			}
		}
		return ""
	}
}

// controlPlane is a client of the sandbox with a tenant's own rights.
func (h *house) controlPlane(t *testing.T, participantContextID string) *management.Client {
	t.Helper()
	doc, err := tenant.Load(filepath.Join(h.layout.Tenants(), participantContextID+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := auth.ForTenant(doc, http.DefaultClient)
	if err != nil {
		t.Fatal(err)
	}
	return management.New(doc, tokens, http.DefaultClient)
}

// misbehave tells the sandbox how to treat a tenant from now on.
func (h *house) misbehave(t *testing.T, participantContextID string, how map[string]any) {
	t.Helper()
	key, err := os.ReadFile(h.layout.SandboxAdminFile())
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(how)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, h.layout.SandboxURL()+"/sandbox/misbehaviour/"+participantContextID, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(key)))
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode/100 != 2 {
		b, _ := io.ReadAll(res.Body)
		t.Fatalf("misbehaviour: %d %s", res.StatusCode, b)
	}
}

// lines gathers the story.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
