package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/tidegate/tidegate/shared/problem"
)

const (
	maxSecretFile = 64 << 10 // bytes
	minSecret     = 16       // bytes of a line of a shared secret's file
	maxSecrets    = 16       // lines
)

// lookEvery is how old what is known of a secret's file may be. To look costs more than all else of a check.
const lookEvery = time.Second

// SharedSecret is a bearer secret read from a file: the first line is sent, every line is accepted, so that it can be
// rotated (add the new line below everywhere, then move it up everywhere, then remove the old one). The file is read anew
// within a second of its change, and at once for a token or a code that is not accepted; if it is then missing or broken, the last
// good version stays in force.
type SharedSecret struct {
	file string

	mu     sync.RWMutex
	seen   fs.FileInfo
	looked time.Time // when seen was
	lines  []secretLine
}

// secretLine is a line of the file.
type secretLine struct {
	text   string
	digest [sha256.Size]byte
	macKey []byte
}

// NewSharedSecret reads the file; an error if it is missing, empty, or a line is shorter than 16 bytes.
func NewSharedSecret(file string) (*SharedSecret, error) {
	s := &SharedSecret{file: file}
	info, err := os.Stat(file)
	if err != nil {
		return nil, fmt.Errorf("shared secret: %w", err)
	}
	if err := s.load(info); err != nil {
		return nil, fmt.Errorf("shared secret %s: %w", file, err)
	}
	return s, nil
}

// Value is the secret to send.
func (s *SharedSecret) Value() string { return s.inForce()[0].text }

// Check compares in constant time.
func (s *SharedSecret) Check(token string) bool {
	got := sha256.Sum256([]byte(token))
	return s.accepts(func(l *secretLine) bool { return subtle.ConstantTimeCompare(got[:], l.digest[:]) == 1 })
}

// accepts tells whether a line is the one: of the file as it is now, before it says no.
func (s *SharedSecret) accepts(is func(*secretLine) bool) bool {
	one := func(lines []secretLine) (ok bool) {
		for i := range lines {
			ok = is(&lines[i]) || ok
		}
		return ok
	}
	if one(s.inForce()) {
		return true
	}
	s.look()
	return one(s.inForce())
}

// Transport returns a RoundTripper that adds the secret as a bearer token; base nil means http.DefaultTransport. A
// redirect to another host is followed without the secret.
func (s *SharedSecret) Transport(base http.RoundTripper) http.RoundTripper {
	if base == nil {
		base = http.DefaultTransport
	}
	return &secretTransport{base: base, secret: s}
}

type secretTransport struct {
	base   http.RoundTripper
	secret *SharedSecret
}

// RoundTrip implements http.RoundTripper.
func (t *secretTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	first := r
	for first.Response != nil && first.Response.Request != nil {
		first = first.Response.Request // the request whose redirect caused this one
	}
	if first.URL.Scheme == r.URL.Scheme && first.URL.Host == r.URL.Host {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", "Bearer "+t.secret.Value())
	}
	return t.base.RoundTrip(r)
}

// inForce returns the lines in force, at least one.
func (s *SharedSecret) inForce() []secretLine {
	s.mu.RLock()
	lines, fresh := s.lines, time.Since(s.looked) < lookEvery
	s.mu.RUnlock()
	if fresh {
		return lines
	}
	s.look()
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.lines
}

// look reads the file again if it is another one than was read.
func (s *SharedSecret) look() {
	now := time.Now()
	info, err := os.Stat(s.file)
	s.mu.Lock()
	same := err != nil || sameFile(info, s.seen)
	s.looked = now
	s.mu.Unlock()
	if !same {
		_ = s.load(info) // the last good version stays in force
	}
}

func (s *SharedSecret) load(info fs.FileInfo) error {
	lines, err := secretLines(s.file)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = info // a broken version is looked at once, not on every call
	if err != nil {
		return err
	}
	s.lines = nil // not the array that a reader may hold
	for _, l := range lines {
		digest := sha256.Sum256([]byte(l))
		s.lines = append(s.lines, secretLine{l, digest, macKey(digest)})
	}
	return nil
}

func secretLines(file string) ([]string, error) {
	text, err := readSecret(file)
	if err != nil {
		return nil, err
	}
	var lines []string
	for i, l := range strings.Split(text, "\n") {
		switch l = strings.TrimSpace(l); {
		case l == "":
			continue
		case len(l) < minSecret:
			return nil, fmt.Errorf("line %d: has %d bytes, want at least %d", i+1, len(l), minSecret)
		case !isToken68(l):
			return nil, fmt.Errorf("line %d: holds other characters than letters, digits and -._~+/=", i+1)
		}
		lines = append(lines, l)
	}
	if len(lines) > maxSecrets {
		return nil, fmt.Errorf("has %d lines, want at most %d", len(lines), maxSecrets)
	}
	return lines, nil
}

func sameFile(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

// readSecret returns the content of a file without surrounding white space. Its errors name the file, never the content.
func readSecret(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", problem.Wrap(problem.Unavailable, err, "a secret's file cannot be read")
	}
	defer func() { _ = f.Close() }() // only read
	b, err := io.ReadAll(io.LimitReader(f, maxSecretFile+1))
	switch {
	case err != nil:
		return "", problem.Wrap(problem.Unavailable, err, "a secret's file cannot be read")
	case len(b) > maxSecretFile:
		err = errors.New("is over 64 KiB")
	case len(strings.TrimSpace(string(b))) == 0:
		err = errors.New("is empty")
	default:
		return strings.TrimSpace(string(b)), nil
	}
	return "", problem.Wrap(problem.Unavailable, fmt.Errorf("%s: %w", file, err), "a secret's file cannot be used")
}
