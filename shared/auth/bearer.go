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
		if !token68[s[i]] {
			return false
		}
	}
	return s != ""
}

// token68 are the characters of one.
var token68 = func() (good [256]bool) {
	for _, c := range []byte("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~+/=") {
		good[c] = true
	}
	return good
}()
