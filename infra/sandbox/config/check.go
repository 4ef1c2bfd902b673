package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// validator gathers faults with the line that each field stands on.
type validator struct {
	name   string
	file   *ast.File
	faults []error
}

func newValidator(name string, data []byte) *validator {
	v := &validator{name: name}
	if f, err := parser.ParseBytes(data, 0); err == nil {
		v.file = f
	}
	return v
}

// fault records that a field is wrong. The line is that of the field or, if it is absent, of its nearest parent.
func (v *validator) fault(field, format string, args ...any) {
	v.faults = append(v.faults, fmt.Errorf("%s:%d: %s: %s", v.name, v.line(field), field, fmt.Sprintf(format, args...)))
}

func (v *validator) err() error { return errors.Join(v.faults...) }

func (v *validator) line(field string) int {
	if v.file == nil {
		return 1
	}
	for field != "" {
		if p, err := yaml.PathString("$." + field); err == nil {
			if n, err := p.FilterFile(v.file); err == nil && n != nil && n.GetToken() != nil {
				return n.GetToken().Position.Line
			}
		}
		field = field[:max(0, strings.LastIndexAny(field, ".["))]
	}
	return 1
}

// secret fills value from the first line of a file, if one is named; a value and a file together are a fault.
func (v *validator) secret(at, fileAt, dir string, value *string, file string) {
	if file == "" {
		return
	}
	if *value != "" {
		v.fault(fileAt, "stands beside %s: give one of them", at)
		return
	}
	if !filepath.IsAbs(file) {
		file = filepath.Join(dir, file)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		v.fault(fileAt, "cannot be read: %v", err)
		return
	}
	line, _, _ := strings.Cut(string(b), "\n")
	if *value = strings.TrimSpace(line); *value == "" {
		v.fault(fileAt, "the first line of %s is empty", file)
	}
}

func (v *validator) url(field, s string, required bool) {
	if s == "" {
		if required {
			v.fault(field, "is missing: an http or https URL is expected")
		}
		return
	}
	if u, err := url.Parse(s); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		v.fault(field, "is %q: an http or https URL is expected", s)
	}
}

func (v *validator) rate(field string, r float64) {
	if r < 0 || r > 1 || r != r {
		v.fault(field, "is %v: a rate from 0 to 1 is expected", r)
	}
}

func (v *validator) positive(field string, d time.Duration) {
	if d <= 0 {
		v.fault(field, "is %v: a positive duration such as 500ms is expected", d)
	}
}

func (c *Config) check(v *validator) {
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		v.fault("listen", "is %q: host:port is expected", c.Listen)
	}
	v.url("publicURL", c.PublicURL, true)
	if c.StateDir == "" {
		v.fault("stateDir", "is missing: a directory is expected")
	}
	if c.AdminKey != "" && len(c.AdminKey) < 16 {
		v.fault("adminKey", "is shorter than 16 characters")
	}
	if !slices.Contains([]string{"ES256", "RS256"}, c.IDP.Algorithm) {
		v.fault("idp.algorithm", "is %q: ES256 or RS256 is expected", c.IDP.Algorithm)
	}
	v.positive("idp.tokenTTL", c.IDP.TokenTTL)
	clients := map[string]string{}
	for i := range c.IDP.Clients {
		c.IDP.Clients[i].check(v, fmt.Sprintf("idp.clients[%d]", i), clients)
	}
	c.checkParticipants(v, clients)
	c.checkExchange(v)
	for i := range c.CELExpressions {
		if e := &c.CELExpressions[i]; e.ID == "" || e.LeftOperand == "" || e.Expression == "" {
			v.fault(fmt.Sprintf("celExpressions[%d]", i), "id, leftOperand and expression are all needed")
		}
	}
	v.url("events.sink", c.Events.Sink, false)
	v.positive("events.timeout", c.Events.Timeout)
	for i, cb := range c.Callbacks {
		at := fmt.Sprintf("callbacks[%d]", i)
		v.url(at+".uri", cb.URI, true)
		if len(cb.Events) == 0 {
			v.fault(at+".events", "is empty: prefixes of event names are expected, e.g. contract.negotiation")
		}
		v.positive(at+".timeout", cb.Timeout)
	}
	v.positive("delays.step", c.Delays.Step)
	v.positive("delays.retry", c.Delays.Retry)
	v.positive("delays.ioBackoff", c.Delays.IOBackoff)
	v.positive("delays.dpsTimeout", c.Delays.DPSTimeout)
	if c.Delays.Retries < 1 || c.Delays.IORetries < 1 {
		v.fault("delays", "retries and ioRetries are at least 1")
	}
}

