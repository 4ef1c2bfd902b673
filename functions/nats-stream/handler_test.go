package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/tidegate/tidegate/functions/natstest"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/function"
	"github.com/tidegate/tidegate/shared/function/functiontest"
	"github.com/tidegate/tidegate/shared/gatewayapi"
)

const profile = "https://provider.example/profiles/nats-stream-pull"

// bench is the function as it runs, a NATS server with two tenants' accounts, and the stream ORDERS of one of them.
type bench struct {
	*functiontest.Function
	t    *testing.T
	nats *natstest.Server
	js   jetstream.JetStream
	n    int
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, nats: natstest.Start(t, "provider", "other")}
	h := &handler{cfg: Config{URL: b.nats.URL, PublicURL: b.nats.URL, AccountsDir: b.nats.AccountsDir, InactiveTime: time.Hour}}
	b.Function = functiontest.Start(t, "", "", nil, func(s *function.Service) { s.HandleHook(h.Handle) })
	b.js = b.nats.JetStream("provider")
	if _, err := b.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"orders.>"}}); err != nil {
		t.Fatal(err)
	}
	return b
}

// publish adds n messages, numbered on.
func (b *bench) publish(n int) {
	b.t.Helper()
	for range n {
		b.n++
		if _, err := b.js.Publish(b.t.Context(), fmt.Sprintf("orders.%s", []string{"eu", "us"}[b.n%2]), fmt.Append(nil, b.n)); err != nil {
			b.t.Fatal(err)
		}
	}
}

func request(kind gatewayapi.HookKind, revision int64) *gatewayapi.HookRequest {
	return &gatewayapi.HookRequest{Kind: kind, Key: fmt.Sprint(kind, revision), AnswerWithinMS: 5000, Flow: gatewayapi.Flow{
		ParticipantContextID: "provider", DataFlowID: "tp-1", Role: dps.Provider, Direction: dps.Pull, Profile: profile, CounterPartyID: "did:web:consumer",
		AgreementID: "agr", DatasetID: "orders", Metadata: map[string]any{"stream": "ORDERS"}, Revision: revision,
	}}
}

func (b *bench) call(r *gatewayapi.HookRequest) (int, *gatewayapi.HookAnswer, string) {
	b.t.Helper()
	body, err := json.Marshal(r)
	if err != nil {
		b.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, b.URL+gatewayapi.PathHook, bytes.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	res := b.Do(b.t, req)
	defer func() { _ = res.Body.Close() }()
	out, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	var a gatewayapi.HookAnswer
	if res.StatusCode == http.StatusOK {
		if err := json.Unmarshal(out, &a); err != nil {
			b.t.Fatal(err)
		}
	}
	return res.StatusCode, &a, string(out)
}

func (b *bench) must(r *gatewayapi.HookRequest) *dps.DataAddress {
	b.t.Helper()
	code, a, body := b.call(r)
	if code != http.StatusOK {
		b.t.Fatalf("%s: %d %s", r.Kind, code, body)
	}
	return a.DataAddress
}

// connect is the plain NATS client of a consumer, with nothing but the data address.
func (b *bench) connect(a *dps.DataAddress) (*nats.Conn, jetstream.JetStream) {
	b.t.Helper()
	nc, err := nats.Connect(a.Endpoint, nats.UserJWTAndSeed(a.Property(propertyJWT), a.Property(propertySeed)), nats.CustomInboxPrefix(a.Property(propertyInbox)))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		b.t.Fatal(err)
	}
	return nc, js
}

