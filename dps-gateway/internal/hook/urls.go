package hook

import (
	"net/url"
	"strings"

	"github.com/tidegate/tidegate/shared/problem"
)

// anyFunction stands for a function's name in URLs, and placeholder for the name in the URL that any function has.
const (
	anyFunction = "*"
	placeholder = "{function}"
)

// URLs say where functions are.
type URLs map[string]string

// ParseURLs reads entries like nats-stream=http://127.0.0.1:7415, or *=http://{function}.tidegate.svc.cluster.local for all that are
// not named.
func ParseURLs(entries []string) (URLs, error) {
	urls := URLs{}
	for _, entry := range entries {
		name, to, ok := strings.Cut(strings.TrimSpace(entry), "=")
		u, err := url.Parse(strings.ReplaceAll(to, placeholder, "name"))
		switch {
		case !ok || name == "":
			return nil, problem.New(problem.Invalid, "%q is not name=URL", entry)
		case err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "":
			return nil, problem.New(problem.Invalid, "%q: an http(s) URL with a host is expected", name)
		case name == anyFunction && !strings.Contains(to, placeholder):
			return nil, problem.New(problem.Invalid, "the URL of %s must hold %s", anyFunction, placeholder)
		}
		urls[name] = strings.TrimRight(to, "/")
	}
	return urls, nil
}

// Of is where a function is; false if nothing says.
func (u URLs) Of(function string) (string, bool) {
	if to, ok := u[function]; ok {
		return to, true
	}
	to, ok := u[anyFunction]
	return strings.ReplaceAll(to, placeholder, function), ok
}
