package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Options say what is measured and how thoroughly.
type Options struct {
	BinDir  string    // where the programs are
	TempDir string    // the parent of the folder for everything that is written; "" = the system's
	Only    []string  // letters of the parts; none = all
	Runs    int       // each figure is the median of this many
	Short   bool      // seconds instead of minutes: shows that the bench works, and nothing else
	Strict  bool      // a bar that does not hold is an error
	Profile string    // folder for CPU profiles of the gateway; "" = none
	Out     io.Writer // the tables
	Notes   io.Writer // what is under way
}

// part is one part of the bench.
type part struct {
	letter string
	title  string
	run    func(ctx context.Context, b *bench) (*Part, error)
}

var parts = []part{
	{"a", "Signaling: start + status + terminate", signaling},
	{"b", "Data endpoint", dataEndpoint},
	{"c", "Starts: exec to the first 200 of /readyz", coldStarts},
	{"d", "Resident memory of the gateway", memory},
	{"e", "Signaling against the number of stored flows, and replicas", stored},
	{"f", "Open streams", streams},
}

// bench is one run of the program.
type bench struct {
	Options
	sizes

	dir     string
	outside *outside // what stands around every gateway
	purses  map[algorithm]*purse
}

// around starts what stands around the gateways, once.
func (b *bench) around(ctx context.Context) (*outside, error) {
	if b.outside == nil {
		o, err := startOutside(context.WithoutCancel(ctx))
		if err != nil {
			return nil, err
		}
		b.outside, b.purses = o, map[algorithm]*purse{}
		for _, alg := range algorithms {
			b.purses[alg] = &purse{alg: alg}
		}
	}
	return b.outside, nil
}

func (b *bench) close() {
	if b.outside != nil {
		b.outside.close()
	}
}

// sizes are how much is done.
type sizes struct {
	load       time.Duration // of one measurement under load
	maxFlows   int           // of one measurement
	connection []int
	large      int64 // bytes of the large file
	starts     int   // of each program
	settle     time.Duration
	stored     []int // numbers of flows
	idle       int   // open streams
	cuts       int   // streams that are cut, one after the other
}

func (o *Options) sizes() sizes {
	if o.Short {
		return sizes{
			load: 300 * time.Millisecond, maxFlows: 200, connection: []int{1, 8}, large: 4 << 20, starts: 2, settle: 100 * time.Millisecond,
			stored: []int{100, 2000}, idle: 50, cuts: 5,
		}
	}
	return sizes{
		load: 3 * time.Second, maxFlows: 12_000, connection: []int{1, 64}, large: 1 << 30, starts: 20, settle: 3 * time.Second,
		stored: []int{1_000, 10_000, 100_000, 1_000_000}, idle: 10_000, cuts: 200,
	}
}

// ErrBar says that a bar does not hold, of a strict run.
var ErrBar = errors.New("a bar does not hold")

// Run measures, prints a table for each part when it is done, and returns the report. What was measured before an error is in it.
func Run(ctx context.Context, o Options) (_ *Report, err error) {
	if o.Runs < 1 {
		return nil, fmt.Errorf("-runs %d: 1 or more is expected", o.Runs)
	}
	chosen, err := choose(o.Only)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(o.TempDir, "tidegate-bench-")
	if err != nil {
		return nil, fmt.Errorf("folder of the bench: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if o.BinDir, err = filepath.Abs(o.BinDir); err != nil {
		return nil, fmt.Errorf("-bin: %w", err)
	}
	b := &bench{Options: o, sizes: o.sizes(), dir: dir}
	defer b.close()
	r := &Report{Machine: machine(), Runs: o.Runs, Short: o.Short}
	r.head(o.Out)
	for _, p := range chosen {
		result, err := p.run(ctx, b)
		if err != nil {
			return r, fmt.Errorf("part %s: %w", p.letter, err)
		}
		result.Letter, result.Title = p.letter, p.title
		r.Parts = append(r.Parts, *result)
		result.print(o.Out)
	}
	r.Machine.LoadAtEnd = loadAverage()
	r.foot(o.Out)
	if o.Strict && len(r.failing()) > 0 {
		return r, fmt.Errorf("%w: %s", ErrBar, strings.Join(r.failing(), "; "))
	}
	return r, nil
}

func choose(only []string) ([]part, error) {
	if len(only) == 0 {
		return parts, nil
	}
	var chosen []part
	for _, p := range parts {
		if slices.Contains(only, p.letter) {
			chosen = append(chosen, p)
		}
	}
	if len(chosen) != len(only) {
		return nil, fmt.Errorf("-only %s: some of a, b, c, d, e, f are expected, each once", strings.Join(only, ","))
	}
	return chosen, nil
}

// note says what is under way.
func (b *bench) note(format string, args ...any) {
	_, _ = fmt.Fprintf(b.Notes, format+"\n", args...) // nobody may be looking
}

// program is the path of a built program.
func (b *bench) program(name string) (string, error) {
	path := filepath.Join(b.BinDir, name)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("program %s is not built: run 'make build': %w", name, err)
	}
	return path, nil
}
