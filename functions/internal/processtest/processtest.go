// Package processtest runs a function in a process of its own, so that a test can kill it: the process is the test's own binary, whose
// TestMain runs the function if it finds a variable in its environment.
package processtest

import (
	"bytes"
	"net/http"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	"github.com/tidegate/tidegate/shared/function/functiontest"
)

// Process is a function in a process of its own.
type Process struct {
	T   *testing.T
	URL string
	Env []string     // beside that of the test
	Out bytes.Buffer // what it has logged; to be read when it has ended

	cmd  *exec.Cmd
	gone chan struct{}
}

// Start starts it, again after Kill, and waits until it answers.
func (p *Process) Start() {
	p.T.Helper()
	p.cmd = exec.Command(os.Args[0]) //nolint:noctx,gosec // Kill ends it, the test's end at the latest; what runs is the test's own binary
	p.cmd.Env = append(os.Environ(), p.Env...)
	p.cmd.Stderr = &p.Out
	if err := p.cmd.Start(); err != nil {
		p.T.Fatal(err)
	}
	p.gone = make(chan struct{})
	go func() { _ = p.cmd.Wait(); close(p.gone) }()
	p.T.Cleanup(p.Kill)
	client := &http.Client{Timeout: time.Second}
	Wait(p.T, "the process answers", func() bool {
		res, err := client.Get(p.URL + "/healthz") //nolint:noctx // the client's timeout bounds it
		if err != nil {
			return false
		}
		_ = res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
}

// Kill is kill -9.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.gone
}

// Send delivers an event; the status is 0 if the process died on it.
func (p *Process) Send(e *event.Event) (status int, reply *event.Event) {
	req, err := cehttp.NewHTTPRequestFromEvent(p.T.Context(), p.URL+"/", *e)
	if err != nil {
		p.T.Error(err)
		return 0, nil
	}
	req.Header.Set("Authorization", "Bearer "+functiontest.Token)
	res, err := (&http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return 0, nil
	}
	defer func() { _ = res.Body.Close() }()
	reply, err = cehttp.NewEventFromHTTPResponse(res)
	if err != nil {
		return res.StatusCode, nil
	}
	return res.StatusCode, reply
}

// Wait waits up to 20 s until something is so.
func Wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("gave up waiting until %s", what)
		}
	}
}
