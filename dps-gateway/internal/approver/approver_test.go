package approver

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
)

// answering is a client of an approver that always gives one answer.
func answering(t *testing.T, status int, contentType, body string) *Client {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(srv.Close)
	return New(func(string) string { return srv.URL + "/" }, srv.Client(), 5*time.Second)
}

func TestVeto(t *testing.T) {
	for _, tc := range []struct {
		name   string
		status int
		body   string
		want   problem.Kind // Internal = consent
	}{
		{name: "204 is consent", status: http.StatusNoContent},
		{name: "403 is a refusal", status: http.StatusForbidden, body: `{"detail":"not for you"}`, want: problem.Forbidden},
		{name: "the 200 of a wrong program is no consent", status: http.StatusOK, body: "hello", want: problem.Upstream},
		{name: "a 202 is no consent", status: http.StatusAccepted, want: problem.Upstream},
		{name: "503 is no decision", status: http.StatusServiceUnavailable, want: problem.Unavailable},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := answering(t, tc.status, "application/problem+json", tc.body).Veto(t.Context(), gatewayapi.VetoRequest{})
			switch {
			case tc.want == problem.Internal && err != nil:
				t.Fatal(err)
			case tc.want != problem.Internal && problem.KindOf(err) != tc.want:
				t.Fatalf("the error is %v, a %s is expected", err, tc.want)
			}
		})
	}
}

func TestDecideTakesNoAnswerOfAWrongProgram(t *testing.T) {
	for name, body := range map[string]string{"a page": "<html>hello</html>", "nothing": ""} {
		t.Run(name, func(t *testing.T) {
			_, err := answering(t, http.StatusOK, "text/html", body).Decide(t.Context(), gatewayapi.DecideRequest{})
			if err == nil || !strings.Contains(err.Error(), "no decision") {
				t.Fatalf("the error is %v", err)
			}
		})
	}
}
