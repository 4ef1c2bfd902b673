// Package did finds the keys of other participants by their decentralized identifiers: the method did:web, its documents
// (W3C DID 1.0), and JWTs that are signed with a key of such a document, as the token renewal profile of Data Plane
// Signaling has them.
//
// A document is fetched from a host that another participant names, so everything is bounded: the size of the document, the
// time, the number of keys, the depth, how often a host is asked, and which addresses are reached (package egress).
package did

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/tidegate/tidegate/shared/problem"
)

const (
	method = "did:web:"
	maxDID = 2048 // bytes
)

// IsWeb tells whether an id is a DID of the method did:web, well-formed or not.
func IsWeb(id string) bool { return strings.HasPrefix(id, method) }

// WebURL returns where the document of a did:web is: "did:web:host%3A7083:a:b" is https://host:7083/a/b/did.json, without a
// path it is /.well-known/did.json (did:web method specification, section 2.5.2). plainHTTP makes it an http URL.
func WebURL(id string, plainHTTP bool) (string, error) {
	rest, ok := strings.CutPrefix(id, method)
	if !ok || len(id) > maxDID {
		return "", problem.New(problem.Invalid, "it is no did:web")
	}
	segments := strings.Split(rest, ":")
	host, err := hostOf(segments[0])
	if err != nil {
		return "", err
	}
	path := "/.well-known/did.json"
	if len(segments) > 1 {
		for _, s := range segments[1:] {
			if !isSegment(s) {
				return "", problem.New(problem.Invalid, "it is no did:web: a part of its path is malformed")
			}
		}
		path = "/" + strings.Join(segments[1:], "/") + "/did.json"
	}
	scheme := "https"
	if plainHTTP {
		scheme = "http"
	}
	u, err := url.Parse(scheme + "://" + host + path)
	if err != nil || u.Host != host {
		return "", problem.New(problem.Invalid, "it is no did:web: its host is malformed")
	}
	return u.String(), nil
}

// hostOf reads the first part: a name or an IPv4 address, and a port after %3A.
func hostOf(s string) (string, error) {
	malformed := problem.New(problem.Invalid, "it is no did:web: its host is malformed")
	name, port, hasPort := strings.Cut(strings.Replace(s, "%3a", "%3A", 1), "%3A")
	if name == "" || len(name) > 253 || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "-") || strings.Contains(name, "..") {
		return "", malformed
	}
	for i := range len(name) {
		if c := name[i]; !isAlnum(c) && c != '.' && c != '-' {
			return "", malformed
		}
	}
	if !hasPort {
		return name, nil
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || strconv.FormatUint(n, 10) != port {
		return "", malformed
	}
	return name + ":" + port, nil
}

// isSegment tells whether a part of the path is made of the characters of a DID. What is percent-encoded must not be able to
// change the path's meaning.
func isSegment(s string) bool {
	plain, err := url.PathUnescape(s)
	if err != nil || plain == "" || plain == "." || plain == ".." || strings.ContainsAny(plain, "/\\?#%") {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !isAlnum(c) && c != '.' && c != '-' && c != '_' && c != '%' {
			return false
		}
	}
	for i := range len(plain) {
		if plain[i] < ' ' || plain[i] == 0x7f {
			return false
		}
	}
	return true
}

func isAlnum(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
