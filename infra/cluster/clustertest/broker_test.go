package clustertest

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/shared/auth"
	"github.com/tidegate/tidegate/shared/eventsig"
)

// broker is the way to the Broker. Events are signed as those of a function.
type broker struct {
	url    string
	signer *auth.SharedSecret
}

// reachBroker opens the way until the test ends.
func reachBroker(t *testing.T) *broker {
	t.Helper()
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(secret(t, "internal-token", "internal-token")), 0o600); err != nil {
		t.Fatal(err)
	}
	signer, err := auth.NewSharedSecret(token)
	if err != nil {
		t.Fatal(err)
	}
	return &broker{"http://" + forward(t, "knative-eventing", "broker-ingress", 80) + "/" + namespace + "/default", signer}
}

// trySend posts an event and returns when the Broker has answered, which is when the subscribers have.
func (b *broker) trySend(ctx context.Context, e *event.Event) (time.Duration, int, error) {
	ctx, cancel := context.WithTimeout(ctx, 90*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.url, http.NoBody)
	if err != nil {
		return 0, 0, err
	}
	eventsig.Sign(b.signer, e)
	if err := cehttp.WriteRequest(binding.WithForceBinary(ctx), (*binding.EventMessage)(e), req); err != nil {
		return 0, 0, err
	}
	began := time.Now()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, 0, err
	}
	_ = res.Body.Close()
	return time.Since(began), res.StatusCode, nil
}

func (b *broker) send(t *testing.T, e *event.Event) (time.Duration, int) {
	t.Helper()
	took, status, err := b.trySend(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	return took, status
}

// supply has the consumers look for what is on offer, again and again until it is stopped, as the schedule does every two minutes:
// a chapter that waits for files need not wait for that. pc is a tenant with a line of its own, or empty.
func (b *broker) supply(t *testing.T, pc string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			if e, err := tick("supply", pc); err == nil {
				once, stop := context.WithTimeout(ctx, 30*time.Second)
				_, _, _ = b.trySend(once, e) // a lost one is no loss: the next one comes
				stop()
			}
			select {
			case <-ctx.Done():
			case <-time.After(5 * time.Second):
			}
		}
	}()
	stop = func() { cancel(); <-ended }
	t.Cleanup(stop)
	return stop
}

// tick is what a schedule sends, for all tenants without a line, or for the one of a line.
func tick(schedule, pc string) (*event.Event, error) {
	e, err := ping(0, catalogue.Schedule, schedule)
	if err == nil && pc != "" {
		e.SetExtension(catalogue.ExtParticipantContextID, pc)
	}
	if err != nil {
		return nil, fmt.Errorf("tick of %s: %w", schedule, err)
	}
	return e, nil
}
