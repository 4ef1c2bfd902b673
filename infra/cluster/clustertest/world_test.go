package clustertest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/infra/internal/demo"
	"github.com/tidegate/tidegate/shared/auth"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/objectstore"
	"github.com/tidegate/tidegate/shared/tenant"
)

const (
	namespace = "tidegate"           // of the overlay dev
	ours      = "cluster-test"       // label of the namespace: an installation that somebody else made is not touched
	localRepo = "dev.local/tidegate" // the repository that the overlay dev names
)

// world is the installation under test, and the ways to it.
type world struct {
	api      api
	watch    *watcher
	broker   *broker
	repo     string // where the cluster gets the images from
	manifest string // the rendered overlay
	gateway  *gatewayapi.Client
	outbox   objectstore.Store // the provider's bucket
	inbox    objectstore.Store // the consumer's
	open     *openFlow         // see opened

	flowsOpened int // by opened
}

// install installs the overlay dev and waits until all of it is ready.
func install(t *testing.T) *world {
	t.Helper()
	if os.Getenv("CLUSTER_TEST") == "" { // a KUBECONFIG alone does not say that the cluster behind it is one for tests
		t.Skip("needs a cluster: make cluster-test")
	}
	w := &world{repo: strings.TrimSuffix(os.Getenv("IMAGE_REPO"), "/")}
	if w.repo == "" {
		w.repo = localRepo
	}
	b, err := os.ReadFile(os.Getenv("CLUSTER_MANIFEST"))
	if err != nil {
		t.Fatalf("CLUSTER_MANIFEST, the rendered overlay dev: %v", err)
	}
	if err := os.RemoveAll(logDir()); err != nil { // of the run before
		t.Fatal(err)
	}
	w.api = startAPI(t)
	w.claimNamespace(t)
	w.watch = watchPods(t, w.api, logDir())
	t.Cleanup(func() { evidence(t) })
	began := time.Now()
	w.manifest = w.images(string(b))
	apply(t, w.manifest)
	w.waitReady(t)
	t.Logf("installed and ready after %v", time.Since(began).Round(time.Second))
	w.connect(t)
	w.registered(t)
	t.Logf("all tenants registered after %v", time.Since(began).Round(time.Second))
	return w
}

// images has a manifest name the images of the repository that the cluster gets them from.
func (w *world) images(manifest string) string {
	return strings.ReplaceAll(manifest, localRepo+"/", w.repo+"/")
}

// claimNamespace makes the namespace, and refuses one that is somebody else's.
func (w *world) claimNamespace(t *testing.T) {
	t.Helper()
	// A namespace that is going away, of the run before, is waited for: nothing can be made in it.
	out := ""
	eventually(t, 5*time.Minute, func() error {
		var err error
		out, err = tryKubectl(t.Context(), "", "get", "namespace", namespace, "--ignore-not-found", "-o",
			"jsonpath={.metadata.labels."+ours+"}|{.metadata.name}|{.status.phase}")
		if err == nil && strings.HasSuffix(out, "|Terminating") {
			err = fmt.Errorf("namespace %s is still going away", namespace)
		}
		return err
	})
	switch out {
	case "":
		for _, args := range [][]string{{"create", "namespace", namespace}, {"label", "namespace", namespace, ours + "=true"}} {
			if _, err := tryKubectl(t.Context(), "", args...); err != nil {
				t.Fatal(err)
			}
		}
	case "true|" + namespace + "|Active":
	default:
		t.Fatalf("namespace %s is there and is not this test's; remove it, or label it %s=true if it may be used and removed", namespace, ours)
	}
	t.Cleanup(func() {
		if t.Failed() && os.Getenv("CLUSTER_KEEP") != "" {
			t.Logf("namespace %s is kept", namespace)
			return
		}
		if _, err := tryKubectl(context.Background(), "", "delete", "namespace", namespace, "--timeout=300s"); err != nil {
			t.Error(err)
		}
	})
}

