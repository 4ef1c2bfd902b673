package management

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/problem"
)

func registration(ctx context.Context, c *Client) error {
	return c.RegisterDataPlane(ctx, &dps.DataPlaneRegistrationMessage{
		DataplaneID: "dp", Endpoint: "http://dp.example/dataflows", TransferTypes: []string{"http-pull"},
		Authorization: &dps.Authorization{Type: "oauth2_client_credentials", ClientSecret: "s3cret"},
	})
}

// The bodies are those that a control plane answers.
func TestRefusalsBecomeProblems(t *testing.T) {
	tests := map[string]struct {
		status  int
		body    string
		kind    problem.Kind
		message string
		field   string
	}{
		"a validation failure names the field": {
			400, `[{"message":"required property 'accessPolicyId' not found","type":"ValidationFailure","path":"assetsSelector","invalidValue":"hunter2"},{"message":"second","type":"ValidationFailure","path":""}]`,
			problem.Invalid, "the control plane answered 400 Bad Request: required property 'accessPolicyId' not found; second", "assetsSelector",
		},
		"no token": {401, `{"error":"Missing Authorization header"}`, problem.Unauthenticated, "the control plane answered 401 Unauthorized: Missing Authorization header", ""},
		"unknown subject is plain text": {
			401, `Not authorized: No participant for 'sub = nobody' found`, problem.Unauthenticated,
			"the control plane answered 401 Unauthorized: Not authorized: No participant for 'sub = nobody' found", "",
		},
		"a scope is missing": {403, `Required scope 'management-api:assets:write' missing`, problem.Forbidden, "the control plane answered 403 Forbidden: Required scope 'management-api:assets:write' missing", ""},
		"another tenant": {
			403, `[{"message":"User 'consumer' is not authorized to access this resource.","type":"NotAuthorized","path":null,"invalidValue":null}]`, problem.Forbidden,
			"the control plane answered 403 Forbidden: User 'consumer' is not authorized to access this resource.", "",
		},
		"not found":                {404, `[{"message":"Object of type Asset with ID=nope was not found","type":"ObjectNotFound","path":null,"invalidValue":null}]`, problem.NotFound, "the control plane answered 404 Not Found: Object of type Asset with ID=nope was not found", ""},
		"exists":                   {409, `[{"message":"Asset with ID fine already exists","type":"ObjectConflict","path":null,"invalidValue":null}]`, problem.Conflict, "the control plane answered 409 Conflict: Asset with ID fine already exists", ""},
		"a page of HTML":           {405, "<html>\n<head><title>Error 405</title></head></html>", problem.Invalid, "the control plane answered 405 Method Not Allowed", ""},
		"too large":                {413, "", problem.TooLarge, "the control plane answered 413 Request Entity Too Large", ""},
		"too many, no time":        {429, "slow down", problem.TooMany, "the control plane answered 429 Too Many Requests: slow down", ""},
		"an exception has no text": {500, "", problem.Upstream, "the control plane answered 500 Internal Server Error", ""},
		"the counterparty refused": {502, `[{"message":"Failed to connect to localhost/127.0.0.1:1","type":"BadGateway"}]`, problem.Upstream, "the control plane answered 502 Bad Gateway: Failed to connect to localhost/127.0.0.1:1", ""},
		"busy":                     {503, "", problem.Unavailable, "the control plane answered 503 Service Unavailable", ""},
		"a proxy gave up":          {504, "", problem.Timeout, "the control plane answered 504 Gateway Timeout", ""},
		"a status of its own":      {599, "", problem.Upstream, "the control plane answered 599", ""},
		"JSON of another shape":    {400, `{"errors":[1,2]}`, problem.Invalid, "the control plane answered 400 Bad Request", ""},
		"JSON that is cut off":     {400, `[{"message":"abc`, problem.Invalid, "the control plane answered 400 Bad Request", ""},
		"a text of megabytes":      {400, `[{"message":"m"}` + strings.Repeat(" ", 1<<20) + `]`, problem.Invalid, "the control plane answered 400 Bad Request", ""},
		"control characters":       {400, "a\x00b\r\n\x1b[31mred", problem.Invalid, "the control plane answered 400 Bad Request: a b [31mred", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			cp := serve(t, answer{status: tt.status, body: tt.body})
			c, _ := cp.client(t)
			c.limits.tries = 1
			err := read(t.Context(), c)
			p, ok := errors.AsType[*problem.Error](err)
			if !ok || p.Kind != tt.kind || p.Message != tt.message || p.Field != tt.field {
				t.Errorf("got  %#v\nwant %v %q %q", err, tt.kind, tt.message, tt.field)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Error("the text repeats an invalid value")
			}
		})
	}
}

func TestNoSecretComesBackInAnErrorText(t *testing.T) {
	const jwt = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJwIn0.c2lnbmF0dXJl"
	for name, text := range map[string]string{
		"the token that was sent":    "token-0 is expired",
		"the secret that was sent":   "bad value s3cret",
		"a bearer token":             "Authorization: Bearer abc.def was refused",
		"a JWT":                      "can't parse " + jwt,
		"user and password of a URL": "Failed to connect to http://user:pa55@db.example/x",
		"a named secret":             `client_secret=t0psecret&x=1`,
	} {
		t.Run(name, func(t *testing.T) {
			cp := serve(t, answer{status: 400, body: text})
			c, _ := cp.client(t)
			err := registration(t.Context(), c)
			for _, secret := range []string{"token-0", "s3cret", "abc.def", jwt, "pa55", "t0psecret"} {
				if err == nil || strings.Contains(err.Error(), secret) {
					t.Errorf("%q holds %q", err, secret)
				}
			}
			if err != nil && !strings.Contains(err.Error(), "***") {
				t.Errorf("%q: the text is lost as a whole", err)
			}
		})
	}
}

func TestAnErrorTextIsShort(t *testing.T) {
	cp := serve(t, answer{status: 400, body: `[` + strings.Repeat(`{"message":"`+strings.Repeat("ä", 2000)+`"},`, 9) + `{"message":"x"}]`})
	c, _ := cp.client(t)
	if err := read(t.Context(), c); len([]rune(err.Error())) > 700 || !strings.HasSuffix(err.Error(), "; 7 more") {
		t.Errorf("%d runes: %v", len([]rune(err.Error())), err)
	}
}

func FuzzExplain(f *testing.F) {
	f.Add([]byte(`[{"message":"m","type":"t","path":"p","invalidValue":null}]`))
	f.Add([]byte(`{"error":"Missing Authorization header"}`))
	f.Add([]byte("<html>"))
	f.Add([]byte("Bearer abc \xff\x00"))
	f.Fuzz(func(t *testing.T, body []byte) {
		fail := refusal(&http.Response{StatusCode: 400, Header: http.Header{}}, body, "hunter2")
		text := fail.Error.Error()
		if len([]rune(text)) > 1100 || strings.ContainsAny(text, "\n\r\x00") || strings.Contains(text, "hunter2") {
			t.Fatalf("%q of %q", text, body)
		}
	})
}
