package gatewayapi

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/problem"
)

// maxAnswer bounds an answer of the gateway: a page of records.
const maxAnswer = 16 << 20

// Client calls the gateway's internal API. Its errors are problem errors, by the answer's status.
type Client struct {
	base string
	hc   *http.Client
}

// NewClient returns a client. hc authenticates the calls (auth.SharedSecret.Transport) and bounds their time.
func NewClient(baseURL string, hc *http.Client) *Client {
	return &Client{base: strings.TrimRight(baseURL, "/"), hc: hc}
}

// Condition makes a write conditional.
type Condition struct {
	ifMatch, ifNoneMatch string
}

// Always writes whatever is there.
func Always() Condition { return Condition{} }

// IfAbsent writes only if there is no such record.
func IfAbsent() Condition { return Condition{ifNoneMatch: "*"} }

// IfRevision writes only if the record is still of this revision, as Get returned it.
func IfRevision(rev string) Condition { return Condition{ifMatch: rev} }

// Get reads a record into out and returns its revision.
func (c *Client) Get(ctx context.Context, pc string, kind Kind, id string, out any) (rev string, err error) {
	res, err := c.do(ctx, http.MethodGet, recordPath(pc, kind, id), nil, Condition{}, out)
	if err != nil {
		return "", err
	}
	return res.Get("ETag"), nil
}

// Put writes a record and returns its new revision; problem.Stale if the condition does not hold.
func (c *Client) Put(ctx context.Context, pc string, kind Kind, id string, doc any, cond Condition) (rev string, err error) {
	res, err := c.do(ctx, http.MethodPut, recordPath(pc, kind, id), doc, cond, nil)
	if err != nil {
		return "", err
	}
	return res.Get("ETag"), nil
}

// Delete removes a record; one that is not there is no error.
func (c *Client) Delete(ctx context.Context, pc string, kind Kind, id string) error {
	_, err := c.do(ctx, http.MethodDelete, recordPath(pc, kind, id), nil, Condition{}, nil)
	return err
}

// List returns all records of a kind, page by page, in no promised order.
func List[T any](ctx context.Context, c *Client, pc string, kind Kind) iter.Seq2[T, error] {
	return pages[T](ctx, c, "/v1/participants/"+url.PathEscape(pc)+"/"+string(kind))
}

// Flow reads a data flow.
func (c *Client) Flow(ctx context.Context, pc, id string) (*Flow, error) {
	var f Flow
	if _, err := c.do(ctx, http.MethodGet, flowPath(pc, id, ""), nil, Condition{}, &f); err != nil {
		return nil, err
	}
	return &f, nil
}

// Agreement reads the agreement of a data flow; problem.NotFound if its control plane tells of none, Upstream or Timeout if that fails.
func (c *Client) Agreement(ctx context.Context, pc, id string) (*Agreement, error) {
	var a Agreement
	if _, err := c.do(ctx, http.MethodGet, flowPath(pc, id, "/agreement"), nil, Condition{}, &a); err != nil {
		return nil, err
	}
	return &a, nil
}

// Flows returns the data flows of a tenant that are not terminal.
func (c *Client) Flows(ctx context.Context, pc string) iter.Seq2[Flow, error] {
	return pages[Flow](ctx, c, flowPath(pc, "", ""))
}

// DataAddress reads the data address of a flow: where and with which token its bytes are. It is a secret. A token that has little
// time left is renewed first, if it can be.
func (c *Client) DataAddress(ctx context.Context, pc, id string) (*dps.DataAddress, error) {
	var a dps.DataAddress
	if _, err := c.do(ctx, http.MethodGet, flowPath(pc, id, "/address"), nil, Condition{}, &a); err != nil {
		return nil, err
	}
	return &a, nil
}

// RenewDataAddress reads the data address of a flow with another access token than the one that the other side has refused;
// problem.Conflict if none is to be had.
func (c *Client) RenewDataAddress(ctx context.Context, pc, id, refused string) (*dps.DataAddress, error) {
	sum := sha256.Sum256([]byte(refused))
	var a dps.DataAddress
	in := RenewRequest{Refused: hex.EncodeToString(sum[:])}
	if _, err := c.do(ctx, http.MethodPost, flowPath(pc, id, "/address/renew"), in, Condition{}, &a); err != nil {
		return nil, err
	}
	return &a, nil
}

// Prepared says that what a hook has promised of a prepare is done. Saying it twice is no error. A Conflict says that the flow has ended meanwhile,
// since it waited no longer, for one: the function is told of the end by itself.
func (c *Client) Prepared(ctx context.Context, pc, id string, a HookAnswer) error {
	_, err := c.do(ctx, http.MethodPost, flowPath(pc, id, "/prepared"), a, Condition{}, nil)
	return err
}

