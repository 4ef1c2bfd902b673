package management

import (
	"bytes"
	"encoding/json"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/tidegate/tidegate/shared/problem"
)

const (
	maxRefusal    = 64 << 10 // bytes read of a refusal
	maxMessages   = 3        // of an error array
	maxMessage    = 200      // runes of each
	maxRetryAfter = time.Hour
)

// apiError is one entry of the error array (management-api "Error body"). invalidValue is not read: it repeats what was
// sent.
type apiError struct {
	Message string `json:"message"`
	Type    string `json:"type"`
	Path    string `json:"path"`
}

// refusal is the failure of a request that was answered with a status other than 2xx.
func refusal(resp *http.Response, body []byte, secrets ...string) *failure {
	code := resp.StatusCode
	p := &problem.Error{Kind: kindOf(code), Message: "the control plane answered " + statusText(code), RetryAfter: retryAfter(resp.Header)}
	if code == http.StatusTooManyRequests && p.RetryAfter > 0 {
		p.Kind = problem.Unavailable
	}
	field, text := explain(body)
	if text != "" {
		p.Message += ": " + withoutSecrets(text, secrets)
	}
	if p.Kind == problem.Invalid {
		p.Field = withoutSecrets(field, secrets)
	}
	return &failure{
		Error:  p,
		passes: code == http.StatusRequestTimeout || code == http.StatusTooManyRequests || code >= 500,
		sure:   code >= 400 && code < 500 && code != http.StatusRequestTimeout,
	}
}

func statusText(code int) string {
	if text := http.StatusText(code); text != "" {
		return strconv.Itoa(code) + " " + text
	}
	return strconv.Itoa(code)
}

func kindOf(code int) problem.Kind {
	switch code {
	case http.StatusUnauthorized:
		return problem.Unauthenticated
	case http.StatusForbidden:
		return problem.Forbidden
	case http.StatusNotFound, http.StatusGone:
		return problem.NotFound
	case http.StatusRequestTimeout, http.StatusGatewayTimeout:
		return problem.Timeout
	case http.StatusConflict:
		return problem.Conflict
	case http.StatusPreconditionFailed:
		return problem.Stale
	case http.StatusRequestEntityTooLarge:
		return problem.TooLarge
	case http.StatusUnprocessableEntity:
		return problem.Unprocessable
	case http.StatusTooManyRequests:
		return problem.TooMany
	case http.StatusServiceUnavailable:
		return problem.Unavailable
	}
	if code >= 400 && code < 500 {
		return problem.Invalid
	}
	return problem.Upstream
}

// explain reads the text of a refusal: an error array, {"error": text}, or plain text. An HTML page explains nothing.
func explain(body []byte) (field, text string) {
	body = bytes.TrimSpace(body)
	if len(body) == 0 || body[0] == '<' {
		return "", ""
	}
	var list []apiError
	if json.Unmarshal(body, &list) == nil {
		var texts []string
		for i, e := range list {
			if i == 0 {
				field = short(e.Path)
			}
			if i == maxMessages {
				texts = append(texts, strconv.Itoa(len(list)-i)+" more")
				break
			}
			if t := short(e.Message); t != "" {
				texts = append(texts, t)
			}
		}
		return field, strings.Join(texts, "; ")
	}
	var object struct {
		Error   string `json:"error"`
		Message string `json:"message"`
	}
	if json.Unmarshal(body, &object) == nil {
		return "", short(object.Error + object.Message)
	}
	if body[0] == '[' || body[0] == '{' { // JSON of another shape, or cut off
		return "", ""
	}
	return "", short(string(body[:min(len(body), 4*maxMessage)]))
}

// short makes one line of a text, without control characters, and cuts it.
func short(s string) string {
	s = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(s, "?"), func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsPrint(r)
	}), " ")
	if r := []rune(s); len(r) > maxMessage {
		return string(r[:maxMessage]) + "…"
	}
	return s
}

// credential matches what looks like one: a bearer token, a JWT, user and password of a URL, a value named like a secret.
var credential = regexp.MustCompile(`(?i)bearer\s+\S+|eyJ[\w-]{5,}\.[\w-]+(\.[\w-]*)?|//[^/\s@:]+:[^/\s@]+@|(secret|password|token|api-?key)"?\s*[=:]\s*"?[^\s"&,;]+`)

func withoutSecrets(s string, secrets []string) string {
	for _, secret := range secrets {
		if secret != "" {
			s = strings.ReplaceAll(s, secret, "***")
		}
	}
	return credential.ReplaceAllString(s, "***")
}

// retryAfter reads the header's seconds or date; 0 if there is none that makes sense.
func retryAfter(h http.Header) time.Duration {
	v := h.Get("Retry-After")
	if s, err := strconv.Atoi(v); err == nil && s > 0 {
		return min(time.Duration(min(s, 1<<20))*time.Second, maxRetryAfter)
	}
	if t, err := http.ParseTime(v); err == nil {
		return min(max(time.Until(t), 0), maxRetryAfter)
	}
	return 0
}
