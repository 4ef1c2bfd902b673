package function

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/shared/telemetry"
	"github.com/tidegate/tidegate/shared/version"
)

// Main is the main of a program: it makes the logger (JSON lines on stderr, LOG_LEVEL), runs run until SIGTERM or SIGINT ends its context,
// and exits with 1 and one clear line on stderr if it fails. A second signal ends the process at once. --version prints
// what the binary was built from.
func Main(name string, run func(ctx context.Context, log zerolog.Logger) error) {
	os.Exit(start(name, os.Args[1:], os.Stdout, os.Stderr, run))
}

func start(name string, args []string, stdout, stderr io.Writer, run func(context.Context, zerolog.Logger) error) int {
	if len(args) > 0 {
		if args[0] == "--version" || args[0] == "-version" {
			_, _ = fmt.Fprintln(stdout, version.String(name)) // nobody is left to tell
			return 0
		}
		_, _ = fmt.Fprintf(stderr, "%s: unknown argument %q: it takes --version only, its settings come from the environment\n", name, args[0])
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	context.AfterFunc(ctx, stop) // from the first signal on the next one kills

	if err := run(ctx, NewLogger(stderr, os.Getenv("LOG_LEVEL"))); err != nil {
		_, _ = fmt.Fprintf(stderr, "%s: %v\n", name, err)
		return 1
	}
	return 0
}

// NewLogger makes a logger of JSON lines, in which a fault that repeats is summed up. A level that is none counts as info: Config.Validate refuses it with the other faults.
func NewLogger(w io.Writer, level string) zerolog.Logger {
	l, err := zerolog.ParseLevel(level)
	if err != nil || l == zerolog.NoLevel {
		l = zerolog.InfoLevel
	}
	return zerolog.New(telemetry.Calm(w)).Level(l).With().Timestamp().Logger()
}
