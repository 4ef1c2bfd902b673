package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidegate/tidegate/shared/loopback"
)

const (
	token = "a-secret-of-the-deployment"

	// The test binary runs itself as one of these.
	roleEnv        = "LOCAL_BROKER_TEST_ROLE"
	roleBroker     = "broker"
	roleSubscriber = "subscriber"
	addressEnv     = "LOCAL_BROKER_TEST_ADDRESS"
	fileEnv        = "LOCAL_BROKER_TEST_FILE"
)

func TestMain(m *testing.M) {
	switch os.Getenv(roleEnv) {
	case roleBroker:
		main()
	case roleSubscriber:
		subscriber(os.Getenv(addressEnv), os.Getenv(fileEnv))
	default:
		os.Exit(m.Run())
	}
}

// subscriber writes the id of each event into a file before it answers; to events of type test it answers with an event.
func subscriber(address, file string) {
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		os.Exit(2)
	}
	_ = http.ListenAndServe(address, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		id := r.Header.Get("Ce-Id")
		if _, err := f.WriteString(r.Header.Get("Ce-Type") + " " + id + "\n"); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		time.Sleep(15 * time.Millisecond) // so that a kill finds some without their answer, and others waiting
		if r.Header.Get("Ce-Type") != "test" {
			return
		}
		for k, v := range map[string]string{"Ce-Specversion": "1.0", "Ce-Id": id, "Ce-Type": "reply", "Ce-Source": "/subscriber"} {
			w.Header().Set(k, v)
		}
	}))
	os.Exit(3) // the address is taken
}

// process is a process that is killed and started again.
type process struct {
	env []string

	mu  sync.Mutex
	cmd *exec.Cmd
}

func (p *process) start(t *testing.T) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cmd = exec.Command(os.Args[0])
	p.cmd.Env = append(os.Environ(), p.env...)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
}

func (p *process) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.cmd.Process.Kill() // SIGKILL
	_ = p.cmd.Wait()
}

func freeAddress(t *testing.T) string {
	t.Helper()
	address, err := loopback.Addr()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// Broker and subscriber are killed with SIGKILL again and again while 500 events are published. Every event that was answered
// with 202 arrives, and so does the reply to it.
func TestNoAcceptedEventIsLostWhenBrokerAndSubscriberAreKilled(t *testing.T) {
	const events = 500
	dir := t.TempDir()
	brokerAddress, subscriberAddress := freeAddress(t), freeAddress(t)
	_, port, err := net.SplitHostPort(brokerAddress)
	if err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(dir, "received")
	write := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("token", token)
	write("all.yaml", `apiVersion: eventing.knative.dev/v1
kind: Broker
metadata: {name: default}
---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: t}
spec:
  broker: default
  subscriber: {ref: {apiVersion: serving.knative.dev/v1, kind: Service, name: s}}
  delivery: {retry: 20, backoffPolicy: exponential, backoffDelay: PT0.02S}
`)
	sub := &process{env: []string{roleEnv + "=" + roleSubscriber, addressEnv + "=" + subscriberAddress, fileEnv + "=" + log}}
	broker := &process{env: []string{
		roleEnv + "=" + roleBroker, "PORT=" + port, "MANIFESTS_DIRS=" + dir, "DATA_DIR=" + filepath.Join(dir, "data"),
		"INTERNAL_TOKEN_FILE=" + filepath.Join(dir, "token"), "SUBSCRIBERS=s=http://" + subscriberAddress, "LOG_LEVEL=error",
	}}
	sub.start(t)
	broker.start(t)
	t.Cleanup(sub.kill)
	t.Cleanup(broker.kill)

	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	published := make(chan error, 1)
	var killing sync.WaitGroup
	done := make(chan struct{})
	kills := 0
	killing.Go(func() {
		rng := rand.New(rand.NewPCG(7, 11))
		for {
			select {
			case <-done:
				return
			case <-time.After(time.Duration(100+rng.IntN(300)) * time.Millisecond):
			}
			p := []*process{broker, sub}[rng.IntN(2)]
			p.kill()
			p.start(t)
			kills++
		}
	})
	go func() { published <- publishAll(ctx, brokerAddress, events) }()
	if err := <-published; err != nil {
		t.Fatal(err)
	}
	close(done)
	killing.Wait()

	want := map[string]bool{}
	for i := range events {
		want[fmt.Sprintf("test %d", i)] = true
		want[fmt.Sprintf("reply %d", i)] = true
	}
	var lines []string
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		b, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		lines = strings.Split(strings.TrimSpace(string(b)), "\n")
		missing := len(want)
		seen := map[string]bool{}
		for _, l := range lines {
			if want[l] && !seen[l] {
				seen[l] = true
				missing--
			}
		}
		if missing == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d are missing", missing, len(want))
		}
	}
	t.Logf("%d kills; %d deliveries of %d events and replies", kills, len(lines), len(want))
	if kills < 5 {
		t.Errorf("only %d kills: the run was too quick to prove anything", kills)
	}
	if extra := len(lines) - len(want); extra > len(want)/2 {
		t.Errorf("%d deliveries were repeated: what was done is not remembered", extra)
	}
}

// publishAll publishes with four publishers; each repeats an event until it is answered with 202.
func publishAll(ctx context.Context, address string, n int) error {
	var all sync.WaitGroup
	failed := make(chan error, 4)
	for w := range 4 {
		all.Go(func() {
			for i := w; i < n; i += 4 {
				if err := publish(ctx, address, i); err != nil {
					failed <- err
					return
				}
				time.Sleep(10 * time.Millisecond) // so that several kills fall into the run
			}
		})
	}
	all.Wait()
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

func publish(ctx context.Context, address string, i int) error {
	for ctx.Err() == nil {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+"/default/default", strings.NewReader("{}"))
		if err != nil {
			return err
		}
		for k, v := range map[string]string{
			"Authorization": "Bearer " + token, "Ce-Specversion": "1.0", "Ce-Id": fmt.Sprint(i), "Ce-Type": "test", "Ce-Source": "/test", "Content-Type": "application/json",
		} {
			req.Header.Set(k, v)
		}
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusAccepted {
				return nil
			}
			if resp.StatusCode < 500 {
				return errors.New(resp.Status)
			}
		}
		time.Sleep(5 * time.Millisecond)
	}
	return ctx.Err()
}
