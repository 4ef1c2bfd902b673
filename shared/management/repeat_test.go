package management

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

func truncated(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "100")
	w.WriteHeader(200)
	_, _ = w.Write([]byte(`{"@id":`))
	panic(http.ErrAbortHandler)
}

func lines(requests []request) []string {
	var out []string
	for _, r := range requests {
		out = append(out, strings.Replace(r.Line, "/management/v5beta/participants/provider", "", 1))
	}
	return out
}

func start(ctx context.Context, c *Client) error {
	_, err := c.StartNegotiation(ctx, counterParty, &Offer{ID: "o", DatasetID: "d"})
	return err
}

func read(ctx context.Context, c *Client) error {
	_, err := c.GetAsset(ctx, "asset-1")
	return err
}

func createAsset(ctx context.Context, c *Client) error {
	return c.CreateAsset(ctx, &Asset{ID: "asset-1"})
}

func startTransfer(ctx context.Context, c *Client) error {
	_, err := c.StartTransfer(ctx, "provider-t1", counterParty, "a-1", "http-pull")
	return err
}

func TestWhatIsRepeatedAndHowOften(t *testing.T) {
	busy := answer{status: 503}
	asset := answer{status: 200, body: recorded(t, "asset")}
	conflict := answer{status: 409, body: `[{"message":"Asset with ID asset-1 already exists","type":"ObjectConflict"}]`}
	transfer := answer{status: 200, body: recorded(t, "transfer")}
	dropped := answer{do: drop}
	n := func(line string, n int) []string { return strings.Split(strings.Repeat(line+"\n", n-1)+line, "\n") }

	tests := map[string]struct {
		answers []answer
		call    func(context.Context, *Client) error
		want    []string
		kind    problem.Kind
		ok      bool
	}{
		"a read goes on until it is answered":               {[]answer{busy, {status: 500}, dropped, asset}, read, n("GET /assets/asset-1", 4), 0, true},
		"a read is given up after five tries":               {[]answer{busy}, read, n("GET /assets/asset-1", 5), problem.Unavailable, false},
		"a read whose answer was cut off is repeated":       {[]answer{{do: truncated}, asset}, read, n("GET /assets/asset-1", 2), 0, true},
		"a page of HTML is no answer, nor will the next be": {[]answer{{status: 200, body: "<html>login</html>"}}, read, n("GET /assets/asset-1", 1), problem.Upstream, false},
		"a redirect is not followed":                        {[]answer{{status: 302, header: map[string]string{"Location": "/elsewhere"}}}, read, n("GET /assets/asset-1", 1), problem.Upstream, false},
		"a refusal is not repeated":                         {[]answer{{status: 400}}, read, n("GET /assets/asset-1", 1), problem.Invalid, false},
		"a query is repeated": {[]answer{busy, {status: 200, body: "[]"}}, func(ctx context.Context, c *Client) error {
			_, err := all(c.QueryAssets(ctx, Query{}))
			return err
		}, n("POST /assets/request", 2), 0, true},
		"a catalog request is repeated": {[]answer{{status: 502}, {status: 200, body: "{}"}}, func(ctx context.Context, c *Client) error {
			_, err := all(c.Catalog(ctx, counterParty, Query{}))
			return err
		}, n("POST /catalog/request", 2), 0, true},
		"an update is repeated": {[]answer{dropped, {status: 204}}, func(ctx context.Context, c *Client) error {
			return c.UpdateAsset(ctx, &Asset{ID: "asset-1"})
		}, n("PUT /assets", 2), 0, true},
		"a registration is repeated":              {[]answer{dropped, {status: 200}}, func(ctx context.Context, c *Client) error { return registration(ctx, c) }, n("PUT /dataplanes", 2), 0, true},
		"a delete is repeated, and finds nothing": {[]answer{dropped, {status: 404}}, func(ctx context.Context, c *Client) error { return c.DeleteAsset(ctx, "asset-1") }, n("DELETE /assets/asset-1", 2), 0, true},

		"a create is repeated":                              {[]answer{busy, {status: 200, body: recorded(t, "id-asset")}}, createAsset, n("POST /assets", 2), 0, true},
		"a create whose first try had its effect":           {[]answer{dropped, conflict, asset}, createAsset, []string{"POST /assets", "POST /assets", "GET /assets/asset-1"}, 0, true},
		"a create that conflicts, and nothing is there":     {[]answer{dropped, conflict, {status: 404}}, createAsset, []string{"POST /assets", "POST /assets", "GET /assets/asset-1"}, problem.Conflict, false},
		"a create that conflicts, and something else is":    {[]answer{dropped, conflict, {status: 200, body: `{"@id":"other"}`}}, createAsset, []string{"POST /assets", "POST /assets", "GET /assets/asset-1"}, problem.Conflict, false},
		"a create that conflicts at once is not looked up":  {[]answer{conflict}, createAsset, n("POST /assets", 1), problem.Conflict, false},
		"a create that was busy with 429 first conflicts":   {[]answer{{status: 429}, conflict}, createAsset, n("POST /assets", 2), problem.Conflict, false},
		"a create with an answer that is cut off is made":   {[]answer{{do: truncated}, conflict, asset}, createAsset, []string{"POST /assets", "POST /assets", "GET /assets/asset-1"}, 0, true},
		"a transfer with an id is repeated":                 {[]answer{dropped, {status: 200, body: recorded(t, "id-transfer")}}, startTransfer, n("POST /transferprocesses", 2), 0, true},
		"a transfer that exists is the one asked for":       {[]answer{{status: 409}, transfer}, startTransfer, []string{"POST /transferprocesses", "GET /transferprocesses/provider-t1"}, 0, true},
		"a transfer that exists for another agreement":      {[]answer{{status: 409}, {status: 200, body: `{"@id":"provider-t1","contractId":"a-9"}`}}, startTransfer, []string{"POST /transferprocesses", "GET /transferprocesses/provider-t1"}, problem.Conflict, false},
		"a transfer that got another id than was asked for": {[]answer{{status: 200, body: `{"@id":"x"}`}}, startTransfer, n("POST /transferprocesses", 1), problem.Upstream, false},

		"a negotiation is not repeated when busy":          {[]answer{busy}, start, n("POST /contractnegotiations", 1), problem.Unavailable, false},
		"a negotiation is not repeated on 429":             {[]answer{{status: 429}}, start, n("POST /contractnegotiations", 1), problem.TooMany, false},
		"a negotiation is not repeated without an answer":  {[]answer{dropped}, start, n("POST /contractnegotiations", 1), problem.Upstream, false},
		"a negotiation whose answer was cut off stays one": {[]answer{{do: truncated}}, start, n("POST /contractnegotiations", 1), problem.Upstream, false},
		"a negotiation without an id in the answer":        {[]answer{{status: 200, body: "{}"}}, start, n("POST /contractnegotiations", 1), problem.Upstream, false},
		"a transfer without an id is not repeated": {[]answer{dropped}, func(ctx context.Context, c *Client) error {
			_, err := c.StartTransfer(ctx, "", counterParty, "a-1", "http-pull")
			return err
		}, n("POST /transferprocesses", 1), problem.Upstream, false},
		"a termination is not repeated": {[]answer{busy}, func(ctx context.Context, c *Client) error {
			return c.TerminateTransfer(ctx, "t", "r")
		}, n("POST /transferprocesses/t/terminate", 1), problem.Unavailable, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			cp := serve(t, tt.answers...)
			c, _ := cp.client(t)
			err := tt.call(t.Context(), c)
			if (err == nil) != tt.ok || (err != nil && problem.KindOf(err) != tt.kind) {
				t.Errorf("error = %v (%v), want %v, ok %v", err, problem.KindOf(err), tt.kind, tt.ok)
			}
			if diff := cmp.Diff(tt.want, lines(cp.seen())); diff != "" {
				t.Errorf("requests -want +got:\n%s", diff)
			}
		})
	}
}

