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

	"github.com/tidegate/tidegate/shared/problem"
)

const (
	maxSecretFile = 64 << 10 // bytes
	minSecret     = 16       // bytes of a line of a shared secret's file
	maxSecrets    = 16       // lines
)

// SharedSecret is a bearer secret read from a file: the first line is sent, every line is accepted, so that it can be
// rotated (add the new line below everywhere, then move it up everywhere, then remove the old one). The file is read anew
// when it changes; if it is then missing or broken, the last good version stays in force.
type SharedSecret struct {
	file string

	mu     sync.RWMutex
	seen   fs.FileInfo
	send   string
	digest [][sha256.Size]byte
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
func (s *SharedSecret) Value() string {
	s.refresh()
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.send
}

// Check compares in constant time.
func (s *SharedSecret) Check(token string) bool {
	s.refresh()
	got := sha256.Sum256([]byte(token))
	s.mu.RLock()
	defer s.mu.RUnlock()
	ok := 0
	for i := range s.digest {
		ok |= subtle.ConstantTimeCompare(got[:], s.digest[i][:])
	}
	return ok == 1
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

// refresh reads the file again if it is another one than was read. A stat costs about a microsecond, a stale secret an outage.
func (s *SharedSecret) refresh() {
	info, err := os.Stat(s.file)
	if err != nil {
		return
	}
	s.mu.RLock()
	same := sameFile(info, s.seen)
	s.mu.RUnlock()
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
	s.send, s.digest = lines[0], nil
	for _, l := range lines {
		s.digest = append(s.digest, sha256.Sum256([]byte(l)))
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