func (b *bench) reader(a *dps.DataAddress) jetstream.Consumer {
	b.t.Helper()
	_, js := b.connect(a)
	c, err := js.Consumer(b.t.Context(), a.Property(propertyStream), a.Property(propertyConsumer))
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

// read reads and acknowledges n messages.
func (b *bench) read(c jetstream.Consumer, n int) (got []string) {
	b.t.Helper()
	for len(got) < n {
		batch, err := c.Fetch(n-len(got), jetstream.FetchMaxWait(2*time.Second))
		if err != nil {
			b.t.Fatal(err)
		}
		before := len(got)
		for m := range batch.Messages() {
			got = append(got, string(m.Data()))
			if err := m.DoubleAck(b.t.Context()); err != nil {
				b.t.Fatal(err)
			}
		}
		if err := batch.Error(); err != nil || len(got) == before {
			b.t.Fatalf("%v after %v", err, got)
		}
	}
	return got
}

func (b *bench) consumers() (names []string) {
	b.t.Helper()
	s, err := b.js.Stream(b.t.Context(), "ORDERS")
	if err != nil {
		b.t.Fatal(err)
	}
	for name := range s.ConsumerNames(b.t.Context()).Name() {
		names = append(names, name[strings.LastIndexByte(name, '-')+1:])
	}
	slices.Sort(names)
	return names
}

// TestAStreamIsReadUntilTheFlowEnds is the life of a flow: read, suspended in the middle of a subscription, resumed where it was, ended.
func TestAStreamIsReadUntilTheFlowEnds(t *testing.T) {
	b := newBench(t)
	b.publish(4)
	first := b.must(request(gatewayapi.HookStart, 1))
	if first.EndpointType != profile || first.Endpoint != b.nats.URL {
		t.Errorf("%v", first)
	}
	again := b.must(request(gatewayapi.HookStart, 1))
	if again.Property(propertyConsumer) != first.Property(propertyConsumer) {
		t.Errorf("the same call made another consumer: %s, %s", first.Property(propertyConsumer), again.Property(propertyConsumer))
	}
	c := b.reader(first)
	if got := b.read(c, 3); !slices.Equal(got, []string{"1", "2", "3"}) {
		t.Errorf("read %v", got)
	}
	if got := b.read(b.reader(again), 1); !slices.Equal(got, []string{"4"}) {
		t.Errorf("the second answer's credentials read %v", got)
	}
	messages, err := c.Messages(jetstream.PullHeartbeat(500 * time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer messages.Stop()
	cut := make(chan error, 1)
	go func() {
		for {
			m, err := messages.Next()
			if err != nil {
				cut <- err
				return
			}
			_ = m.Ack()
		}
	}()
	b.publish(1)
	within(t, "5 is acknowledged", func() bool {
		s, err := b.js.Consumer(t.Context(), "ORDERS", first.Property(propertyConsumer))
		return err == nil && s.CachedInfo().AckFloor.Stream == 5
	})
	for range 2 { // told twice
		b.must(request(gatewayapi.HookSuspend, 2))
	}
	select {
	case err := <-cut:
		if !errors.Is(err, jetstream.ErrConsumerDeleted) {
			t.Logf("the subscription ended by %v", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("the subscription is still open")
	}
	if got := b.consumers(); !slices.Equal(got, []string{"held"}) {
		t.Errorf("consumers of a suspended flow: %v", got)
	}
	b.publish(2)
	b.nothing(first)

	second := b.must(request(gatewayapi.HookResume, 3))
	b.must(request(gatewayapi.HookSuspend, 2)) // told late
	b.must(request(gatewayapi.HookResume, 3))  // asked twice
	if got := b.read(b.reader(second), 2); !slices.Equal(got, []string{"6", "7"}) {
		t.Errorf("after the resume %v", got)
	}
	b.nothing(first)
	b.must(request(gatewayapi.HookComplete, 4))
	if got := b.consumers(); len(got) != 0 {
		t.Errorf("consumers of a flow that has ended: %v", got)
	}
	b.nothing(second)
	b.must(request(gatewayapi.HookTerminate, 4))
}

// nothing fails if the credentials of an address get anything out of the server.
func (b *bench) nothing(a *dps.DataAddress) {
	b.t.Helper()
	_, js := b.connect(a)
	ctx, cancel := context.WithTimeout(b.t.Context(), 2*time.Second)
	defer cancel()
	if c, err := js.Consumer(ctx, a.Property(propertyStream), a.Property(propertyConsumer)); err == nil {
		b.t.Errorf("there is a consumer %s", c.CachedInfo().Name)
	}
}

// TestCredentialsAreForOneConsumer: what is not the flow's can't be reached with its credentials.
func TestCredentialsAreForOneConsumer(t *testing.T) {
	b := newBench(t)
	b.publish(2)
	mine := b.must(request(gatewayapi.HookStart, 1))
	other := request(gatewayapi.HookStart, 1)
	other.Flow.DataFlowID = "tp-2"
	theirs := b.must(other)
	nc, js := b.connect(mine)
	denied := make(chan error, 10)
	nc.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { denied <- err })
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	for name, try := range map[string]func() error{
		"another flow's consumer": func() error { _, err := js.Consumer(ctx, "ORDERS", theirs.Property(propertyConsumer)); return err },
		"a consumer of its own":   func() error { _, err := js.CreateConsumer(ctx, "ORDERS", jetstream.ConsumerConfig{}); return err },
		"the stream":              func() error { _, err := js.Stream(ctx, "ORDERS"); return err },
		"publishing into it":      func() error { _, err := js.Publish(ctx, "orders.eu", []byte("forged")); return err },
		"the deletion of its own": func() error { return js.DeleteConsumer(ctx, "ORDERS", mine.Property(propertyConsumer)) },
		"an answer of another inbox": func() error {
			if _, err := nc.SubscribeSync(theirs.Property(propertyInbox) + ".>"); err != nil {
				return err
			}
			if err := nc.FlushTimeout(time.Second); err != nil {
				return err
			}
			select {
			case err := <-denied:
				return err
			case <-time.After(time.Second):
				return nil
			}
		},
	} {
		if try() == nil {
			t.Errorf("%s is allowed", name)
		}
	}
	if got := b.read(b.reader(mine), 2); !slices.Equal(got, []string{"1", "2"}) {
		t.Errorf("%v", got)
	}
}

func TestWhatCannotBeServedIsRefused(t *testing.T) {
	b := newBench(t)
	b.publish(4)
	if _, err := b.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "WORK", Subjects: []string{"work"}, Retention: jetstream.WorkQueuePolicy}); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(r *gatewayapi.HookRequest)
		code   int
		want   string
	}{
		"a dataset that names no stream":    {func(r *gatewayapi.HookRequest) { r.Flow.Metadata = nil }, 400, "metadata.stream"},
		"a stream that is none":             {func(r *gatewayapi.HookRequest) { r.Flow.Metadata = map[string]any{"stream": "NONE"} }, 404, "no such stream"},
		"a name that is a pattern":          {func(r *gatewayapi.HookRequest) { r.Flow.Metadata = map[string]any{"stream": "ORDERS.>"} }, 400, "metadata.stream"},
		"a stream that can have one reader": {func(r *gatewayapi.HookRequest) { r.Flow.Metadata = map[string]any{"stream": "WORK"} }, 422, "WORK"},
		"a stream of another tenant":        {func(r *gatewayapi.HookRequest) { r.Flow.ParticipantContextID = "other" }, 404, "no such stream"},
		"a tenant without an account":       {func(r *gatewayapi.HookRequest) { r.Flow.ParticipantContextID = "nobody" }, 404, "no streams"},
		"a push":                            {func(r *gatewayapi.HookRequest) { r.Flow.Direction = dps.Push }, 422, "pull"},
		"a participant that is a path":      {func(r *gatewayapi.HookRequest) { r.Flow.ParticipantContextID = "../x" }, 404, "no streams"},
	} {
		t.Run(name, func(t *testing.T) {
			r := request(gatewayapi.HookStart, 1)
			c.change(r)
			if code, _, body := b.call(r); code != c.code || !strings.Contains(body, c.want) {
				t.Errorf("%d %s", code, body)
			}
		})
	}
	t.Run("of a stream only the dataset's subject is read", func(t *testing.T) {
		r := request(gatewayapi.HookStart, 1)
		r.Flow.DataFlowID, r.Flow.Metadata = "tp-eu", map[string]any{"stream": "ORDERS", "subject": "orders.eu"}
		if got := b.read(b.reader(b.must(r)), 2); !slices.Equal(got, []string{"2", "4"}) {
			t.Errorf("%v", got)
		}
		r = request(gatewayapi.HookTerminate, 2)
		r.Flow.DataFlowID, r.Flow.Metadata = "tp-eu", nil // all that is left of the flow is its id
		b.must(r)
		if got := b.consumers(); len(got) != 0 {
			t.Errorf("%v", got)
		}
	})
	t.Run("the consumer's side has no objection", func(t *testing.T) {
		r := request(gatewayapi.HookPrepare, 1)
		r.Flow.Role, r.Flow.ParticipantContextID = dps.Consumer, "nobody"
		if a := b.must(r); a != nil {
			t.Errorf("%v", a)
		}
	})
}

func within(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
	}
}
