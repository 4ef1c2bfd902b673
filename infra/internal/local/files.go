package local

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/google/renameio/v2"

	"github.com/tidegate/tidegate/eventing/manifests"
)

//go:embed files
var files embed.FS

// values is what the templates of the files are filled with.
type values struct {
	Sandbox, SandboxAddr, Signaling string
	Secrets, State                  string
	Outbox, Inbox                   string
	ControlPlaneKey                 string
}

// writeFiles makes the folders, secrets, tenants, manifests and the sandbox's configuration of a deployment.
func (l Layout) writeFiles() error {
	for _, d := range []string{"secrets", "tenants", "logs", "manifests", "state/broker", "state/sandbox"} {
		if err := os.MkdirAll(l.path(filepath.FromSlash(d)), 0o750); err != nil {
			return fmt.Errorf("-dir: %w", err)
		}
	}
	for _, name := range []string{"internal-token", "sandbox-admin", "provider-app", "provider-cp", "consumer-app", "consumer-cp"} {
		if _, err := ensureSecret(l.secret(name)); err != nil {
			return err
		}
	}
	key, err := ensureSecret(l.secret("controlplane-key"))
	if err != nil {
		return err
	}
	v := values{
		Sandbox: l.SandboxURL(), SandboxAddr: l.addr(portSandbox), Signaling: l.SignalingURL(), Secrets: l.path("secrets"), State: l.path("state"),
		Outbox: fileURL(l.Outbox), Inbox: fileURL(l.Inbox), ControlPlaneKey: key,
	}
	for _, name := range []string{"tenants/provider.yaml", "tenants/consumer.yaml", "sandbox.yaml"} {
		if err := l.writeTemplate(name, v); err != nil {
			return err
		}
	}
	return l.writeManifests()
}

// writeManifests copies Tidegate's own manifests, and over them those of one machine.
func (l Layout) writeManifests() error {
	for _, src := range []struct {
		fs  fs.FS
		dir string
	}{{manifests.Files, "."}, {files, "files/manifests"}} {
		names, err := fs.Glob(src.fs, path.Join(src.dir, "*.yaml"))
		if err != nil {
			return fmt.Errorf("manifests: %w", err)
		}
		for _, name := range names {
			b, err := fs.ReadFile(src.fs, name)
			if err != nil {
				return fmt.Errorf("manifests: %w", err)
			}
			if err := renameio.WriteFile(l.path("manifests", path.Base(name)), b, 0o640); err != nil {
				return fmt.Errorf("manifests: %w", err)
			}
		}
	}
	return nil
}

// generated opens a file that the launcher made: it carries the digest of what follows, so that a file that somebody has
// changed since is told from one that may be made anew.
const generated = "# made by the launcher, which renews it as long as nobody changes it: "

// writeTemplate fills in a file, unless a person has changed it.
func (l Layout) writeTemplate(name string, v values) error {
	src, err := files.ReadFile("files/" + name)
	if err != nil {
		return fmt.Errorf("template: %w", err)
	}
	tmpl, err := template.New(name).Option("missingkey=error").Parse(string(src))
	if err != nil {
		return fmt.Errorf("template: %w", err)
	}
	var body bytes.Buffer
	if err := tmpl.Execute(&body, v); err != nil {
		return fmt.Errorf("template: %w", err)
	}
	file := l.path(filepath.FromSlash(name))
	changed, err := changedByPerson(file)
	if err != nil || changed {
		return err
	}
	out := append([]byte(generated+digest(body.Bytes())+"\n"), body.Bytes()...)
	if err := renameio.WriteFile(file, out, 0o640); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func changedByPerson(file string) (bool, error) {
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading what is there: %w", err)
	}
	first, rest, _ := strings.Cut(string(b), "\n")
	return strings.TrimPrefix(first, generated) != digest([]byte(rest)), nil
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
