package openapitest_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/dps-gateway/openapi/openapitest"
)

func TestWhatIsNotAsDescribedIsTold(t *testing.T) {
	const flow = "/participants/pc/dataflows/tp"
	for _, c := range []struct {
		name, method, path, request string
		status                      int
		contentType, answer, says   string
	}{
		{"as described", "GET", flow + "/status", "", 200, "application/json", `{"dataFlowId":"tp","state":"STARTED"}`, ""},
		{"a member is missing", "GET", flow + "/status", "", 200, "application/json", `{"dataFlowId":"tp"}`, "a body that does not fit: /: required"},
		{"a state of another name", "GET", flow + "/status", "", 200, "application/json", `{"dataFlowId":"tp","state":"RUNNING"}`, "/state: enum"},
		{"a status that is not described", "GET", flow + "/status", "", 418, "", "", "GET /participants/{participantContextId}/dataflows/{id}/status answers 418, which is not described"},
		{"an operation that is not described", "DELETE", flow, "", 200, "", "", "has no DELETE"},
		{"no operation", "GET", "/nothing", "", 404, "application/problem+json", `{}`, ""},
		{"a type that is not described", "GET", flow + "/status", "", 404, "application/json", `{"title":"t","status":404,"id":"i"}`, `no content of type "application/json"`},
		{"a request that was taken and does not fit", "POST", flow + "/suspend", `{"messageId":7}`, 200, "application/json", `{"messageId":"m","dataFlowId":"tp","state":"SUSPENDED"}`, "a request that does not fit: /messageId: type"},
		{"a request that was refused", "POST", flow + "/suspend", `{"messageId":7}`, 400, "application/problem+json", `{"title":"t","status":400,"id":"i"}`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := openapitest.New()
			if err != nil {
				t.Fatal(err)
			}
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", c.contentType)
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.answer)
			}))
			defer srv.Close()
			var told []string
			hc := &http.Client{Transport: r.Transport(http.DefaultTransport, func(string) string { return "signaling" }, func(err error) { told = append(told, err.Error()) })}
			defer hc.CloseIdleConnections()
			req, err := http.NewRequestWithContext(t.Context(), c.method, srv.URL+c.path, strings.NewReader(c.request))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/json")
			res, err := hc.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = res.Body.Close() }()
			if b, err := io.ReadAll(res.Body); err != nil || string(b) != c.answer {
				t.Errorf("the caller reads %q %v", b, err)
			}
			got := strings.Join(told, "\n")
			if (c.says == "") != (got == "") || !strings.Contains(got, c.says) {
				t.Errorf("told %q, want %q", got, c.says)
			}
		})
	}
}

func TestWhatWasNotSeenIsNamed(t *testing.T) {
	r, err := openapitest.New()
	if err != nil {
		t.Fatal(err)
	}
	const line = "signaling.yaml: GET /participants/{participantContextId}/dataflows/{id}/status answers 404"
	if !slices.Contains(r.Unseen(), line) {
		t.Errorf("nothing was seen, and yet: %v", r.Unseen())
	}
	before := len(r.Unseen())
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/participants/a/dataflows/b/status", http.NoBody)
	res := &http.Response{StatusCode: http.StatusNotFound, Header: http.Header{"Content-Type": {"application/problem+json"}}}
	if err := r.Check("signaling", req, nil, res, []byte(`{"title":"t","status":404,"id":"i"}`)); err != nil {
		t.Fatal(err)
	}
	if slices.Contains(r.Unseen(), line) || len(r.Unseen()) != before-1 {
		t.Errorf("%d are left of %d", len(r.Unseen()), before)
	}
}
