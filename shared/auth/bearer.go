package auth

import (
	"net/http"
	"strings"
)

// maxToken bounds a bearer token, in bytes: tokens with many claims have a few KiB, and nothing longer is looked at.
const maxToken = 16 << 10

// Bearer returns the token of an Authorization header, and whether there is one (RFC 6750, section 2.1). Two headers, another
// scheme, or characters that no token has are no token.
func Bearer(h http.Header) (string, bool) {
	v := h.Values("Authorization")
	if len(v) != 1 {
		return "", false
	}
	scheme, token, ok := strings.Cut(v[0], " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return "", false
	}
	token = strings.Trim(token, " ")
	if len(token) > maxToken || !isToken68(token) {
		return "", false
	}
	return token, true
}

// isToken68 tells whether s is of the form of a bearer token: token68 of RFC 9110, section 11.2, with the padding not
// held to the end.
func isToken68(s string) bool {
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-._~+/=", c) >= 0:
		default:
			return false
		}
	}
	return s != ""
}
