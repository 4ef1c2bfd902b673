package clustertest

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/tidegate/tidegate/infra/internal/demo"
	"github.com/tidegate/tidegate/shared/dps"
)

// openFlow is a consumer's flow that has started and that nobody pulls: what another participant would have, who may ask the gateway for
// the bytes as it likes.
type openFlow struct {
	world *world
	file  demo.File
	id    string
	token string
	url   *url.URL // as the gateway tells it
	http  *http.Client
}

// opened is the flow that a chapter has left for the next one; who uses it up has to pull it.
func (w *world) opened(t *testing.T) *openFlow {
	t.Helper()
	if w.open == nil {
		w.flowsOpened++ // each flow is for a file of its own: one that was delivered is not asked for again
		w.open = w.openFlow(t, fmt.Sprintf("open/%d.bin", w.flowsOpened), 64<<20)
	}
	return w.open
}

// openFlow brings such a flow about: it takes away what would wake transfer-puller until the event that would have done so is over.
func (w *world) openFlow(t *testing.T, name string, size int) *openFlow {
	t.Helper()
	// A forwarding ends with its pod, and connections with it: none is kept.
	f := &openFlow{world: w, http: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	w.kubectl(t, "delete", "trigger", "transfer-puller")
	f.file = w.putBytes(t, name, size)
	stop := w.broker.supply(t, "")
	eventually(t, arrival, func() error {
		r, err := w.records(t.Context())
		if err != nil {
			return err
		}
		for flow, err := range w.gateway.Flows(t.Context(), "consumer") {
			if err != nil {
				return err
			}
			if flow.DatasetID == r.datasets[name].ID && flow.State == dps.Started {
				f.id = flow.DataFlowID
				return nil
			}
		}
		return fmt.Errorf("the consumer has no started flow for %s", name)
	})
	stop()
	time.Sleep(10 * time.Second) // the event follows the state by milliseconds, and nothing tells that nobody took it
	apply(t, w.manifest)
	w.kubectl(t, "wait", "trigger/transfer-puller", "--for=condition=Ready", "--timeout=180s")
	var address *dps.DataAddress
	eventually(t, time.Minute, func() error {
		var err error
		address, err = w.gateway.DataAddress(t.Context(), "consumer", f.id)
		return err
	})
	var err error
	if f.url, err = url.Parse(address.Endpoint); err != nil {
		t.Fatal(err)
	}
	f.token = address.Property(dps.PropertyAuthorization)
	return f
}

// get asks for the bytes, through a forwarding to the gateway's public Service.
func (f *openFlow) get(ctx context.Context, through string, header http.Header) (*http.Response, error) {
	at := *f.url
	at.Host = through
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), http.NoBody)
	if err != nil {
		return nil, err
	}
	if header != nil {
		req.Header = header
	}
	req.Header.Set("Authorization", "Bearer "+f.token)
	return f.http.Do(req)
}

// pull wakes transfer-puller for the flow, and waits until the file has arrived.
func (f *openFlow) pull(t *testing.T) {
	t.Helper()
	e, err := startedEvent("consumer", f.id, "CONSUMER", "PULL")
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, 2*time.Minute, func() error {
		_, status, err := f.world.broker.trySend(t.Context(), e)
		if err == nil && status != http.StatusAccepted {
			err = fmt.Errorf("the Broker answers %d", status)
		}
		return err
	})
	f.world.allArrive(t, []demo.File{f.file}, arrival)
	f.world.once(t, []demo.File{f.file})
	f.world.open = nil
}
