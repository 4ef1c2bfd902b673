package delivery

import (
	"net/url"
	"sort"
	"strings"

	"github.com/tidegate/tidegate/eventing/localbroker/manifest"
	"github.com/tidegate/tidegate/shared/problem"
)

// target is a resolved destination.
type target struct {
	url    string
	inside bool // a Service of ours: it gets the bearer token, a URL of a manifest does not
}

// resolve looks up a destination. what names it in messages.
func resolve(t *manifest.Trigger, what string, dest manifest.Destination, subscribers map[string]string) (target, error) {
	if dest.Service == "" {
		return target{url: dest.URI}, nil
	}
	base, ok := subscribers[dest.Service]
	if !ok {
		return target{}, problem.New(problem.Invalid, "%s:%d: Trigger %s: its %s is Service %s, which is not among the known ones: %s",
			t.File, t.Line, t.Name, what, dest.Service, known(subscribers))
	}
	u, err := url.Parse(base)
	if err != nil {
		return target{}, problem.New(problem.Invalid, "the URL of Service %s is none: %q", dest.Service, base)
	}
	ref, err := url.Parse(dest.URI)
	if err != nil {
		return target{}, problem.New(problem.Invalid, "%s:%d: Trigger %s: uri %q: %w", t.File, t.Line, t.Name, dest.URI, err)
	}
	if u.Path == "" {
		u.Path = "/"
	}
	return target{url: u.ResolveReference(ref).String(), inside: true}, nil
}

func known(subscribers map[string]string) string {
	if len(subscribers) == 0 {
		return "none"
	}
	var s []string
	for name := range subscribers {
		s = append(s, name)
	}
	sort.Strings(s)
	return strings.Join(s, ", ")
}

// ParseSubscribers reads name=url pairs, separated by commas.
func ParseSubscribers(s string) (map[string]string, error) {
	out := map[string]string{}
	for pair := range strings.SplitSeq(s, ",") {
		pair = strings.TrimSpace(pair)
		if pair == "" {
			continue
		}
		name, raw, ok := strings.Cut(pair, "=")
		u, err := url.Parse(raw)
		if !ok || name == "" || err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
			return nil, problem.New(problem.Invalid, "%q is none; expected name=http://host:port", pair)
		}
		if _, twice := out[name]; twice {
			return nil, problem.New(problem.Invalid, "subscriber %s is given twice", name)
		}
		out[name] = raw
	}
	return out, nil
}
