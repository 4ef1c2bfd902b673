package tenant

import (
	"errors"
	"io"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// checker finds what is wrong with the values of a decoded document.
type checker struct{ *faults }

var (
	// A participant context id is part of URL paths and Redis keys; beginning with a letter or digit excludes "." and "..".
	idPattern    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	linePattern  = regexp.MustCompile(`^[a-z]([a-z0-9-]{0,22}[a-z0-9])?$`) // part of names in Kubernetes, which have room for 24 more
	planePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)
	namePattern  = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
)

const (
	idShape    = "1 to 64 letters, digits, '.', '_' or '-', beginning with a letter or digit"
	planeShape = "1 to 128 letters, digits, '.', '_' or '-', beginning with a letter or digit"
	nameShape  = "1 to 63 small letters, digits or '-', beginning with a letter or digit"

	maxText   = 4096     // bytes of a single value that is not a rule
	maxRule   = 16 << 10 // bytes of a CEL expression
	maxSecret = 64 << 10 // bytes of a secret's file
)

func (c checker) tenant(t *Tenant) {
	if c.required("participantContextId", t.ParticipantContextID) && !idPattern.MatchString(t.ParticipantContextID) {
		c.add("participantContextId", "%s is not an id, expected are %s", quote(t.ParticipantContextID), idShape)
	}
	if c.required("did", t.DID) {
		c.word("did", t.DID)
	}
	c.word("bpn", t.BPN)
	if t.FunctionLine != "" && !linePattern.MatchString(t.FunctionLine) {
		c.add("line", "%s is no line of functions, expected are up to 24 lower-case letters, digits and hyphens, a letter first", quote(t.FunctionLine))
	}
	c.controlPlane(t.ControlPlane)
	c.auth(t.Auth)
	c.renewal(t)
	c.profiles(t.Profiles)
	c.buckets(t)
	c.policies(t)
	c.publish(t)
	c.approve(t.Approve)
	c.subscriptions(t)
	c.sinks(t)
	c.limit("limits.concurrentStreams", int64(t.Limits.ConcurrentStreams))
	c.limit("limits.requestsPerSecond", int64(t.Limits.RequestsPerSecond))
	c.limit("limits.bytesPerSecond", t.Limits.BytesPerSecond)
}

// required tells whether the value is there.
func (c checker) required(path, v string) bool {
	if strings.TrimSpace(v) == "" {
		c.add(path, "is missing")
		return false
	}
	return true
}

// word checks a value that is sent on or compared as it stands: no white space, no control characters.
func (c checker) word(path, v string) {
	if strings.ContainsFunc(v, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
		c.add(path, "%s holds white space or control characters", quote(v))
	}
	c.length(path, v, maxText)
}

func (c checker) length(path, v string, limit int) {
	if len(v) > limit {
		c.add(path, "is %d bytes long, at most %d are taken", len(v), limit)
	}
}

// oneOf checks an enumeration; an empty value is for required to find.
func (c checker) oneOf(path, v string, values ...string) {
	if v != "" && !slices.Contains(values, v) {
		c.add(path, "%s is not one of %s", quote(v), strings.Join(values, ", "))
	}
}

// absent checks that a member which another value makes meaningless is not there.
func (c checker) absent(path, v, why string) {
	if v != "" {
		c.add(path, "has no meaning %s, leave it out", why)
	}
}

// url checks an absolute http or https URL that is a base for paths: without query, fragment and credentials.
func (c checker) url(path, v string) {
	if v == "" {
		return
	}
	c.word(path, v)
	u, err := url.Parse(v)
	switch {
	case err == nil && u.User != nil:
		c.add(path, "holds credentials, expected is a URL without")
	case err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "":
		c.add(path, "%s is not an absolute http or https URL", redact(v))
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		c.add(path, "has a query or fragment, expected is a URL without")
	}
}

// name checks a name and that no other entry of the list has it.
func (c checker) name(path, v string, seen map[string]int) {
	if !c.required(path, v) {
		return
	}
	if !namePattern.MatchString(v) {
		c.add(path, "%s is not a name, expected are %s", quote(v), nameShape)
		return
	}
	if first, dup := seen[v]; dup {
		c.add(path, "%s is the name of another entry, in line %d", quote(v), first)
		return
	}
	seen[v] = c.line(path)
}

// ref checks that a name which must refer to an entry of a list does.
func (c checker) ref(path, v, list string, found bool) {
	if c.at[list] { // the list itself is broken: which names it has nobody knows
		return
	}
	if c.required(path, v) && !found {
		c.add(path, "%s is not the name of an entry of %s", quote(v), list)
	}
}

// prefix checks the beginning of an object's key.
func (c checker) prefix(path, v string) {
	c.length(path, v, 1024)
	switch {
	case strings.HasPrefix(v, "/"):
		c.add(path, "%s begins with '/', expected is the beginning of a key", quote(v))
	case slices.Contains(strings.Split(v, "/"), ".."):
		c.add(path, "%s holds '..', expected is the beginning of a key", quote(v))
	case strings.ContainsFunc(v, unicode.IsControl):
		c.add(path, "%s holds control characters", quote(v))
	}
}

func (c checker) limit(path string, v int64) {
	if v < 0 {
		c.add(path, "%d is negative, expected is 0 (the default) or more", v)
	}
}

// secretFile checks that a secret can be read now. Its content is looked at no further than whether there is any.
func (c checker) secretFile(path, file string) {
	if file == "" {
		return
	}
	f, err := os.Open(file)
	if err != nil {
		c.add(path, "file %s can't be read: %w", quote(file), cause(err))
		return
	}
	defer f.Close() //nolint:errcheck // it was only read
	info, err := f.Stat()
	switch {
	case err != nil:
		c.add(path, "file %s can't be read: %w", quote(file), cause(err))
		return
	case !info.Mode().IsRegular():
		c.add(path, "%s is not a file", quote(file))
		return
	case info.Size() > maxSecret:
		c.add(path, "file %s is larger than %d bytes", quote(file), maxSecret)
		return
	}
	if _, err := f.Read(make([]byte, 1)); errors.Is(err, io.EOF) {
		c.add(path, "file %s is empty", quote(file))
	} else if err != nil {
		c.add(path, "file %s can't be read: %w", quote(file), cause(err))
	}
}
