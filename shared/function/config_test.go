package function_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/shared/function"
	"github.com/tidegate/tidegate/shared/problem"
)

type ownConfig struct {
	function.Config
	Parallel int             `env:"PARALLEL" envDefault:"4"`
	Model    string          `env:"MODEL,required" expect:"the name of a model"`
	Waits    []time.Duration `env:"WAITS"`
}

func setenv(t *testing.T, pairs ...string) {
	t.Helper()
	for _, name := range []string{
		"PORT", "HOST", "K_SINK", "K_CE_OVERRIDES", "GATEWAY_URL", "INTERNAL_TOKEN_FILE", "TENANTS_DIR", "MAX_EVENT_BYTES", "EVENT_DEADLINE",
		"DRAIN_TIME", "LOG_LEVEL", "PARALLEL", "MODEL", "WAITS",
	} {
		t.Setenv(name, "") // restores it at the end
		if err := os.Unsetenv(name); err != nil {
			t.Fatal(err)
		}
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		t.Setenv(pairs[i], pairs[i+1])
	}
}

func TestLoadConfigReadsDefaultsAndOwnSettings(t *testing.T) {
	setenv(t, "GATEWAY_URL", "http://127.0.0.1:9", "INTERNAL_TOKEN_FILE", "/t", "TENANTS_DIR", "/d", "MODEL", "m", "PORT", "9000")
	cfg, err := function.LoadConfig[ownConfig]()
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Port != 9000 || cfg.MaxEventBytes != 1<<20 || cfg.Deadline != 55*time.Second || cfg.Parallel != 4 || cfg.Model != "m" {
		t.Errorf("read %+v", cfg)
	}
}

func TestLoadConfigReportsAllFaultsTogether(t *testing.T) {
	setenv(t, "GATEWAY_URL", "gateway", "TENANTS_DIR", "/d", "PORT", "http", "EVENT_DEADLINE", "55", "PARALLEL", "many", "WAITS", "1s,x",
		"LOG_LEVEL", "loud", "K_CE_OVERRIDES", `{"extensions":{"My-Ext":"v"}}`, "MAX_EVENT_BYTES", "0")
	_, err := function.LoadConfig[ownConfig]()
	if !problem.Is(err, problem.Invalid) {
		t.Fatalf("LoadConfig: %v", err)
	}
	lines := strings.Split(err.Error(), "\n")
	if !strings.Contains(lines[0], "10 faults") || len(lines) != 11 {
		t.Errorf("%d lines:\n%v", len(lines), err)
	}
	for _, want := range []string{
		`PORT: "http" is not a whole number`, `EVENT_DEADLINE: "55" is not a duration like 30s or 5m`, `PARALLEL: "many" is not a whole number`,
		`INTERNAL_TOKEN_FILE: is not set: expected the file with the bearer secret`, `MODEL: is not set: expected the name of a model`,
		`GATEWAY_URL: "gateway" is no http(s) URL`, `LOG_LEVEL: "loud" is no level`, `K_CE_OVERRIDES: expected`, `MAX_EVENT_BYTES: 0 is out of range`, `WAITS: `,
	} {
		n := 0
		for _, line := range lines {
			if strings.HasPrefix(line, "  "+want) {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%d lines begin with %q, want one, in:\n%v", n, want, err)
		}
	}
}

func TestLoadConfigWithOneFaultIsOneLine(t *testing.T) {
	setenv(t, "GATEWAY_URL", "http://127.0.0.1:9", "INTERNAL_TOKEN_FILE", "/t", "TENANTS_DIR", "/d", "MODEL", "m", "K_SINK", "broker:80")
	_, err := function.LoadConfig[ownConfig]()
	if err == nil || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), `K_SINK: "broker:80"`) {
		t.Errorf("LoadConfig: %v", err)
	}
}

// TestMainProgram is the program that the tests of Main start.
func TestMainProgram(t *testing.T) {
	if os.Getenv("MAIN_PROGRAM") == "" {
		t.Skip("is started by other tests")
	}
	os.Args = append(os.Args[:1], strings.Fields(os.Getenv("MAIN_ARGS"))...)
	function.Main("program", func(ctx context.Context, log zerolog.Logger) error {
		if os.Getenv("MAIN_PROGRAM") == "fail" {
			return problem.New(problem.Unavailable, "can't listen on 127.0.0.1:1")
		}
		log.Info().Msg("ready")
		<-ctx.Done()
		log.Info().Msg("drained")
		return nil
	})
}

func program(t *testing.T, mode, args string) (*exec.Cmd, *lockedBuffer, *lockedBuffer) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestMainProgram$")
	cmd.Env = append(os.Environ(), "MAIN_PROGRAM="+mode, "MAIN_ARGS="+args)
	var out, errs lockedBuffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, &out, &errs
}

func TestMainFailsWithOneLineAndExitCode(t *testing.T) {
	cmd, _, errs := program(t, "fail", "")
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 1 || errs.String() != "program: can't listen on 127.0.0.1:1\n" {
		t.Errorf("exit code %d, stderr %q", code, errs.String())
	}
	cmd, _, errs = program(t, "run", "--verbose")
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 2 || !strings.Contains(errs.String(), "--verbose") {
		t.Errorf("unknown argument: exit code %d, stderr %q", code, errs.String())
	}
}

func TestMainPrintsItsVersion(t *testing.T) {
	cmd, out, _ := program(t, "run", "--version")
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 0 || !strings.HasPrefix(out.String(), "program ") || !strings.Contains(out.String(), "go1.") {
		t.Errorf("exit code %d, stdout %q", code, out.String())
	}
}

func TestMainDrainsOnSignals(t *testing.T) {
	for _, signal := range []os.Signal{os.Interrupt, sigterm} {
		cmd, _, errs := program(t, "run", "")
		deadline := time.Now().Add(time.Minute)
		for !strings.Contains(errs.String(), "ready") && time.Now().Before(deadline) {
			time.Sleep(5 * time.Millisecond)
		}
		if err := cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		err := cmd.Wait()
		if err != nil || !strings.Contains(errs.String(), `"message":"drained"`) {
			t.Errorf("after %v: %v, stderr %q", signal, err, errs.String())
		}
	}
}
