package clustertest

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// logDir is where what helps to understand a failure is written.
func logDir() string {
	if dir := os.Getenv("CLUSTER_LOGS"); dir != "" {
		return dir
	}
	return "cluster-test-logs"
}

// evidence writes down what the cluster looks like, if the test has failed; the logs of the namespace's pods are in the folder already.
func evidence(t *testing.T) {
	t.Helper()
	if !t.Failed() {
		return
	}
	dir := filepath.Join(logDir(), "state")
	if err := os.MkdirAll(dir, 0o750); err != nil {
		t.Error(err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	for file, args := range map[string]string{
		"events.txt":            "get events -A --sort-by=.lastTimestamp",
		"pods.txt":              "get pods -A -o wide",
		"nodes.txt":             "describe nodes",
		"describe.txt":          "describe pods -n " + namespace,
		"knative.yaml":          "get ksvc,revision,podautoscaler,serverlessservice,broker,trigger,pingsource -o yaml -n " + namespace,
		"objects.txt":           "get all -n " + namespace,
		"broker-ingress.log":    "logs -n knative-eventing -l eventing.knative.dev/brokerRole=ingress --tail=3000 --timestamps",
		"broker-filter.log":     "logs -n knative-eventing -l eventing.knative.dev/brokerRole=filter --tail=3000 --timestamps",
		"broker-dispatcher.log": "logs -n knative-eventing -l messaging.knative.dev/role=dispatcher --tail=3000 --timestamps",
		"activator.log":         "logs -n knative-serving -l app=activator --tail=3000 --timestamps",
		"autoscaler.log":        "logs -n knative-serving -l app=autoscaler --tail=3000 --timestamps",
	} {
		out, err := tryKubectl(ctx, "", strings.Fields(args)...)
		if err != nil {
			out += "\n" + err.Error()
		}
		if err := os.WriteFile(filepath.Join(dir, file), []byte(out), 0o600); err != nil {
			t.Error(err)
		}
	}
	for _, args := range []string{"get pods -A", "get events -A --sort-by=.lastTimestamp --field-selector=type=Warning"} {
		out, err := tryKubectl(ctx, "", strings.Fields(args)...)
		lines := strings.Split(out, "\n")
		t.Logf("kubectl %s (%v)\n%s", args, err, strings.Join(lines[max(0, len(lines)-60):], "\n"))
	}
	t.Logf("logs, events and objects are in %s", logDir())
}
