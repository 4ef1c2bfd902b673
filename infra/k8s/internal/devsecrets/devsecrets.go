// Package devsecrets makes the secrets of the overlay dev: random ones, each in a file of its own, made once. An overlay for others
// takes its secrets from where they are kept, not from here.
package devsecrets

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/tidegate/tidegate/shared/auth"
)

// random are the files with a secret of their own.
var random = []string{
	"internal-token", "controlplane-key", "redis-password", "sandbox-admin",
	"provider-app", "provider-cp", "consumer-app", "consumer-cp", "provider-s3-secret", "consumer-s3-secret",
}

// template is what a file is made of: ${name} stands for the content of the file name.
type template struct{ file, text string }

var templates = []template{
	{"redis.conf", "# Every write is in the file within a second.\nport 6379\ndir /data\nappendonly yes\nappendfsync everysec\nsave \"\"\n" +
		"maxmemory-policy noeviction\nrequirepass ${redis-password}\n"},
	{"provider-s3", "accessKey=provider\nsecretKey=${provider-s3-secret}\n"},
	{"consumer-s3", "accessKey=consumer\nsecretKey=${consumer-s3-secret}\n"},
	{"s3-provider.env", "ROOT_ACCESS_KEY=provider\nROOT_SECRET_KEY=${provider-s3-secret}\n" +
		"VGW_EVENT_WEBHOOK_URL=http://bucket-events.tidegate.svc.cluster.local/notifications/provider/outbox?keys=raw&key=${internal-token}\n"},
	{"s3-consumer.env", "ROOT_ACCESS_KEY=consumer\nROOT_SECRET_KEY=${consumer-s3-secret}\n"},
}

var variable = regexp.MustCompile(`\$\{[a-z0-9-]+\}`)

// Write makes what is missing in the folder "secrets" of the overlay. Random secrets that are there stay; files that are made of them
// are made anew.
func Write(overlay string) error {
	dir := filepath.Join(overlay, "secrets")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("secrets: %w", err)
	}
	for _, name := range random {
		if err := once(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	if _, err := auth.LoadOrCreateSigningKey(filepath.Join(dir, "signing-key.pem")); err != nil {
		return fmt.Errorf("secrets: signing-key.pem: %w", err)
	}
	sandbox, err := os.ReadFile(filepath.Join(overlay, "sandbox.yaml.in"))
	if err != nil {
		return fmt.Errorf("secrets: %w", err)
	}
	for _, t := range append([]template{{"sandbox.yaml", string(sandbox)}}, templates...) {
		text, err := fill(dir, t.text)
		if err != nil {
			return fmt.Errorf("secrets: %s: %w", t.file, err)
		}
		if err := os.WriteFile(filepath.Join(dir, t.file), []byte(text), 0o600); err != nil {
			return fmt.Errorf("secrets: %w", err)
		}
	}
	return nil
}

func once(file string) error {
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	raw := make([]byte, 24)
	if _, err := rand.Read(raw); err != nil {
		return fmt.Errorf("secrets: %w", err)
	}
	if err := os.WriteFile(file, []byte(hex.EncodeToString(raw)), 0o600); err != nil {
		return fmt.Errorf("secrets: %w", err)
	}
	return nil
}

func fill(dir, text string) (string, error) {
	var faults []error
	out := variable.ReplaceAllStringFunc(text, func(v string) string {
		b, err := os.ReadFile(filepath.Join(dir, strings.Trim(v, "${}")))
		faults = append(faults, err)
		return string(b)
	})
	return out, errors.Join(faults...)
}
