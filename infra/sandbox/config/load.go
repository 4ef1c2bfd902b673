package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
)

// maxFile bounds the configuration file, in bytes.
const maxFile = 1 << 20

// Load reads, completes and checks a file. Paths in the result are absolute or relative to the working directory.
func Load(file string) (*Config, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, errors.Unwrap(err))
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("%s: larger than %d bytes", file, maxFile)
	}
	return Parse(file, data)
}

// Parse is Load on bytes; file is the name for errors and the base of relative paths.
func Parse(file string, data []byte) (*Config, error) {
	var c Config
	dec := yaml.NewDecoder(bytes.NewReader(data), yaml.Strict())
	if err := dec.Decode(&c); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%s: the file is empty", file)
		}
		return nil, fmt.Errorf("%s: %w", file, oneLine(err))
	}
	v := newValidator(file, data)
	c.complete(v, filepath.Dir(file))
	c.check(v)
	if err := v.err(); err != nil {
		return nil, err
	}
	return &c, nil
}

// oneLine keeps the first line of a YAML error, "[line:column] message", without the excerpt below it.
func oneLine(err error) error {
	line, _, _ := strings.Cut(err.Error(), "\n")
	if rest, ok := strings.CutPrefix(line, "["); ok {
		if pos, msg, ok := strings.Cut(rest, "] "); ok {
			at, _, _ := strings.Cut(pos, ":")
			return fmt.Errorf("line %s: %s", at, msg)
		}
	}
	return errors.New(line)
}

// complete fills in defaults and reads the files that hold secrets.
func (c *Config) complete(v *validator, dir string) {
	def(&c.Listen, "127.0.0.1:19190")
	def(&c.PublicURL, "http://"+c.Listen)
	c.PublicURL = strings.TrimSuffix(c.PublicURL, "/")
	def(&c.Hostname, "localhost")
	if c.StateDir != "" && !filepath.IsAbs(c.StateDir) {
		c.StateDir = filepath.Join(dir, c.StateDir)
	}
	v.secret("adminKey", "adminKeyFile", dir, &c.AdminKey, c.AdminKeyFile)
	def(&c.IDP.Algorithm, "ES256")
	def(&c.IDP.TokenTTL, 5*time.Minute)
	for i := range c.IDP.Clients {
		c.IDP.Clients[i].complete(v, fmt.Sprintf("idp.clients[%d]", i), dir, "", c.IDP.TokenTTL)
	}
	if len(c.IDP.Exchange.Tiers) == 0 {
		c.IDP.Exchange.Tiers = map[string]string{
			"read": "management-api:read", "write": "management-api:write", "admin": "management-api:admin",
		}
	}
	for i := range c.IDP.Exchange.Issuers {
		if s := &c.IDP.Exchange.Issuers[i]; s.JWKSFile != "" && !filepath.IsAbs(s.JWKSFile) {
			s.JWKSFile = filepath.Join(dir, s.JWKSFile)
		}
	}
	for i := range c.IDP.Exchange.Mappings {
		m := &c.IDP.Exchange.Mappings[i]
		def(&m.Resource, m.ParticipantContext)
		if len(m.Audiences) == 0 {
			m.Audiences = []string{"edcv"}
		}
	}
	for i := range c.Participants {
		p := &c.Participants[i]
		def(&p.Dialect, DialectHead)
		if p.DIDKeyFile != "" && !filepath.IsAbs(p.DIDKeyFile) {
			p.DIDKeyFile = filepath.Join(dir, p.DIDKeyFile)
		}
		if cp := p.ControlPlane; cp != nil {
			at := fmt.Sprintf("participants[%d].controlPlane.", i)
			v.secret(at+"secret", at+"secretFile", dir, &cp.Secret, cp.SecretFile)
		}
		for j := range p.Clients {
			p.Clients[j].complete(v, fmt.Sprintf("participants[%d].clients[%d]", i, j), dir, p.ID, c.IDP.TokenTTL)
		}
	}
	def(&c.Events.Timeout, 5*time.Second)
	for i := range c.Callbacks {
		cb := &c.Callbacks[i]
		def(&cb.Timeout, 30*time.Second)
		if cb.AuthValueFile != "" {
			v.secret(fmt.Sprintf("callbacks[%d].authValue", i), fmt.Sprintf("callbacks[%d].authValueFile", i), dir, &cb.AuthValue, cb.AuthValueFile)
		}
	}
	c.Delays.complete()
}

func (d *Delays) complete() {
	def(&d.Step, 5*time.Millisecond)
	def(&d.Retry, 250*time.Millisecond)
	def(&d.Retries, 4)
	def(&d.IORetries, 6)
	def(&d.IOBackoff, 500*time.Millisecond)
	def(&d.DPSTimeout, 30*time.Second)
}

func (cl *Client) complete(v *validator, at, dir, participant string, ttl time.Duration) {
	if participant == "" {
		def(&cl.Role, RoleAdmin)
	}
	def(&cl.Role, RoleApplication)
	def(&cl.TokenTTL, ttl)
	v.secret(at+".secret", at+".secretFile", dir, &cl.Secret, cl.SecretFile)
	switch cl.Role {
	case RoleApplication:
		def(&cl.Subject, participant)
		if cl.Scopes == nil {
			cl.Scopes = []string{"management-api:read", "management-api:write"}
		}
	case RoleAdmin:
		if cl.Scopes == nil {
			cl.Scopes = []string{"management-api:admin"}
		}
	}
	def(&cl.Subject, cl.ID)
	if len(cl.Audience) == 0 {
		cl.Audience = []string{cl.ID}
	}
}

func def[T comparable](p *T, d T) {
	var zero T
	if *p == zero {
		*p = d
	}
}
