package data

import (
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/tidegate/tidegate/shared/problem"
)

const (
	maxPath  = 4 << 10 // bytes of what follows the flow's id
	maxQuery = 8 << 10
)

// asked returns what of a request's URL a data server may see: the path below the flow, with its leading slash, and the query as it
// was sent. A back end may join the path to one of its own, so what could lead elsewhere is refused here; and a query with an
// access token in it, which is a secret that back ends log.
func asked(r *http.Request, flow string) (path, query string, err error) {
	path, query = strings.TrimPrefix(r.URL.Path, "/data/"+flow), r.URL.RawQuery
	switch {
	case len(path) > maxPath:
		return "", "", problem.Field("path", "is too long: at most %d bytes are expected below the flow", maxPath)
	case !utf8.ValidString(path) || strings.ContainsFunc(path, unicode.IsControl):
		return "", "", problem.Field("path", "is expected to be UTF-8 without control characters")
	case len(query) > maxQuery:
		return "", "", problem.Field("query", "is too long: at most %d bytes are expected", maxQuery)
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return "", "", problem.Field("path", "has a segment %q, which leads elsewhere", segment)
		}
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return "", "", problem.Field("query", "can't be read: pairs of name=value, separated by &, are expected")
	}
	if values.Has("access_token") {
		return "", "", problem.Field("access_token", "the token belongs into the header Authorization, nowhere else")
	}
	return path, query, nil
}

// passed are the request's fields that a data server may see: what it needs to answer ranges, conditions and preferences.
func passed(h http.Header) map[string][]string {
	out := map[string][]string{}
	for name, vals := range h {
		if name == "Range" || strings.HasPrefix(name, "If-") || name == "Accept" || strings.HasPrefix(name, "Accept-") {
			out[textproto.CanonicalMIMEHeaderKey(name)] = vals
		}
	}
	return out
}