func TestA401DropsTheTokenAndIsRepeatedOnce(t *testing.T) {
	for name, call := range map[string]func(context.Context, *Client) error{"read": read, "negotiation": start} {
		t.Run(name, func(t *testing.T) {
			cp := serve(t, answer{status: 401, body: `{"error":"Token expired"}`}, answer{status: 200, body: recorded(t, "id-negotiation")})
			c, ts := cp.client(t)
			if err := call(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, r := range cp.seen() {
				got = append(got, r.Authorization)
			}
			if diff := cmp.Diff([]string{"Bearer token-0", "Bearer token-1"}, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if diff := cmp.Diff([]string{"token-0"}, ts.dead); diff != "" {
				t.Errorf("dropped -want +got:\n%s", diff)
			}
		})
	}
	t.Run("a second 401 is the end", func(t *testing.T) {
		cp := serve(t, answer{status: 401, body: `{"error":"Failed to decode token"}`})
		c, _ := cp.client(t)
		err := read(t.Context(), c)
		if !problem.Is(err, problem.Unauthenticated) || len(cp.seen()) != 2 {
			t.Errorf("error %v after %d requests", err, len(cp.seen()))
		}
	})
}

func TestNoConnectionIsRepeatedWhateverTheCall(t *testing.T) {
	for name, call := range map[string]func(context.Context, *Client) error{"read": read, "negotiation": start} {
		t.Run(name, func(t *testing.T) {
			cp := serve(t, answer{status: 200})
			c, ts := cp.client(t)
			cp.Close()
			counted := &counting{TokenSource: ts}
			c.tokens = counted
			err := call(t.Context(), c)
			if !problem.Is(err, problem.Upstream) || counted.n != 5 {
				t.Errorf("error %v after %d tries, want 5", err, counted.n)
			}
		})
	}
}

// counting counts tries: each asks for a token.
type counting struct {
	TokenSource interface {
		Token(context.Context) (string, error)
		Invalidate(string)
	}
	n int
}

func (c *counting) Token(ctx context.Context) (string, error) {
	c.n++
	return c.TokenSource.Token(ctx)
}
func (c *counting) Invalidate(token string) { c.TokenSource.Invalidate(token) }

func TestWithoutATokenNothingIsSent(t *testing.T) {
	cp := serve(t, answer{status: 200})
	c, ts := cp.client(t)
	ts.err = problem.New(problem.Unauthenticated, "the identity provider knows no such client")
	if err := read(t.Context(), c); !problem.Is(err, problem.Unauthenticated) || len(cp.seen()) != 0 {
		t.Errorf("error %v after %d requests", err, len(cp.seen()))
	}
}

func TestRetryAfterIsObeyedWithinTheTimeOfTheCall(t *testing.T) {
	cp := serve(t, answer{status: 503, header: map[string]string{"Retry-After": "1"}}, answer{status: 200, body: recorded(t, "asset")})
	c, _ := cp.client(t)
	start := time.Now()
	if err := read(t.Context(), c); err != nil || time.Since(start) < time.Second {
		t.Errorf("error %v after %s", err, time.Since(start))
	}

	cp = serve(t, answer{status: 429, header: map[string]string{"Retry-After": "3600"}})
	c, _ = cp.client(t)
	err := read(t.Context(), c)
	p, ok := errors.AsType[*problem.Error](err)
	if !ok || p.Kind != problem.Unavailable || p.RetryAfter != time.Hour || len(cp.seen()) != 1 {
		t.Errorf("error %#v after %d requests, want to be told to come back in an hour", err, len(cp.seen()))
	}
}

func TestASlowControlPlaneIsATimeout(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	cp := serve(t, answer{do: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }})
	c, _ := cp.client(t)
	c.limits.attempt = 50 * time.Millisecond
	if err := read(t.Context(), c); !problem.Is(err, problem.Timeout) || len(cp.seen()) != 5 {
		t.Errorf("read: error %v after %d requests", err, len(cp.seen()))
	}
	if err := start(t.Context(), c); !problem.Is(err, problem.Timeout) || len(cp.seen()) != 6 {
		t.Errorf("negotiation: error %v after %d requests", err, len(cp.seen())-5)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := read(ctx, c); !problem.Is(err, problem.Unavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("given up by the caller: %v", err)
	}
	cp.CloseClientConnections()
	cp.Close()
}

func TestAGiantAnswerIsCutOff(t *testing.T) {
	cp := serve(t, answer{status: 200, body: `"` + strings.Repeat("x", 5000) + `"`})
	c, _ := cp.client(t)
	c.limits.answer = 4096
	if err := read(t.Context(), c); !problem.Is(err, problem.Upstream) || !strings.Contains(err.Error(), "larger than 4096 bytes") || len(cp.seen()) != 1 {
		t.Errorf("error %v after %d requests", err, len(cp.seen()))
	}
}

func TestThePoolOfTheGivenClientIsUsedAndItselfLeftAlone(t *testing.T) {
	hc := &http.Client{Timeout: time.Second}
	c := New(&tenant.Tenant{ParticipantContextID: "p"}, &tokens{}, hc)
	if hc.CheckRedirect != nil || c.http.Timeout != time.Second {
		t.Error("the given client was changed, or not used")
	}
}

func ExampleClient_QueryAgreements() {
	var c *Client // of New
	list := func(ctx context.Context) {
		for a, err := range c.QueryAgreements(ctx, Query{SortField: "contractSigningDate", Desc: true}) {
			if err != nil {
				fmt.Println(err) // the query ends here
				return
			}
			fmt.Println(a.ID, a.AssetID)
		}
	}
	_ = list
}
