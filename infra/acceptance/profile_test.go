package acceptance

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/tidegate/tidegate/functions/natstest"
	"github.com/tidegate/tidegate/infra/internal/local"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/management"
	"github.com/tidegate/tidegate/shared/tenant"
)

const streamProfile = "https://provider.example/profiles/nats-stream-pull"

// TestATransferProfileIsOneFunctionAndOneLine: a dataset that is a stream of a NATS server goes from the catalog to a reader that has nothing
// but the data address; a suspension cuts the reader off, a resumption lets it go on, and the end ends it.
func TestATransferProfileIsOneFunctionAndOneLine(t *testing.T) {
	server := natstest.Start(t, "provider")
	streams := server.JetStream("provider")
	if _, err := streams.CreateStream(t.Context(), jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"orders"}}); err != nil {
		t.Fatal(err)
	}
	published := 0
	publish := func(n int) {
		t.Helper()
		for range n {
			published++
			if _, err := streams.Publish(t.Context(), "orders", fmt.Append(nil, published)); err != nil {
				t.Fatal(err)
			}
		}
	}
	publish(3)

	layout := newLayout(t)
	if _, err := local.Prepare(layout, binDir(t)); err != nil { // makes the documents that are changed now
		t.Fatal(err)
	}
	for _, pc := range []string{"provider", "consumer"} {
		addLine(t, filepath.Join(layout.Tenants(), pc+".yaml"), "profiles: [{profile: "+streamProfile+", hook: nats-stream}]\n")
	}
	settings := fmt.Sprintf("NATS_URL=%s\nNATS_ACCOUNTS_DIR=%s\n", server.URL, server.AccountsDir)
	if err := os.MkdirAll(filepath.Join(layout.Dir, "functions"), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(layout.Dir, "functions", "nats-stream.env"), []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	h := start(t, layout)
	provider, consumer := h.controlPlane(t, "provider"), h.controlPlane(t, "consumer")

	offerStream(t, provider)
	us := tenant.CounterParty{ID: "did:web:provider.example", Address: layout.SandboxURL() + "/protocol/provider/http-dsp-profile-2025-1"}
	agreement := agree(t, consumer, us)
	id, err := consumer.StartTransfer(t.Context(), "consumer-stream", us, agreement, streamProfile)
	if err != nil {
		t.Fatal(err)
	}
	state := func(want string) func() string {
		return func() string {
			p, err := consumer.GetTransfer(t.Context(), id)
			if err != nil {
				return err.Error()
			}
			if p.State != want {
				return "the transfer is " + p.State + ": " + p.ErrorDetail
			}
			return ""
		}
	}
	eventually(t, 30*time.Second, state("STARTED"))

	address, err := h.Gateway.DataAddress(t.Context(), "consumer", id)
	if err != nil {
		t.Fatal(err)
	}
	if got := receive(t, open(t, address), 3); !slices.Equal(got, []string{"1", "2", "3"}) {
		t.Errorf("read %v", got)
	}
	subscription := subscribe(t, open(t, address))
	publish(1)
	if got := <-subscription.got; got != "4" {
		t.Errorf("the subscription read %s", got)
	}

	if err := consumer.SuspendTransfer(t.Context(), id, "wait"); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-subscription.cut:
		t.Logf("the subscription was cut: %v", err)
	case <-time.After(time.Minute):
		t.Fatal("the subscription is open after a suspension")
	}
	publish(2)
	eventually(t, 30*time.Second, state("SUSPENDED"))
	if err := consumer.ResumeTransfer(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	eventually(t, 30*time.Second, state("STARTED"))
	var fresh *dps.DataAddress
	eventually(t, 20*time.Second, func() string {
		if fresh, err = h.Gateway.DataAddress(t.Context(), "consumer", id); err != nil {
			return err.Error()
		}
		if fresh.Property("jwt") == address.Property("jwt") {
			return "the consumer has no fresh address"
		}
		return ""
	})
	if got := receive(t, open(t, fresh), 2); !slices.Equal(got, []string{"5", "6"}) {
		t.Errorf("after the resumption %v", got)
	}

	subscription = subscribe(t, open(t, fresh))
	if err := consumer.TerminateTransfer(t.Context(), id, "enough"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-subscription.cut:
	case <-time.After(time.Minute):
		t.Fatal("the subscription is open after the end")
	}
	if c, err := tryOpen(t, fresh, 3*time.Second); err == nil {
		t.Errorf("the credentials still lead to %s", c.CachedInfo().Name)
	}
	eventually(t, 20*time.Second, func() string {
		s, err := streams.Stream(t.Context(), "ORDERS")
		if err != nil {
			return err.Error()
		}
		for name := range s.ConsumerNames(t.Context()).Name() {
			return name + " is left"
		}
		return ""
	})
	for p, err := range h.Gateway.Parked(t.Context(), "provider") {
		t.Errorf("parked: %+v %v", p, err)
	}
}