func (c *Config) checkParticipants(v *validator, clients map[string]string) {
	if len(c.Participants) == 0 {
		v.fault("participants", "is empty: at least one participant is expected")
	}
	ids, identities := map[string]bool{}, map[string]bool{}
	for i := range c.Participants {
		p, at := &c.Participants[i], fmt.Sprintf("participants[%d]", i)
		switch {
		case p.ID == "" || strings.ContainsAny(p.ID, "/ ?#"):
			v.fault(at+".id", "is %q: an id that can stand in a URL path is expected", p.ID)
		case ids[p.ID]:
			v.fault(at+".id", "%q is there twice", p.ID)
		}
		switch {
		case p.Identity == "":
			v.fault(at+".identity", "is missing: the DSP participant id, a DID, is expected")
		case identities[p.Identity]:
			v.fault(at+".identity", "%q is there twice", p.Identity)
		}
		ids[p.ID], identities[p.Identity] = true, true
		if p.DIDKeyFile != "" {
			if _, err := os.Stat(p.DIDKeyFile); err != nil {
				v.fault(at+".didKeyFile", "cannot be read: %v", err)
			}
		}
		if !slices.Contains([]string{DialectHead, Dialect018, Dialect017, Dialect016}, p.Dialect) {
			v.fault(at+".dialect", "is %q: head, 0.18, 0.17 or 0.16 is expected", p.Dialect)
		}
		if cp := p.ControlPlane; cp != nil {
			if cp.ID == "" {
				v.fault(at+".controlPlane.id", "is missing: the id that it registers by is expected")
			}
			if !slices.ContainsFunc(p.Clients, func(c Client) bool { return c.ID == cp.Client }) {
				v.fault(at+".controlPlane.client", "is %q: the id of one of the participant's clients is expected", cp.Client)
			}
		}
		for j := range p.Clients {
			p.Clients[j].check(v, fmt.Sprintf("%s.clients[%d]", at, j), clients)
		}
		if p.Misbehaviour != nil {
			p.Misbehaviour.check(v, at+".misbehaviour.")
		}
	}
}

func (c *Config) checkExchange(v *validator) {
	for i, s := range c.IDP.Exchange.Issuers {
		at := fmt.Sprintf("idp.exchange.issuers[%d]", i)
		if s.Issuer == "" || (s.JWKSURL == "") == (s.JWKSFile == "") {
			v.fault(at, "issuer and one of jwksURL and jwksFile are needed")
		}
	}
	for i, m := range c.IDP.Exchange.Mappings {
		at := fmt.Sprintf("idp.exchange.mappings[%d]", i)
		if m.Client == "" || m.ParticipantContext == "" {
			v.fault(at, "client and participantContext are needed")
		}
		for _, s := range m.Scopes {
			if _, ok := c.IDP.Exchange.Tiers[s]; !ok {
				v.fault(at+".scopes", "%q is no tier of idp.exchange.tiers", s)
			}
		}
	}
}

func (cl *Client) check(v *validator, at string, seen map[string]string) {
	if cl.ID == "" {
		v.fault(at+".id", "is missing")
	} else if other, ok := seen[cl.ID]; ok {
		v.fault(at+".id", "%q is the id of %s too", cl.ID, other)
	}
	seen[cl.ID] = at
	if cl.Secret == "" {
		v.fault(at+".secret", "is missing: secret or secretFile is expected")
	}
	if !slices.Contains([]string{RoleApplication, RoleControlPlane, RoleDataPlane, RoleAdmin, RoleWorkload}, cl.Role) {
		v.fault(at+".role", "is %q: application, controlplane, dataplane, admin or workload is expected", cl.Role)
	}
	v.positive(at+".tokenTTL", cl.TokenTTL)
}

// Check reports all faults of a misbehaviour that did not come from a file.
func (m *Misbehaviour) Check() error {
	v := &validator{name: "misbehaviour"}
	m.check(v, "")
	return v.err()
}

func (m *Misbehaviour) check(v *validator, at string) {
	if m.Slow.MinMS < 0 || m.Slow.MaxMS < m.Slow.MinMS || m.Slow.MaxMS > 60_000 {
		v.fault(at+"slow", "is %d to %d ms: 0 <= minMs <= maxMs <= 60000 is expected", m.Slow.MinMS, m.Slow.MaxMS)
	}
	v.rate(at+"errorRate", m.ErrorRate)
	v.rate(at+"errorAfterRate", m.ErrorAfterRate)
	v.rate(at+"duplicateEvents", m.DuplicateEvents)
	v.rate(at+"loseEvents", m.LoseEvents)
	v.rate(at+"reorderEvents", m.ReorderEvents)
	v.rate(at+"duplicateDps", m.DuplicateDPS)
	v.rate(at+"duplicateDpsNewId", m.DuplicateDPSNew)
	if m.RefuseCallbacks < 0 || m.RefuseCallbacks > 1000 {
		v.fault(at+"refuseCallbacks", "is %d: 0 to 1000 is expected", m.RefuseCallbacks)
	}
}
