package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tidegate/tidegate/functions/internal/processtest"
	"github.com/tidegate/tidegate/shared/function"
	"github.com/tidegate/tidegate/shared/function/functiontest"
	"github.com/tidegate/tidegate/shared/loopback"
)

// The test binary is the function itself when it finds this in its environment.
const asFunction = "TRANSFER_PUSHER_TEST_PROCESS"

func TestMain(m *testing.M) {
	if os.Getenv(asFunction) != "" {
		function.Main(name, run)
	}
	os.Exit(m.Run())
}

func newProcess(t *testing.T, b *bench) *processtest.Process {
	t.Helper()
	address, err := loopback.Addr()
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(address)
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
	return &processtest.Process{T: t, URL: "http://127.0.0.1:" + port, Env: []string{
		asFunction + "=1", "HOST=127.0.0.1", "PORT=" + port, "GATEWAY_URL=" + b.gateway.URL, "INTERNAL_TOKEN_FILE=" + tokenFile,
		"TENANTS_DIR=" + dir, "LEASE_TIME=300ms",
	}}
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
	p.Start()
	for kill := 1; kill <= kills; kill++ {
		died := make(chan struct{})
		go func() {
			defer close(died)
			for status := 503; status == 503; { // while the dead one's lease holds
				status, _ = p.Send(b.started())
				time.Sleep(20 * time.Millisecond)
			}
		}()
		processtest.Wait(t, "enough is there to kill", func() bool {
			_, received := b.consumer.counts()
			return received >= int64(kill)*size/(kills+1)
		})
		p.Kill()
		<-died
		p.Start()
	}
	processtest.Wait(t, "all is there", func() bool {
		status, _ := p.Send(b.started())
		return status == http.StatusOK || status == http.StatusAccepted || status == http.StatusNoContent
	})
	b.arrived()
	if _, received := b.consumer.counts(); received != size {
		t.Errorf("%d bytes came for %d", received, size)
	}
	if t.Failed() {
		t.Log(p.Out.String())
	}
}
