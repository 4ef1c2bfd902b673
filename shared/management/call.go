package management

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/tidegate/tidegate/shared/problem"
)

// call is one call of the API.
type call struct {
	method, path string
	body         any    // nil = none
	once         bool   // repeated only if the request can't have been sent
	secret       string // stands in the body and must not come back in an error text
}

// failure is a failed attempt: what the caller is told, and what a repeat has to know.
type failure struct {
	*problem.Error
	passes bool // the same request may succeed later
	unsent bool // the request never left
	sure   bool // it had no effect: it was refused
}

func (f *failure) Unwrap() error { return f.Error }

// do makes the call, repeats it as its kind allows, and decodes the answer into out (nil = not wanted). unsure tells that
// an attempt which failed may have had its effect.
func (c *Client) do(ctx context.Context, rq call, out any) (unsure bool, err error) {
	var body []byte
	if rq.body != nil {
		if body, err = json.Marshal(rq.body); err != nil {
			return false, problem.Wrap(problem.Invalid, err, "the request to the control plane can't be written as JSON")
		}
	}
	pauses := backoff.NewExponentialBackOff()
	pauses.InitialInterval = c.limits.interval
	pauses.Multiplier = 2
	pauses.MaxInterval = 5 * time.Second
	answer, err := backoff.Retry(ctx, func() ([]byte, error) {
		b, f := c.attempt(ctx, rq, body)
		if f == nil {
			return b, nil
		}
		unsure = unsure || (!f.unsent && !f.sure)
		switch {
		case ctx.Err() != nil || !f.passes || (rq.once && !f.unsent):
			return nil, backoff.Permanent(f.Error)
		case f.RetryAfter > 0:
			return nil, errors.Join(f.Error, &backoff.RetryAfterError{Duration: f.RetryAfter})
		}
		return nil, f.Error
	}, backoff.WithBackOff(pauses), backoff.WithMaxTries(c.limits.tries), backoff.WithMaxElapsedTime(c.limits.elapsed))
	if err != nil {
		return unsure, c.outcome(ctx, err)
	}
	if out == nil {
		return unsure, nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return unsure, problem.Wrap(problem.Upstream, err, "the control plane's answer to %s %s is not what was expected", rq.method, rq.path)
	}
	return unsure, nil
}

// outcome is the error that the caller gets: the last attempt's, or that the caller's own time is over.
func (c *Client) outcome(ctx context.Context, err error) error {
	if p, ok := errors.AsType[*problem.Error](err); ok {
		return p
	}
	return ended(ctx, err)
}

func ended(ctx context.Context, err error) *problem.Error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return problem.Wrap(problem.Unavailable, err, "the call to the control plane was given up")
	}
	return problem.Wrap(problem.Timeout, err, "the control plane did not answer in time")
}

// attempt sends the request once, and once more with a new token if it is answered with 401.
func (c *Client) attempt(ctx context.Context, rq call, body []byte) ([]byte, *failure) {
	ctx, cancel := context.WithTimeout(ctx, c.limits.attempt)
	defer cancel()
	token, f := c.token(ctx)
	if f != nil {
		return nil, f
	}
	answer, f := c.send(ctx, rq, body, token)
	if f == nil || f.Kind != problem.Unauthenticated {
		return answer, f
	}
	c.tokens.Invalidate(token)
	fresh, tf := c.token(ctx)
	if tf != nil {
		return nil, tf
	}
	return c.send(ctx, rq, body, fresh)
}

func (c *Client) token(ctx context.Context) (string, *failure) {
	token, err := c.tokens.Token(ctx)
	if err == nil {
		return token, nil
	}
	p, ok := errors.AsType[*problem.Error](err)
	if !ok {
		p = problem.Wrap(problem.Upstream, err, "no token for the control plane")
	}
	return "", &failure{Error: p, passes: p.Kind.Temporary(), unsent: true}
}

func (c *Client) send(ctx context.Context, rq call, body []byte, token string) ([]byte, *failure) {
	var r io.Reader
	if body != nil {
		r = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, rq.method, c.base+rq.path, r)
	if err != nil {
		return nil, &failure{Error: problem.Wrap(problem.Invalid, err, "no request can be made of %s %s", rq.method, rq.path), unsent: true}
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, unanswered(ctx, err)
	}
	defer resp.Body.Close() //nolint:errcheck // what was needed of it has been read
	success := resp.StatusCode >= 200 && resp.StatusCode < 300
	limit := c.limits.answer
	if !success {
		limit = maxRefusal
	}
	answer, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	switch {
	case !success: // even what arrived of a broken error text helps
		return nil, refusal(resp, answer, token, rq.secret)
	case err != nil:
		f := unanswered(ctx, err)
		f.unsent = false
		return nil, f
	case int64(len(answer)) > c.limits.answer:
		return nil, &failure{Error: problem.New(problem.Upstream, "the control plane's answer is larger than %d bytes", c.limits.answer)}
	}
	return answer, nil
}

// unanswered is the failure of a request that got no answer, or a broken one.
func unanswered(ctx context.Context, err error) *failure {
	if ctx.Err() != nil {
		return &failure{Error: ended(ctx, err), passes: true}
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return &failure{Error: problem.Wrap(problem.Upstream, err, "the control plane can't be reached"), passes: true, unsent: true}
	}
	return &failure{Error: problem.Wrap(problem.Upstream, err, "the connection to the control plane broke"), passes: true}
}
