package slices_test

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/functions/slices"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/problem"
)

func TestAPeerIsAuthorizedOnlyByABearerToken(t *testing.T) {
	for _, tt := range []struct {
		authType, token, want string
		refused               bool
	}{
		{"bearer", "secret", "Bearer secret", false},
		{"Bearer", "secret", "Bearer secret", false},
		{"", "secret", "Bearer secret", false},
		{"basic", "secret", "", true},
		{"basic", "", "", false},
	} {
		a := &dps.DataAddress{EndpointProperties: []dps.EndpointProperty{{Name: dps.PropertyAuthType, Value: tt.authType}, {Name: dps.PropertyAuthorization, Value: tt.token}}}
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://peer.example/", nil)
		err := slices.Authorize(req, a)
		no, refused := errors.AsType[*slices.RefusedError](err)
		if got := req.Header.Get("Authorization"); got != tt.want || refused != tt.refused || (refused && (!no.Final || strings.Contains(no.Reason, "secret"))) {
			t.Errorf("%q %q: %q, %v", tt.authType, tt.token, got, err)
		}
	}
}

func TestAnUnreachablePeerIsToldWithoutItsEndpoint(t *testing.T) {
	err := slices.Break(slices.Unreachable("provider", &url.Error{Op: "Get", URL: "https://peer.example/?key=secret", Err: io.ErrUnexpectedEOF}))
	if strings.Contains(err.Error(), "secret") || !errors.Is(err, io.ErrUnexpectedEOF) || !slices.IsBreak(err) || problem.KindOf(err) != problem.Unavailable {
		t.Error(err)
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, s := range []string{"", "0", "7", "61", "-1", "99999999999999999999", "Wed, 21 Oct 2026 07:28:00 GMT"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		w := slices.RetryAfter(http.Header{"Retry-After": {s}}, time.Second)
		if n, ok := slices.Number(s); w < time.Second || w > time.Minute || (!ok && w != time.Second) || (ok && n > 0 && n < 60 && w != time.Duration(n)*time.Second) {
			t.Errorf("%q: %v", s, w)
		}
	})
}
