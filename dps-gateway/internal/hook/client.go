// Package hook calls the functions that serve transfer profiles (gatewayapi.PathHook): it asks them before a data flow is prepared,
// started or resumed, and tells them, from the outbox, when one is suspended, terminated or completed.
//
// The gateway's bearer secret goes with each call, so a tenant's document names functions, and only the operator says where they are.
package hook

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math/rand/v2"
	"mime"
	"net/http"
	"time"

	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
)

const (
	maxAnswer  = 64 << 10 // bytes of a data address and some metadata
	firstPause = 100 * time.Millisecond
	maxPause   = 2 * time.Second
)

// Observer is told of every call, for metrics.
type Observer interface {
	HookCalled(pc, kind, result string, took time.Duration)
}

// Client calls functions.
type Client struct {
	urls     URLs
	hc       *http.Client
	observer Observer
}

// New returns a client. hc authenticates the calls; observer may be nil.
func New(urls URLs, hc *http.Client, observer Observer) *Client {
	return &Client{urls: urls, hc: hc, observer: observer}
}

// Ask asks a function, again and again while it fails in a way that may pass, until ctx ends. later says that it will do what it was
// asked. A refusal is an error of the kind of its status, with the function's reason; any other error is Unavailable, or Upstream if the
// function answers what is none.
func (c *Client) Ask(ctx context.Context, function string, r *gatewayapi.HookRequest) (answer *gatewayapi.HookAnswer, later bool, err error) {
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		answer, later, err = c.call(ctx, function, r)
		if err == nil || !problem.KindOf(err).Temporary() {
			return answer, later, err
		}
		timer := time.NewTimer(pause - rand.N(pause/2)) //nolint:gosec // spreads load, guards nothing
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, false, err
		}
	}
}

// Tell tells a function once; who calls repeats it.
func (c *Client) Tell(ctx context.Context, function string, r *gatewayapi.HookRequest) error {
	_, _, err := c.call(ctx, function, r)
	return err
}

func (c *Client) call(ctx context.Context, function string, r *gatewayapi.HookRequest) (answer *gatewayapi.HookAnswer, later bool, err error) {
	began := time.Now()
	defer func() {
		if c.observer != nil {
			c.observer.HookCalled(r.Flow.ParticipantContextID, string(r.Kind), result(later, err), time.Since(began))
		}
	}()
	to, ok := c.urls.Of(function)
	if !ok {
		return nil, false, problem.New(problem.Unavailable, "the gateway does not know where function %q is", function)
	}
	if deadline, ok := ctx.Deadline(); ok {
		r.AnswerWithinMS = max(time.Until(deadline).Milliseconds(), 1)
	}
	body, err := json.Marshal(r)
	if err != nil {
		return nil, false, problem.Wrap(problem.Invalid, err, "the call of function %q can't be encoded", function)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to+gatewayapi.PathHook, bytes.NewReader(body))
	if err != nil {
		return nil, false, problem.Wrap(problem.Unavailable, err, "the URL of function %q", function)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := c.hc.Do(req)
	if err != nil {
		return nil, false, unavailable(ctx, err, function)
	}
	defer func() { _ = res.Body.Close() }()
	out, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, false, unavailable(ctx, err, function)
	case len(out) > maxAnswer:
		return nil, false, problem.New(problem.Upstream, "the answer of function %q is over %d bytes", function, maxAnswer)
	}
	return read(res, out, function)
}

func unavailable(ctx context.Context, err error, function string) error {
	if ctx.Err() != nil {
		return problem.Wrap(problem.Unavailable, err, "function %q did not answer in time", function)
	}
	return problem.Wrap(problem.Unavailable, err, "function %q can't be reached", function)
}

// read makes of an HTTP answer what it says. Only a problem document refuses: a 404 of a router is no word of the function.
func read(res *http.Response, body []byte, function string) (*gatewayapi.HookAnswer, bool, error) {
	switch code := res.StatusCode; {
	case code == http.StatusAccepted:
		return nil, true, nil
	case code >= 200 && code <= 299:
		answer := &gatewayapi.HookAnswer{}
		if len(bytes.TrimSpace(body)) > 0 {
			if err := json.Unmarshal(body, answer); err != nil {
				return nil, false, problem.Wrap(problem.Upstream, err, "the answer of function %q can't be read", function)
			}
		}
		return answer, false, nil
	case refuses(res):
		return nil, false, problem.FromResponse(code, body, res.Header.Get("Retry-After"))
	default:
		return nil, false, problem.Wrap(problem.Unavailable, problem.FromResponse(code, body, ""), "function %q fails", function)
	}
}

func refuses(res *http.Response) bool {
	switch res.StatusCode {
	case http.StatusUnauthorized, http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return false // the secret is being rotated, or it is too busy
	}
	media, _, err := mime.ParseMediaType(res.Header.Get("Content-Type"))
	return res.StatusCode >= 400 && res.StatusCode <= 499 && err == nil && media == problem.ContentType
}

func result(later bool, err error) string {
	switch {
	case later:
		return "later"
	case err == nil:
		return "done"
	case problem.KindOf(err).Temporary():
		return "failed"
	}
	return "refused"
}
