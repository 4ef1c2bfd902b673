package service_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidegate/tidegate/infra/internal/service"
)

// program is a replica that can say that it is not ready.
func program(t *testing.T, name string) (service.Replica, *atomic.Bool, *httptest.Server) {
	t.Helper()
	var away atomic.Bool
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/readyz" && away.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = io.WriteString(w, name)
	}))
	t.Cleanup(s.Close)
	return service.Replica{Name: name, Ready: s.URL + "/readyz", Addrs: []string{s.Listener.Addr().String()}}, &away, s
}

func TestConnectionsGoToReadyReplicasInTurn(t *testing.T) {
	svc, err := service.Start(t.Context(), 1, 10*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(svc.Close)
	a, aAway, _ := program(t, "a")
	b, _, bServer := program(t, "b")
	svc.Add(a)
	svc.Add(b)
	until(t, "both are ready", func() bool { return len(svc.ReadyNow()) == 2 })
	got := map[string]int{}
	for range 20 {
		got[ask(t, svc, fresh())]++
	}
	if got["a"] != 10 || got["b"] != 10 {
		t.Errorf("20 connections: %v", got)
	}

	kept := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(kept.CloseIdleConnections)
	for ask(t, svc, kept) != "a" {
		kept.CloseIdleConnections()
	}
	aAway.Store(true)
	until(t, "a is out", func() bool { return slices.Equal(svc.ReadyNow(), []string{"b"}) })
	if who := ask(t, svc, kept); who != "a" {
		t.Errorf("a connection that is open has moved to %q", who)
	}
	for range 5 {
		if who := ask(t, svc, fresh()); who != "b" {
			t.Errorf("a new connection went to %q", who)
		}
	}

	bServer.CloseClientConnections()
	bServer.Close()
	if who := ask(t, svc, fresh()); who != "" {
		t.Errorf("nobody is there, but %q answers", who)
	}
	aAway.Store(false)
	until(t, "a is back", func() bool { return ask(t, svc, fresh()) == "a" })
	svc.Remove("a")
	if who := ask(t, svc, fresh()); who != "" {
		t.Errorf("%q was removed, and answers", who)
	}
}

// fresh is a client that opens a connection for each request.
func fresh() *http.Client { return &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} }

// ask returns who answers; "" if the connection breaks.
func ask(t *testing.T, svc *service.Service, hc *http.Client) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+svc.Addr(0), nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := hc.Do(req)
	if err != nil {
		return ""
	}
	defer res.Body.Close()
	b, _ := io.ReadAll(res.Body)
	return string(b)
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
	}
}
