package outbox_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/dps-gateway/internal/controlplane"
	"github.com/tidegate/tidegate/dps-gateway/internal/outbox"
	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/shared/auth"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/eventsig"
	"github.com/tidegate/tidegate/shared/management"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

func internalSecret(t *testing.T) *auth.SharedSecret {
	t.Helper()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("outbox-test-internal-token"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := auth.NewSharedSecret(file)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAnEventIsPostedInBinaryModeWithTheSameIDEachTime(t *testing.T) {
	var ids []string
	secret := internalSecret(t)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e, err := cehttp.NewEventFromHTTPRequest(r)
		if err != nil {
			t.Error(err)
			return
		}
		if r.Header.Get("Ce-Id") != e.ID() || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("not binary mode: %v", r.Header)
		}
		d, err := catalogue.Data[catalogue.DataFlow](e)
		if err != nil || d.DataFlowID != "flow" || d.Revision != 3 || d.State != "STARTED" {
			t.Errorf("%+v %v", d, err)
		}
		if pc, err := catalogue.ParticipantContextID(e); err != nil || pc != "a" {
			t.Errorf("%q %v", pc, err)
		}
		if !eventsig.Check(secret, e) {
			t.Errorf("not signed: %v", e)
		}
		if e.Extensions()[catalogue.ExtPartitionKey] != "a/flow" || e.Subject() != "flow" {
			t.Errorf("%v", e)
		}
		ids = append(ids, e.ID())
		w.WriteHeader(http.StatusAccepted)
	}))
	defer srv.Close()
	defer http.DefaultClient.CloseIdleConnections()
	s := outbox.NewEventSender(internalSecret(t), srv.URL+"/default/default", http.DefaultClient, time.Second)
	e := entry("a", "flow", 3)
	e.State, e.Kind = dps.Started, catalogue.DataFlowStarted
	e.Role, e.Direction, e.Profile = dps.Consumer, dps.Pull, dps.ProfileHTTPPull
	for range 2 {
		if err := s.Send(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	if len(ids) != 2 || ids[0] != ids[1] {
		t.Errorf("ids %v", ids)
	}
}

func TestAnswersOfTheBroker(t *testing.T) {
	code, retryAfter := 0, ""
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if retryAfter != "" {
			w.Header().Set("Retry-After", retryAfter)
		}
		w.WriteHeader(code)
	}))
	defer srv.Close()
	defer http.DefaultClient.CloseIdleConnections()
	s := outbox.NewEventSender(internalSecret(t), srv.URL, http.DefaultClient, time.Second)
	for want, codes := range map[string][]int{
		"":     {200, 202, 204},
		"park": {400, 413, 422},
		"try":  {401, 403, 404, 405, 408, 409, 412, 415, 429, 500, 502, 503, 504},
	} {
		for _, code = range codes {
			err := s.Send(t.Context(), entry("a", "flow", 1))
			got := ""
			switch k := problem.KindOf(err); {
			case err == nil:
			case k == problem.Invalid, k == problem.Unprocessable, k == problem.TooLarge:
				got = "park"
			default:
				got = "try"
			}
			if got != want {
				t.Errorf("%d: %q, want %q (%v)", code, got, want, err)
			}
		}
	}
	code, retryAfter = 503, "7"
	p, ok := errors.AsType[*problem.Error](s.Send(t.Context(), entry("a", "flow", 1)))
	if !ok || p.RetryAfter != 7*time.Second {
		t.Errorf("Retry-After is lost: %+v", p)
	}
}

type registry map[string]*tenant.Tenant

func (r registry) Get(pc string) (*tenant.Tenant, bool) { t, ok := r[pc]; return t, ok }

// transfers is the Management API of a control plane, as far as the senders need it.
type transfers struct {
	state      string
	err        error
	terminated []string
}

func (tr *transfers) GetTransfer(_ context.Context, id string) (*management.Transfer, error) {
	if tr.state == "" {
		return nil, problem.New(problem.NotFound, "no transfer")
	}
	return &management.Transfer{ID: id, State: tr.state}, nil
}

func (tr *transfers) TerminateTransfer(_ context.Context, id, reason string) error {
	tr.terminated = append(tr.terminated, id+": "+reason)
	return tr.err
}

