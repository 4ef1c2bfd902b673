package supervisor

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/shared/loopback"
)

// TestMain lets the test binary be the child program: MODE says which.
func TestMain(m *testing.M) {
	switch os.Getenv("MODE") {
	case "":
		os.Exit(m.Run())
	case "serve":
		term := make(chan os.Signal, 1)
		signal.Notify(term, syscall.SIGTERM)
		go func() { _ = http.ListenAndServe(os.Getenv("ADDR"), http.NotFoundHandler()) }()
		<-term
		_, _ = fmt.Fprintln(os.Stderr, "stopped politely")
	case "health":
		_ = http.ListenAndServe(os.Getenv("ADDR"), http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
		_ = http.ListenAndServe(os.Getenv("ADDR"), http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	case "fail":
		_, _ = fmt.Fprintln(os.Stderr, "no such bucket")
		os.Exit(1)
	}
}

func TestAKilledProgramIsStartedAgain(t *testing.T) {
	p := run(t, "health")
	if err := p.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := p.PID()
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(time.Minute)
	for p.Starts() < 2 {
		if time.Now().After(deadline) {
			t.Fatal("not started again")
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err := p.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	if p.PID() == before {
		t.Error("the process id is still the same")
	}
	Stop(5*time.Second, p)
	if p.PID() != 0 {
		t.Error("it still runs after Stop")
	}
}

func TestAHeldProgramStaysDownUntilItIsReleased(t *testing.T) {
	p := run(t, "health")
	if err := p.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	release, err := p.Hold()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Hold(); err == nil {
		t.Error("it was held twice")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*restartDelay)
	defer cancel()
	if err := p.Ready(ctx); err == nil || p.PID() != 0 || p.Starts() != 1 {
		t.Errorf("it was started again while held: %v, process %d, %d starts", err, p.PID(), p.Starts())
	}
	release()
	for p.Starts() < 2 && t.Context().Err() == nil {
		time.Sleep(10 * time.Millisecond)
	}
	if err := p.Ready(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestStopAsksFirst(t *testing.T) {
	p := run(t, "serve")
	waitListening(t, p)
	Stop(10*time.Second, p)
	b, err := os.ReadFile(p.Log)
	if err != nil || !strings.Contains(string(b), "stopped politely") {
		t.Errorf("log = %q (%v), want the program's last words", b, err)
	}
}

func TestStopEndsWhatDoesNotListen(t *testing.T) {
	p := run(t, "stubborn")
	if err := p.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	Stop(100*time.Millisecond, p)
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("took %v", d)
	}
}

func TestReadyTellsWhatTheProgramSaid(t *testing.T) {
	p := run(t, "fail")
	defer Stop(time.Second, p)
	err := p.Ready(t.Context())
	if err == nil || !strings.Contains(err.Error(), "no such bucket") {
		t.Errorf("error = %v, want the program's last line", err)
	}
}

func TestReadyEndsWithItsContext(t *testing.T) {
	p := run(t, "serve") // answers 404 to health
	defer Stop(time.Second, p)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := p.Ready(ctx); err == nil {
		t.Error("ready, although health never answered 200")
	}
}

func run(t *testing.T, mode string) *Process {
	t.Helper()
	addr := freeAddr(t)
	p, err := Start(Program{
		Name:   mode,
		Path:   os.Args[0],
		Env:    []string{"MODE=" + mode, "ADDR=" + addr},
		Log:    filepath.Join(t.TempDir(), "log"),
		Health: "http://" + addr + "/healthz",
	}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Kill() }) // for a test that failed before its Stop
	return p
}

func waitListening(t *testing.T, p *Process) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		res, err := http.Get(p.Health)
		if err == nil {
			_ = res.Body.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func freeAddr(t *testing.T) string {
	t.Helper()
	addr, err := loopback.Addr()
	if err != nil {
		t.Fatal(err)
	}
	return addr
}
