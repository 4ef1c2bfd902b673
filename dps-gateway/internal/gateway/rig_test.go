package gateway_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/tidegate/tidegate/dps-gateway/internal/redistest"
	"github.com/tidegate/tidegate/shared/gatewayapi"
)

// TestRig holds a gateway process (the binary that GATEWAY_BINARY names) with flows of a small and a large object until it is
// interrupted, and prints how to get them: for load generators and for measuring memory from outside.
func TestRig(t *testing.T) {
	bin := os.Getenv("GATEWAY_BINARY")
	if bin == "" {
		t.Skip("GATEWAY_BINARY is not set")
	}
	rdb, _ := redistest.Server(t, "--appendonly", "yes")
	addr := rdb.(*redis.Client).Options().Addr
	w := newWorldOn(t, rdb, "redis://"+addr+"/0")
	r := &running{w: w, hc: &http.Client{}, signaling: "127.0.0.1:18282", public: "127.0.0.1:18283", internal: "127.0.0.1:18284", metrics: "127.0.0.1:18290"}
	r.api = gatewayapi.NewClient("http://"+r.internal, &http.Client{Transport: w.secret.Transport(nil)})
	c := w.config()
	cmd := exec.Command(bin)
	cmd.Stderr = os.Stderr
	cmd.Env = append(os.Environ(),
		"SIGNALING_ADDR="+r.signaling, "PUBLIC_ADDR="+r.public, "INTERNAL_ADDR="+r.internal, "METRICS_ADDR="+r.metrics,
		"SIGNALING_URL="+c.SignalingURL, "PUBLIC_URL="+c.PublicURL, "REDIS_URL="+c.Redis.URL, "K_SINK="+c.Sink, "APPROVER_URL="+c.ApproverURL,
		"DATA_SERVER_URL="+c.DataServerURL, "TENANTS_DIR="+c.TenantsDir, "INTERNAL_TOKEN_FILE="+c.InternalTokenFile,
		"CONTROLPLANE_KEY_FILE="+c.ControlPlaneKeyFile, "SIGNING_KEY_FILE="+c.SigningKeyFile, "ALLOW_PLAIN_HTTP=true", "LOG_LEVEL=warn",
		"TENANT_CONCURRENT_STREAMS=0",
	)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	within(t, "ready", func() bool {
		res, err := http.Get("http://" + r.metrics + "/readyz")
		if err == nil {
			res.Body.Close()
		}
		return err == nil && res.StatusCode == 200
	})
	small := r.startFlow("provider", r.publish("provider", "small", []byte(strings.Repeat("x", 1024))))
	f, err := os.Create(w.path("buckets/provider/large"))
	if err != nil {
		t.Fatal(err)
	}
	block := []byte(strings.Repeat("0123456789abcdef", 1<<16))
	for range 1024 {
		if _, err := f.Write(block); err != nil {
			t.Fatal(err)
		}
	}
	f.Close()
	large := r.startFlow("provider", r.register("provider", "large", strings.Repeat("ab", 32)))
	fmt.Fprintf(os.Stdout, "pid %d\nbucket %s\n", cmd.Process.Pid, w.path("buckets/provider"))
	for name, g := range map[string]grant{"small": small, "large": large} {
		fmt.Fprintf(os.Stdout, "%s http://%s%s Authorization: Bearer %s\n", name, r.public, g.path, g.token)
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt)
	<-stop
}