// waitReady waits for everything that the overlay installs; what hinders it is told.
func (w *world) waitReady(t *testing.T) {
	t.Helper()
	for _, what := range [][]string{
		{"rollout", "status", "statefulset/redis"},
		{"rollout", "status", "statefulset/sandbox"},
		{"rollout", "status", "statefulset/s3-provider"},
		{"rollout", "status", "statefulset/s3-consumer"},
		{"wait", "--for=condition=Ready", "broker", "--all"},
		{"wait", "--for=condition=Ready", "ksvc", "--all"},
		{"wait", "--for=condition=Ready", "trigger", "--all"},
		{"rollout", "status", "deployment/dps-gateway"},
	} {
		args := append([]string{"-n", namespace}, append(what, "--timeout=300s")...)
		if _, err := tryKubectl(t.Context(), "", args...); err != nil {
			state, _ := tryKubectl(t.Context(), "", "get", "pods,ksvc,broker,trigger", "-n", namespace)
			t.Fatalf("%v\n%s", err, state)
		}
	}
}

// connect opens the ways to the gateway and to both buckets.
func (w *world) connect(t *testing.T) {
	t.Helper()
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(secret(t, "internal-token", "internal-token")), 0o600); err != nil {
		t.Fatal(err)
	}
	shared, err := auth.NewSharedSecret(token)
	if err != nil {
		t.Fatal(err)
	}
	base := http.DefaultTransport.(*http.Transport).Clone()
	base.DisableKeepAlives = true // a forwarding that was made anew knows nothing of old connections
	hc := &http.Client{Timeout: 20 * time.Second, Transport: shared.Transport(base)}
	w.gateway = gatewayapi.NewClient("http://"+forward(t, namespace, "dps-gateway", 80), hc)
	w.broker = reachBroker(t)
	w.outbox = bucket(t, "provider", "outbox")
	w.inbox = bucket(t, "consumer", "inbox")
}

// bucket opens a tenant's bucket.
func bucket(t *testing.T, of, name string) objectstore.Store {
	t.Helper()
	credentials := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(credentials, []byte(secret(t, "tenant-secrets", of+"-s3")), 0o600); err != nil {
		t.Fatal(err)
	}
	url := fmt.Sprintf("s3://%s?region=us-east-1&endpoint=http://%s&s3ForcePathStyle=true", name, forward(t, namespace, "s3-"+of, 80))
	s, err := objectstore.Open(t.Context(), tenant.Bucket{Name: name, URL: url, CredentialsFile: credentials})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// registered waits until the control plane knows the data plane of each tenant.
func (w *world) registered(t *testing.T) {
	t.Helper()
	eventually(t, 2*time.Minute, func() error {
		known := 0
		for s, err := range w.gateway.Tenants(t.Context()) {
			switch {
			case err != nil:
				return err
			case !s.Registered:
				return fmt.Errorf("tenant %s is not registered: %s", s.ParticipantContextID, strings.Join(s.Problems, "; "))
			}
			known++
		}
		if known == 0 {
			return fmt.Errorf("the gateway knows no tenant")
		}
		return nil
	})
}

// put puts a file into the provider's bucket.
func (w *world) put(t *testing.T, name string, r io.Reader, size int64) demo.File {
	t.Helper()
	h := sha256.New()
	if _, err := w.outbox.Put(t.Context(), name, objectstore.ContentType(name), io.TeeReader(r, h)); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return demo.File{Name: name, Size: size, SHA256: hex.EncodeToString(h.Sum(nil))}
}

// putBytes makes a file of its name and size: the same ones give the same bytes.
func (w *world) putBytes(t *testing.T, name string, size int) demo.File {
	t.Helper()
	return w.put(t, name, bytes.NewReader(bytes.Repeat([]byte(name+"\n"), size/(len(name)+1)+1)[:size]), int64(size))
}

// arrived tells whether a file is at the consumer's with the same content.
func (w *world) arrived(ctx context.Context, f demo.File) error {
	r, _, err := w.inbox.Open(ctx, f.Name, "", 0, -1)
	if err != nil {
		return fmt.Errorf("%s: %w", f.Name, err)
	}
	defer func() { _ = r.Close() }()
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return fmt.Errorf("%s: %w", f.Name, err)
	}
	if hex.EncodeToString(h.Sum(nil)) != f.SHA256 {
		return fmt.Errorf("%s arrived with another content", f.Name)
	}
	return nil
}

// allArrive waits until all files are at the consumer's.
func (w *world) allArrive(t *testing.T, files []demo.File, limit time.Duration) {
	t.Helper()
	open := files
	eventually(t, limit, func() error {
		var missing []demo.File
		var last error
		for _, f := range open {
			if err := w.arrived(t.Context(), f); err != nil {
				missing, last = append(missing, f), err
			}
		}
		if open = missing; len(open) > 0 {
			return fmt.Errorf("%d of %d files are missing: %w", len(open), len(files), last)
		}
		return nil
	})
}
