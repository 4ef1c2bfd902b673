package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/functions/internal/processtest"
	"github.com/tidegate/tidegate/shared/function"
	"github.com/tidegate/tidegate/shared/function/functiontest"
	"github.com/tidegate/tidegate/shared/loopback"
	"github.com/tidegate/tidegate/shared/objectstore"
	"github.com/tidegate/tidegate/shared/objectstore/objectstoretest"
	"github.com/tidegate/tidegate/shared/tenant"
)

// The test binary is the function itself when it finds this in its environment.
const asFunction = "TRANSFER_PULLER_TEST_PROCESS"

func TestMain(m *testing.M) {
	if os.Getenv(asFunction) != "" {
		function.Main(name, run)
	}
	os.Exit(m.Run())
}

// TestAKillCostsAtMostOnePart kills the process three times while it pulls, into a folder and into S3, and counts the bytes
// that the provider has served in the end.
func TestAKillCostsAtMostOnePart(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	const (
		size  = 64 << 20
		kills = 3
		part  = 16 << 20 // the folder's distance between two syncs; S3's parts have 8 MiB, and one more is under way
	)
	sinks := map[string]func(t *testing.T) tenant.Bucket{
		"folder": func(t *testing.T) tenant.Bucket {
			t.Helper()
			return tenant.Bucket{Name: "inbox", URL: "file://" + t.TempDir()}
		},
		"S3": func(t *testing.T) tenant.Bucket {
			t.Helper()
			return objectstoretest.StartS3(t).Bucket(t, "inbox")
		},
	}
	for kind, sink := range sinks {
		t.Run(kind, func(t *testing.T) {
			b := newBench(t, size)
			b.provider.slow(512 << 10) // some 50 MiB/s, so that there is time to kill
			bucket := sink(t)
			b.tenant.Buckets[0] = bucket
			b.handler.cfg.LeaseTime = 500 * time.Millisecond
			p := &processtest.Process{T: t, Env: environment(t, b, bucket)}
			p.URL = "http://127.0.0.1:" + portOf(p.Env)
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
					_, served := b.provider.counts()
					return served >= int64(kill)*size/(kills+1)+int64(kill-1)*part/2
				})
				p.Kill()
				<-died
				p.Start()
			}
			e := b.started()
			var reply *event.Event
			processtest.Wait(t, "the object is delivered", func() bool {
				status, r := p.Send(e)
				if status == http.StatusOK && r != nil && r.Type() == catalogue.TransferProgressed {
					e = r
				}
				reply = r
				return status == http.StatusOK && r != nil && r.Type() == catalogue.ObjectDelivered
			})
			d, err := catalogue.Data[catalogue.Delivered](reply)
			if err != nil || !d.Resumed || d.SHA256 != sumOf(b.provider.content) {
				t.Errorf("told: %+v, %v", d, err)
			}
			store, err := objectstore.Open(t.Context(), bucket)
			if err != nil {
				t.Fatal(err)
			}
			defer store.Close()
			got, err := store.Head(t.Context(), "in/data.csv")
			if err != nil || got.Size != size {
				t.Errorf("at the sink: %+v, %v", got, err)
			}
			_, served := b.provider.counts()
			lost := served - size
			t.Logf("%d kills cost %.1f MiB", kills, float64(lost)/(1<<20))
			// What is in the sockets' buffers when the process dies is lost too.
			if lost > kills*(part+4<<20) {
				t.Errorf("%d bytes were fetched for %d", served, size)
			}
			if t.Failed() {
				t.Log(p.Out.String())
			}
		})
	}
}

func environment(t *testing.T, b *bench, bucket tenant.Bucket) []string {
	t.Helper()
	address, err := loopback.Addr()
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(address)
	tokenFile, dir := functiontest.TokenFile(t), t.TempDir()
	credentials := ""
	if bucket.CredentialsFile != "" {
		credentials = "\n    credentialsFile: " + bucket.CredentialsFile
	}
	document := fmt.Sprintf(`participantContextId: %s
did: did:web:consumer.example
controlPlane:
  managementUrl: http://127.0.0.1:1/management
  signalingUrl: http://127.0.0.1:1/signaling
  signaling: {authorization: {type: network}}
auth: {type: token_exchange, tokenEndpoint: "http://127.0.0.1:1/token", subjectTokenFile: %s, audience: x}
buckets:
  - name: inbox
    url: %s%s
sinks:
  - name: in
    bucket: inbox
`, pc, tokenFile, bucket.URL, credentials)
	if err := os.WriteFile(filepath.Join(dir, "consumer.yaml"), []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{
		asFunction + "=1", "HOST=127.0.0.1", "PORT=" + port, "GATEWAY_URL=" + b.gateway.URL, "INTERNAL_TOKEN_FILE=" + tokenFile,
		"TENANTS_DIR=" + dir, "LEASE_TIME=500ms", "SLICE_TIME=20s",
	}
}

func portOf(env []string) string {
	for _, e := range env {
		if port, ok := strings.CutPrefix(e, "PORT="); ok {
			return port
		}
	}
	return ""
}
