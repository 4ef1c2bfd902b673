package clustertest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// api is the way to the API server for what is asked again and again: one kubectl that stays, instead of one for each question.
type api struct{ base string }

// startAPI starts the proxy of kubectl, which ends with the test.
func startAPI(t *testing.T) api {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "kubectl", "proxy", "--address=127.0.0.1", "--port=0", "--keepalive=30s")
	endWithUs(cmd)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); _ = cmd.Wait() }) // it was told to end, and says so
	said := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(out).ReadString('\n') // an empty one says enough
		said <- line
	}()
	select {
	case line := <-said:
		_, addr, ok := strings.Cut(strings.TrimSpace(line), "Starting to serve on ")
		if !ok {
			t.Fatalf("kubectl proxy said %q", line)
		}
		return api{"http://" + addr}
	case <-time.After(time.Minute):
		t.Fatal("kubectl proxy does not start")
	}
	return api{}
}

// open asks for something of the API server; the caller closes it.
func (a api) open(ctx context.Context, path string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.base+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(io.LimitReader(res.Body, 500)) // the status tells enough
		_ = res.Body.Close()
		return nil, fmt.Errorf("%s: %s: %s", path, res.Status, b)
	}
	return res.Body, nil
}

// get reads an object or a list.
func (a api) get(ctx context.Context, path string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	r, err := a.open(ctx, path)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	if err := json.NewDecoder(r).Decode(into); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