// Started is Prepared for what was promised of a start.
func (c *Client) Started(ctx context.Context, pc, id string, a HookAnswer) error {
	_, err := c.do(ctx, http.MethodPost, flowPath(pc, id, "/started"), a, Condition{}, nil)
	return err
}

// Complete says that all data of a flow has been moved. Saying it twice is no error.
func (c *Client) Complete(ctx context.Context, pc, id string) error {
	_, err := c.do(ctx, http.MethodPost, flowPath(pc, id, "/completed"), struct{}{}, Condition{}, nil)
	return err
}

// Errored says that a flow can't go on: the gateway tells the control plane and has the transfer terminated.
func (c *Client) Errored(ctx context.Context, pc, id, reason string) error {
	_, err := c.do(ctx, http.MethodPost, flowPath(pc, id, "/errored"), ErroredRequest{Reason: reason}, Condition{}, nil)
	return err
}

// GiveVerdict records a person's verdict on a decision.
func (c *Client) GiveVerdict(ctx context.Context, pc, decisionID string, v VerdictRequest) error {
	_, err := c.do(ctx, http.MethodPost, recordPath(pc, KindDecision, decisionID)+"/verdict", v, Condition{}, nil)
	return err
}

// Parked lists the work of a tenant that was given up.
func (c *Client) Parked(ctx context.Context, pc string) iter.Seq2[Parked, error] {
	return pages[Parked](ctx, c, "/v1/participants/"+url.PathEscape(pc)+"/parked")
}

// Redrive tries parked work again.
func (c *Client) Redrive(ctx context.Context, pc, id string) error {
	_, err := c.do(ctx, http.MethodPost, "/v1/participants/"+url.PathEscape(pc)+"/parked/"+url.PathEscape(id)+"/redrive", struct{}{}, Condition{}, nil)
	return err
}

// Tenants lists the tenants and how they are.
func (c *Client) Tenants(ctx context.Context) iter.Seq2[TenantStatus, error] {
	return pages[TenantStatus](ctx, c, "/v1/tenants")
}

func recordPath(pc string, kind Kind, id string) string {
	return "/v1/participants/" + url.PathEscape(pc) + "/" + string(kind) + "/" + url.PathEscape(id)
}

func flowPath(pc, id, rest string) string {
	p := "/v1/participants/" + url.PathEscape(pc) + "/dataflows"
	if id != "" {
		p += "/" + url.PathEscape(id)
	}
	return p + rest
}

func pages[T any](ctx context.Context, c *Client, path string) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var zero T
		after := ""
		for {
			var page Page[T]
			if _, err := c.do(ctx, http.MethodGet, path+"?limit=500&after="+url.QueryEscape(after), nil, Condition{}, &page); err != nil {
				yield(zero, err)
				return
			}
			for _, item := range page.Items {
				if !yield(item, nil) {
					return
				}
			}
			if page.Next == "" {
				return
			}
			after = page.Next
		}
	}
}

func (c *Client) do(ctx context.Context, method, path string, in any, cond Condition, out any) (http.Header, error) {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return nil, problem.Wrap(problem.Invalid, err, "request body of %s %s", method, path)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return nil, problem.Wrap(problem.Invalid, err, "request %s %s", method, path)
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if cond.ifMatch != "" {
		req.Header.Set("If-Match", cond.ifMatch)
	}
	if cond.ifNoneMatch != "" {
		req.Header.Set("If-None-Match", cond.ifNoneMatch)
	}
	res, err := c.hc.Do(req)
	if err != nil {
		return nil, problem.Wrap(problem.Unavailable, err, "the gateway can't be reached")
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return nil, problem.Wrap(problem.Unavailable, err, "reading the gateway's answer")
	}
	if len(b) > maxAnswer {
		return nil, problem.New(problem.Upstream, "the gateway's answer to %s %s is over %s bytes", method, path, strconv.Itoa(maxAnswer))
	}
	if res.StatusCode < 200 || res.StatusCode > 299 {
		p := problem.FromResponse(res.StatusCode, b, res.Header.Get("Retry-After"))
		p.Message = fmt.Sprintf("gateway: %s", p.Message)
		return nil, p
	}
	if out != nil {
		if err := json.Unmarshal(b, out); err != nil {
			return nil, problem.Wrap(problem.Upstream, err, "the gateway's answer to %s %s", method, path)
		}
	}
	return res.Header, nil
}
