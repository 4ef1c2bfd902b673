package main

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	"github.com/tidegate/tidegate/shared/function"
	"github.com/tidegate/tidegate/shared/function/functiontest"
)

// The test binary is the function itself when it finds this in its environment.
const asFunction = "TRANSFER_PUSHER_TEST_PROCESS"

func TestMain(m *testing.M) {
	if os.Getenv(asFunction) != "" {
		function.Main(name, run)
	}
	os.Exit(m.Run())
}

// process is the function in a process of its own.
type process struct {
	t    *testing.T
	url  string
	env  []string
	cmd  *exec.Cmd
	out  bytes.Buffer
	gone chan struct{}
}

func newProcess(t *testing.T, b *bench) *process {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	_ = ln.Close()
	tokenFile, dir := functiontest.TokenFile(t), t.TempDir()
	document := fmt.Sprintf(`participantContextId: %s
did: did:web:provider.example
controlPlane:
  managementUrl: http://127.0.0.1:1/management
  signalingUrl: http://127.0.0.1:1/signaling
  signaling: {authorization: {type: network}}
auth: {type: token_exchange, tokenEndpoint: "http://127.0.0.1:1/token", subjectTokenFile: %s, audience: x}
buckets:
  - name: outbox
    url: file://%s
`, pc, tokenFile, b.dir)
	if err := os.WriteFile(filepath.Join(dir, "provider.yaml"), []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	return &process{t: t, url: "http://127.0.0.1:" + port, env: []string{
		asFunction + "=1", "HOST=127.0.0.1", "PORT=" + port, "GATEWAY_URL=" + b.gateway.URL, "INTERNAL_TOKEN_FILE=" + tokenFile,
		"TENANTS_DIR=" + dir, "LEASE_TIME=300ms",
	}}
}

func (p *process) start() {
	p.t.Helper()
	p.cmd = exec.Command(os.Args[0])
	p.cmd.Env = append(os.Environ(), p.env...)
	p.cmd.Stderr = &p.out
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.gone = make(chan struct{})
	go func() { _ = p.cmd.Wait(); close(p.gone) }()
	p.t.Cleanup(p.kill)
	wait(p.t, "the process answers", func() bool {
		res, err := (&http.Client{Timeout: time.Second}).Get(p.url + "/healthz")
		if err != nil {
			return false
		}
		_ = res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
}

// kill is kill -9.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.gone
}

// send delivers the started event; the status is 0 if the process died on it.
func (p *process) send(b *bench) int {
	req, err := cehttp.NewHTTPRequestFromEvent(p.t.Context(), p.url+"/", *b.started())
	if err != nil {
		p.t.Error(err)
		return 0
	}
	req.Header.Set("Authorization", "Bearer "+functiontest.Token)
	res, err := (&http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return 0
	}
	_ = res.Body.Close()
	return res.StatusCode
}

func wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

// TestAKillCostsWhatWasOnTheWire kills the process three times while it pushes: what the consumer has is never sent again.
func TestAKillCostsWhatWasOnTheWire(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	const size, kills = 32 << 20, 3
	b := newBench(t, size)
	b.consumer.slow(time.Millisecond)
	p := newProcess(t, b)
	p.start()
	for kill := 1; kill <= kills; kill++ {
		died := make(chan struct{})
		go func() {
			defer close(died)
			for status := 503; status == 503; { // while the dead one's lease holds
				status = p.send(b)
				time.Sleep(20 * time.Millisecond)
			}
		}()
		wait(t, "enough is there to kill", func() bool {
			_, received := b.consumer.counts()
			return received >= int64(kill)*size/(kills+1)
		})
		p.kill()
		<-died
		p.start()
	}
	wait(t, "all is there", func() bool {
		status := p.send(b)
		return status == http.StatusOK || status == http.StatusAccepted || status == http.StatusNoContent
	})
	b.arrived()
	if _, received := b.consumer.counts(); received != size {
		t.Errorf("%d bytes came for %d", received, size)
	}
	if t.Failed() {
		t.Log(p.out.String())
	}
}
