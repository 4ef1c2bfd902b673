package tenant

import (
	"strconv"
	"strings"
)

// quote spells a value of a document in an error text: on one line, and cut if it is long.
func quote(v string) string {
	const most = 80
	r := []rune(v)
	if len(r) > most {
		return strconv.Quote(string(r[:most])) + "…"
	}
	return strconv.Quote(v)
}

// redact spells what should be a URL and is none. Where a password may stand in it, nothing is shown.
func redact(v string) string {
	if strings.Contains(v, "@") {
		return "this"
	}
	return quote(v)
}
