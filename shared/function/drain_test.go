package function_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/tidegate/tidegate/shared/function"
	"github.com/tidegate/tidegate/shared/function/functiontest"
)

func TestDrainUnderLoadLosesNothing(t *testing.T) {
	var begun, finished atomic.Int64
	f := functiontest.Start(t, "", "", func(c *function.Config) { c.DrainTime = 8 * time.Second }, func(s *function.Service) {
		s.HandleEvents(func(ctx context.Context, _ *event.Event) (*event.Event, error) {
			begun.Add(1)
			defer finished.Add(1)
			select {
			case <-time.After(20 * time.Millisecond):
				return nil, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		})
	})
	var wg sync.WaitGroup
	var accepted atomic.Int64
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
	for range 16 {
		wg.Go(func() {
			for {
				code, err := deliver(client, f.URL)
				if err != nil {
					return // the listener is closed: the broker would deliver elsewhere or again
				}
				if code != http.StatusNoContent {
					t.Errorf("answered %d while draining", code)
					return
				}
				accepted.Add(1)
			}
		})
	}
	for accepted.Load() < 50 {
		time.Sleep(time.Millisecond)
	}
	start := time.Now()
	if err := f.Stop(); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(start); d > 20*time.Second {
		t.Errorf("draining took %v", d)
	}
	wg.Wait()
	transport.CloseIdleConnections()
	if begun.Load() != finished.Load() {
		t.Errorf("%d handlers began, %d finished", begun.Load(), finished.Load())
	}
	if finished.Load() != accepted.Load() {
		t.Errorf("%d events were handled, %d answers arrived", finished.Load(), accepted.Load())
	}
}

func TestHealthTurnsWhileHandlersFinish(t *testing.T) {
	running, release := make(chan struct{}), make(chan struct{})
	f := functiontest.Start(t, "", "", nil, func(s *function.Service) {
		s.HandleEvents(func(context.Context, *event.Event) (*event.Event, error) {
			close(running)
			<-release
			return nil, nil
		})
	})
	for _, path := range []string{"/healthz", "/readyz"} {
		if code := get(t, f.URL+path, nil); code != 200 {
			t.Errorf("%s: %d before draining", path, code)
		}
	}
	answered := make(chan int, 1)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	go func() {
		code, err := deliver(client, f.URL)
		if err != nil {
			t.Error(err)
		}
		answered <- code
	}()
	<-running
	// Connections from before, as a probe's: the listener closes soon after.
	probe := &http.Client{Transport: &http.Transport{}}
	defer probe.CloseIdleConnections()
	if code := get(t, f.URL+"/healthz", probe); code != 200 {
		t.Fatalf("healthz: %d", code)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- f.Stop() }()
	turned := false
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline) && !turned; time.Sleep(time.Millisecond) {
		req, _ := http.NewRequest(http.MethodGet, f.URL+"/healthz", nil)
		res, err := probe.Do(req)
		if err != nil {
			break
		}
		turned = res.StatusCode == http.StatusServiceUnavailable
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
	}
	if !turned {
		t.Error("healthz never turned to 503")
	}
	close(release)
	if code := <-answered; code != http.StatusNoContent {
		t.Errorf("the event that was being handled was answered %d", code)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestHandlersThatGoOnAreEndedAfterTheDrainTime(t *testing.T) {
	running := make(chan struct{})
	cause := make(chan error, 1)
	f := functiontest.Start(t, "", "", func(c *function.Config) { c.DrainTime = 200 * time.Millisecond }, func(s *function.Service) {
		s.HandleEvents(func(ctx context.Context, _ *event.Event) (*event.Event, error) {
			close(running)
			<-ctx.Done()
			cause <- ctx.Err()
			return nil, ctx.Err()
		})
	})
	answered := make(chan int, 1)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	go func() {
		code, _ := deliver(client, f.URL)
		answered <- code
	}()
	<-running
	start := time.Now()
	if err := f.Stop(); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(start); d > 20*time.Second {
		t.Errorf("stopping took %v", d)
	}
	if err := <-cause; !errors.Is(err, context.Canceled) {
		t.Errorf("the handler's context ended with %v", err)
	}
	if code := <-answered; code != http.StatusServiceUnavailable {
		t.Errorf("answered %d, want 503 so that the event comes again", code)
	}
}

// The receiver of the CloudEvents SDK loses requests when other callers give up: its goroutines take each other's messages.
func TestNobodyPatientWaitsWhenOthersGiveUp(t *testing.T) {
	f := functiontest.Start(t, "", "", nil, func(s *function.Service) {
		s.HandleEvents(func(context.Context, *event.Event) (*event.Event, error) {
			time.Sleep(time.Millisecond)
			return nil, nil
		})
	})
	// Each has connections of its own: a client that gives up just as its answer comes can hand on a connection with its own
	// error on it, and the question here is what the server does.
	connections, others := &http.Transport{MaxIdleConnsPerHost: 64}, &http.Transport{MaxIdleConnsPerHost: 64}
	defer connections.CloseIdleConnections()
	defer others.CloseIdleConnections()
	patient := &http.Client{Transport: connections, Timeout: time.Minute}
	hasty := &http.Client{Transport: others, Timeout: 700 * time.Microsecond}
	var wg sync.WaitGroup
	var lost atomic.Int64
	for caller := range 32 {
		wg.Go(func() {
			for i := range 60 {
				if (caller+i)%4 == 0 {
					_, _ = deliver(hasty, f.URL)
					continue
				}
				if code, err := deliver(patient, f.URL); err != nil || code != http.StatusNoContent {
					lost.Add(1)
					t.Logf("a patient caller got %d, %v", code, err)
				}
			}
		})
	}
	wg.Wait()
	if n := lost.Load(); n > 0 {
		t.Errorf("%d requests were lost", n)
	}
}

func deliver(client *http.Client, url string) (int, error) {
	req, err := http.NewRequest(http.MethodPost, url+"/", strings.NewReader(`{"a":1}`))
	if err != nil {
		return 0, err
	}
	for k, v := range map[string]string{
		"Authorization": "Bearer " + functiontest.Token, "Content-Type": "application/json",
		"Ce-Specversion": "1.0", "Ce-Id": "1", "Ce-Type": created, "Ce-Source": "/s",
	} {
		req.Header.Set(k, v)
	}
	res, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return res.StatusCode, err
}

func get(t *testing.T, url string, client *http.Client) int {
	t.Helper()
	if client == nil {
		client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	}
	res, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	return res.StatusCode
}
