// Package approver asks the function that decides about negotiations and agreements.
package approver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
)

// maxAnswer bounds an answer: a decision with the input that it was made on.
const maxAnswer = 512 << 10

// Client calls the approver.
type Client struct {
	base    func(participantContextID string) string
	hc      *http.Client
	timeout time.Duration
}

// New returns a client. baseURL is the function that a tenant's questions go to, hc authenticates the calls; timeout bounds each, cold start of the function included.
func New(baseURL func(participantContextID string) string, hc *http.Client, timeout time.Duration) *Client {
	return &Client{base: baseURL, hc: hc, timeout: timeout}
}

// Decide has the decision on an agreement made and recorded.
func (c *Client) Decide(ctx context.Context, req gatewayapi.DecideRequest) (gatewayapi.Decision, error) {
	var d gatewayapi.Decision
	_, body, err := c.post(ctx, req.ParticipantContextID, gatewayapi.PathDecide, req)
	if err != nil {
		return d, err
	}
	if err := json.Unmarshal(body, &d); err != nil {
		return d, problem.Wrap(problem.Upstream, err, "the approver's answer is no decision")
	}
	return d, nil
}

// Veto asks whether a negotiation may be answered: nil, or Forbidden with the reason. Any other error means that there is no
// decision. Consent is 204 and nothing else: a 200 is what any program answers, a wrong one in the approver's place too.
func (c *Client) Veto(ctx context.Context, req gatewayapi.VetoRequest) error {
	status, _, err := c.post(ctx, req.ParticipantContextID, gatewayapi.PathVeto, req)
	if err == nil && status != http.StatusNoContent {
		return problem.New(problem.Upstream, "the approver's answer %d is no decision; 204 or 403 is expected", status)
	}
	return err
}

func (c *Client) post(ctx context.Context, pc, path string, in any) (status int, answer []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	out, err := json.Marshal(in)
	if err != nil {
		return 0, nil, problem.Wrap(problem.Invalid, err, "the question can't be encoded")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimRight(c.base(pc), "/")+path, bytes.NewReader(out))
	if err != nil {
		return 0, nil, problem.Wrap(problem.Unavailable, err, "the approver's URL")
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := c.hc.Do(req)
	if errors.Is(err, context.DeadlineExceeded) {
		return 0, nil, problem.Wrap(problem.Unavailable, err, "the approver did not answer in time")
	}
	if err != nil {
		return 0, nil, problem.Wrap(problem.Unavailable, err, "the approver can't be reached")
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case err != nil:
		return 0, nil, problem.Wrap(problem.Unavailable, err, "the approver's answer breaks off")
	case len(body) > maxAnswer:
		return 0, nil, problem.New(problem.Upstream, "the approver's answer is over %d bytes", maxAnswer)
	case res.StatusCode < 200 || res.StatusCode > 299:
		return 0, nil, problem.FromResponse(res.StatusCode, body, res.Header.Get("Retry-After"))
	}
	return res.StatusCode, body, nil
}