func TestCallback(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := auth.NewSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	type call struct {
		path string
		msg  dps.StatusMessage
		jti  string
	}
	var calls []call
	code := http.StatusOK
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := auth.Bearer(r.Header)
		c, err := signer.Verify(token)
		if err != nil || c.Subject != "a-tidegate" || c.Issuer != "https://public.example" || len(c.Audience) != 1 || !strings.HasSuffix(c.Audience[0], "/signaling") {
			t.Errorf("token %+v %v", c, err)
		}
		b, _ := io.ReadAll(r.Body)
		var m dps.StatusMessage
		if err := json.Unmarshal(b, &m); err != nil {
			t.Error(err)
		}
		calls = append(calls, call{r.URL.EscapedPath(), m, c.ID})
		w.WriteHeader(code)
	}))
	defer srv.Close()
	defer http.DefaultClient.CloseIdleConnections()
	tr := &transfers{state: "STARTED"}
	reg := registry{"a": {ParticipantContextID: "a", ControlPlane: tenant.ControlPlane{
		SignalingURL: srv.URL + "/signaling", Signaling: tenant.Signaling{DataplaneID: "a-tidegate"},
	}}}
	s := outbox.NewCallbackSender(reg, func(*tenant.Tenant) (outbox.Transfers, error) { return tr, nil },
		controlplane.New(signer, "https://public.example", http.DefaultClient), flows{})

	done := &outbox.Entry{PC: "a", Lane: outbox.LaneCallback, Kind: "completed", Subject: "tp/ 1", State: dps.Completed, Revision: 4}
	for range 2 {
		if err := s.Send(t.Context(), done); err != nil {
			t.Fatal(err)
		}
	}
	if calls[0].path != "/signaling/transfers/tp%2F%201/dataflow/completed" || calls[0].msg.MessageID == "" || calls[0].msg.MessageID != calls[1].msg.MessageID {
		t.Errorf("%+v", calls)
	}
	if calls[0].jti == "" || calls[0].jti == calls[1].jti {
		t.Error("the tokens of two calls have the same id")
	}
	calls[0].msg.MessageID = ""
	if d := cmp.Diff(dps.StatusMessage{DataFlowID: "tp/ 1", State: dps.Completed}, calls[0].msg); d != "" {
		t.Error(d)
	}
	failed := &outbox.Entry{PC: "a", Lane: outbox.LaneCallback, Kind: "errored", Subject: "tp", State: dps.Started, Reason: "disk full", Revision: 5}
	if err := s.Send(t.Context(), failed); err != nil || calls[2].msg.Error != "disk full" {
		t.Errorf("%v %+v", err, calls[2])
	}
	// Every refusal is tried again, as EDC refuses what it is not ready for, unless the transfer has ended.
	for _, code = range []int{400, 401, 404, 409, 500, 503} {
		err := s.Send(t.Context(), done)
		if k := problem.KindOf(err); err == nil || k == problem.Invalid || k == problem.Unprocessable {
			t.Errorf("%d: %v", code, err)
		}
	}
	tr.state, code = "COMPLETED", 409
	if err := s.Send(t.Context(), done); err != nil {
		t.Errorf("a callback about a transfer that has ended: %v", err)
	}
	done.PC = "gone"
	if err := s.Send(t.Context(), done); !problem.Is(err, problem.NotFound) {
		t.Errorf("a tenant that is not in force: %v", err)
	}
}

func TestTerminate(t *testing.T) {
	tr := &transfers{state: "STARTED"}
	s := outbox.NewTerminateSender(registry{"a": {ParticipantContextID: "a"}}, func(*tenant.Tenant) (outbox.Transfers, error) { return tr, nil }, flows{})
	e := &outbox.Entry{PC: "a", Lane: outbox.LaneTerminate, Subject: "tp", Reason: "disk full"}
	if err := s.Send(t.Context(), e); err != nil || tr.terminated[0] != "tp: disk full" {
		t.Errorf("%v %v", err, tr.terminated)
	}
	for _, c := range []struct {
		err   error
		state string
		good  bool
	}{
		{problem.New(problem.NotFound, "x"), "", true},
		{problem.New(problem.Conflict, "x"), "TERMINATED", true},
		{problem.New(problem.Conflict, "x"), "STARTED", false},
		{problem.New(problem.Unavailable, "x"), "STARTED", false},
	} {
		tr.err, tr.state = c.err, c.state
		if err := s.Send(t.Context(), e); (err == nil) != c.good {
			t.Errorf("%v in %s: %v", c.err, c.state, err)
		}
	}
}

// flows are made by the control plane of the document, unless said otherwise, and have not ended.
type flows struct {
	owner string
	ended bool
	err   error
}

func (f flows) Owner(context.Context, string, string) (string, error) { return f.owner, f.err }

func (f flows) Ended(context.Context, string, string, int64) (bool, error) { return f.ended, f.err }

// TestTheManagementAPIIsNotAskedAboutTheFlowsOfAnotherControlPlane: it knows nothing of the transfers of one that has registered itself, or
// means others by the same ids. Errored tells such a control plane, and what it has signaled since is what makes a callback moot.
func TestTheManagementAPIIsNotAskedAboutTheFlowsOfAnotherControlPlane(t *testing.T) {
	tr := &transfers{state: "COMPLETED"}
	of := func(*tenant.Tenant) (outbox.Transfers, error) { return tr, nil }
	reg := registry{"a": {ParticipantContextID: "a"}}
	e := &outbox.Entry{PC: "a", Lane: outbox.LaneTerminate, Subject: "tp", Reason: "disk full"}
	if err := outbox.NewTerminateSender(reg, of, flows{owner: "x"}).Send(t.Context(), e); err != nil || len(tr.terminated) > 0 {
		t.Errorf("%v, terminated by the Management API of the document: %v", err, tr.terminated)
	}
	if err := outbox.NewTerminateSender(reg, of, flows{err: problem.New(problem.Unavailable, "x")}).Send(t.Context(), e); !problem.Is(err, problem.Unavailable) {
		t.Errorf("nobody knows who made it: %v", err)
	}
	errored := &outbox.Entry{PC: "a", Lane: outbox.LaneCallback, Kind: "errored", Subject: "tp", State: dps.Started, Reason: "disk full", Revision: 5}
	for _, c := range []struct {
		flows flows
		moot  bool
	}{
		{flows{}, true}, // the document's control plane says that the transfer is completed
		{flows{owner: "x"}, false},
		{flows{owner: "x", ended: true}, true},
		{flows{err: problem.New(problem.Unavailable, "x")}, false},
	} {
		err := outbox.NewCallbackSender(reg, of, refusing{}, c.flows).Send(t.Context(), errored)
		if (err == nil) != c.moot {
			t.Errorf("%+v: %v", c.flows, err)
		}
	}
}

// refusing are control planes that refuse every callback.
type refusing struct{}

func (refusing) Do(context.Context, *tenant.Tenant, string, string, string, []byte, int64) (*controlplane.Answer, error) {
	return &controlplane.Answer{Status: http.StatusConflict}, nil
}