func addLine(t *testing.T, file, line string) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("\n" + line); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// offerStream puts the stream on offer, as a developer of the use case does it: an asset that names the profile and the stream.
func offerStream(t *testing.T, cp *management.Client) {
	t.Helper()
	ctx := t.Context()
	for _, err := range []error{
		cp.CreatePolicy(ctx, &management.PolicyDefinition{ID: "provider-streams", Policy: map[string]any{"permission": []any{map[string]any{"action": "use"}}}}),
		cp.CreateAsset(ctx, &management.Asset{
			ID: "provider-orders", Properties: map[string]any{"name": "orders"}, PrivateProperties: map[string]any{"kind": "stream"},
			DataplaneMetadata: &management.DataplaneMetadata{Profiles: []string{streamProfile}, Properties: map[string]any{"stream": "ORDERS"}},
		}),
		cp.CreateContractDefinition(ctx, &management.ContractDefinition{
			ID: "provider-streams", AccessPolicyID: "provider-streams", ContractPolicyID: "provider-streams",
			AssetsSelector: []management.Criterion{{OperandLeft: "https://w3id.org/edc/v0.0.1/ns/id", Operator: "=", OperandRight: "provider-orders"}},
		}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// agree takes the offer of the stream in the catalog, and returns the agreement.
func agree(t *testing.T, cp *management.Client, them tenant.CounterParty) string {
	t.Helper()
	d, err := cp.Dataset(t.Context(), them, "provider-orders")
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Offers) == 0 || !slices.ContainsFunc(d.Distributions, func(d management.Distribution) bool { return d.Format == streamProfile }) {
		t.Fatalf("the catalog offers the stream as %+v", d)
	}
	id, err := cp.StartNegotiation(t.Context(), them, &d.Offers[0])
	if err != nil {
		t.Fatal(err)
	}
	var n *management.Negotiation
	eventually(t, 30*time.Second, func() string {
		if n, err = cp.GetNegotiation(t.Context(), id); err != nil {
			return err.Error()
		}
		if n.State != "FINALIZED" {
			return "the negotiation is " + n.State + ": " + n.ErrorDetail
		}
		return ""
	})
	return n.ContractAgreementID
}

// tryOpen is what a plain NATS client does with a data address.
func tryOpen(t *testing.T, a *dps.DataAddress, patience time.Duration) (jetstream.Consumer, error) {
	t.Helper()
	nc, err := nats.Connect(a.Endpoint, nats.UserJWTAndSeed(a.Property("jwt"), a.Property("seed")), nats.CustomInboxPrefix(a.Property("inboxPrefix")))
	if err != nil {
		return nil, err
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return js.Consumer(ctx, a.Property("stream"), a.Property("consumer"))
}

func open(t *testing.T, a *dps.DataAddress) jetstream.Consumer {
	t.Helper()
	c, err := tryOpen(t, a, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// receive reads and acknowledges n messages.
func receive(t *testing.T, c jetstream.Consumer, n int) (got []string) {
	t.Helper()
	eventually(t, 10*time.Second, func() string {
		batch, err := c.Fetch(n-len(got), jetstream.FetchMaxWait(time.Second))
		if err != nil {
			return err.Error()
		}
		for m := range batch.Messages() {
			got = append(got, string(m.Data()))
			if err := m.DoubleAck(t.Context()); err != nil {
				return err.Error()
			}
		}
		if len(got) < n {
			return fmt.Sprintf("read %v", got)
		}
		return ""
	})
	return got
}

type subscription struct {
	got chan string
	cut chan error
}

// subscribe reads and acknowledges what comes until it is cut off.
func subscribe(t *testing.T, c jetstream.Consumer) subscription {
	t.Helper()
	messages, err := c.Messages(jetstream.PullHeartbeat(500 * time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(messages.Stop)
	s := subscription{make(chan string, 100), make(chan error, 1)}
	go func() {
		for {
			m, err := messages.Next()
			if err != nil {
				s.cut <- err
				return
			}
			if err := m.DoubleAck(context.Background()); err != nil {
				s.cut <- err
				return
			}
			s.got <- string(m.Data())
		}
	}()
	return s
}
