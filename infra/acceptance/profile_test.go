package acceptance

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/tidegate/tidegate/functions/natstest"
	"github.com/tidegate/tidegate/infra/internal/local"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/management"
	"github.com/tidegate/tidegate/shared/tenant"
)

const streamProfile = "https://provider.example/profiles/nats-stream-pull"

// streams is a deployment whose tenants have the profile of functions/nats-stream, with a stream ORDERS of the provider's.
type streams struct {
	*house
	jetstream.JetStream

	them      tenant.CounterParty // the provider, as the consumer's control plane calls it
	published int
}

// startStreams starts it with the stream on offer. subscribe is put at the head of the consumer's subscriptions.
func startStreams(t *testing.T, subscribe string) *streams {
	t.Helper()
	server := natstest.Start(t, "provider")
	layout := newLayout(t)
	s := &streams{JetStream: server.JetStream("provider"), them: tenant.CounterParty{
		ID: "did:web:provider.example", Address: layout.SandboxURL() + "/protocol/provider/http-dsp-profile-2025-1",
	}}
	if _, err := s.CreateStream(t.Context(), jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"orders"}}); err != nil {
		t.Fatal(err)
	}
	s.publish(t, 3)
	if _, err := local.Prepare(layout, binDir(t)); err != nil { // makes the documents that are changed now
		t.Fatal(err)
	}
	for _, pc := range []string{"provider", "consumer"} {
		edit(t, filepath.Join(layout.Tenants(), pc+".yaml"), func(doc string) string {
			return strings.Replace(doc, "\nsubscribe:\n", "\nsubscribe:\n"+strings.ReplaceAll(subscribe, "{{provider}}", s.them.Address), 1) + "\nprofiles: [{profile: " + streamProfile + ", hook: nats-stream}]\n"
		})
	}
	settings := fmt.Sprintf("NATS_URL=%s\nNATS_ACCOUNTS_DIR=%s\n", server.URL, server.AccountsDir)
	if err := os.MkdirAll(filepath.Join(layout.Dir, "functions"), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(layout.Dir, "functions", "nats-stream.env"), []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	s.house = start(t, layout)
	offerStream(t, s.controlPlane(t, "provider"))
	return s
}

// publish adds n messages, numbered on.
func (s *streams) publish(t *testing.T, n int) {
	t.Helper()
	for range n {
		s.published++
		if _, err := s.Publish(t.Context(), "orders", fmt.Append(nil, s.published)); err != nil {
			t.Fatal(err)
		}
	}
}

// nothingParked fails the test for what is parked.
func (s *streams) nothingParked(t *testing.T) {
	t.Helper()
	for _, pc := range []string{"provider", "consumer"} {
		for p, err := range s.Gateway.Parked(t.Context(), pc) {
			t.Errorf("parked: %+v %v", p, err)
		}
	}
}

// TestATransferProfileIsOneFunctionAndOneLine: a dataset that is a stream of a NATS server goes from the catalog to a reader that has nothing
// but the data address; a suspension cuts the reader off, a resumption lets it go on, and the end ends it.
func TestATransferProfileIsOneFunctionAndOneLine(t *testing.T) {
	h := startStreams(t, "")
	consumer := h.controlPlane(t, "consumer")
	agreement := agree(t, consumer, h.them)
	id, err := consumer.StartTransfer(t.Context(), "consumer-stream", h.them, agreement, streamProfile)
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
	eventually(t, time.Minute, state("STARTED"))

	address, err := h.Gateway.DataAddress(t.Context(), "consumer", id)
	if err != nil {
		t.Fatal(err)
	}
	if got := receive(t, open(t, address), 3); !slices.Equal(got, []string{"1", "2", "3"}) {
		t.Errorf("read %v", got)
	}
	subscription := subscribe(t, open(t, address))
	h.publish(t, 1)
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
	h.publish(t, 2)
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
		s, err := h.Stream(t.Context(), "ORDERS")
		if err != nil {
			return err.Error()
		}
		for name := range s.ConsumerNames(t.Context()).Name() {
			return name + " is left"
		}
		return ""
	})
	h.nothingParked(t)
}

// TestASubscriptionNamesATransferProfile: a tenant that subscribes to a stream has the data in NATS without anybody's doing, and has it again,
// under the same agreement, when the other side has ended the transfer.
func TestASubscriptionNamesATransferProfile(t *testing.T) {
	h := startStreams(t, `  - name: orders
    counterParty: {id: "did:web:provider.example", address: "{{provider}}"}
    profile: `+streamProfile+`
    every: 500ms
`)
	var supply gatewayapi.Supply
	running := func(not string) func() string {
		return func() string {
			_, err := h.Gateway.Get(t.Context(), "consumer", gatewayapi.KindSupply, gatewayapi.SupplyID("orders", "provider-orders"), &supply)
			if err != nil {
				return err.Error()
			}
			if supply.TransferProcessID == "" || supply.TransferProcessID == not {
				return fmt.Sprintf("no (other) transfer: %+v", supply)
			}
			f, err := h.Gateway.Flow(t.Context(), "consumer", supply.TransferProcessID)
			switch {
			case err != nil:
				return err.Error()
			case f.State != dps.Started:
				return "the flow is " + string(f.State)
			}
			return ""
		}
	}
	read := func(n int) []string {
		t.Helper()
		a, err := h.Gateway.DataAddress(t.Context(), "consumer", supply.TransferProcessID)
		if err != nil {
			t.Fatal(err)
		}
		return receive(t, open(t, a), n)
	}
	eventually(t, time.Minute, running(""))
	if got := read(3); !slices.Equal(got, []string{"1", "2", "3"}) {
		t.Errorf("read %v", got)
	}
	h.publish(t, 1)
	if got := read(1); !slices.Equal(got, []string{"4"}) {
		t.Errorf("then %v", got)
	}

	first := supply
	provider := h.controlPlane(t, "provider")
	for tp, err := range provider.QueryTransfers(t.Context(), management.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		if tp.TransferType != streamProfile { // the other subscription's, which takes all there is and gets no file
			continue
		}
		if err := provider.TerminateTransfer(t.Context(), tp.ID, "maintenance"); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, 2*time.Minute, running(first.TransferProcessID))
	if got := read(4); !slices.Equal(got, []string{"1", "2", "3", "4"}) || supply.AgreementID != first.AgreementID {
		t.Errorf("from the transfer after that %v, under %s after %s", got, supply.AgreementID, first.AgreementID)
	}
	h.nothingParked(t)
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
