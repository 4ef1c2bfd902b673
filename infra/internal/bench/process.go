package bench

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/infra/internal/supervisor"
	"github.com/tidegate/tidegate/shared/loopback"
)

const (
	readyTime = 30 * time.Second
	stopTime  = 3 * time.Second
)

// nopLog is for what the bench does to processes on purpose.
var nopLog = zerolog.Nop()

// processes are what a part has started. stop ends them, the last one first.
type processes struct{ all []*supervisor.Process }

func (p *processes) start(program supervisor.Program) (*supervisor.Process, error) {
	pr, err := supervisor.Start(program, nopLog)
	if err != nil {
		return nil, err
	}
	p.all = append(p.all, pr)
	return pr, nil
}

// ready starts a program and waits until its health URL answers 200.
func (p *processes) ready(ctx context.Context, program supervisor.Program) (*supervisor.Process, error) {
	pr, err := p.start(program)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, readyTime)
	defer cancel()
	return pr, pr.Ready(ctx)
}

func (p *processes) stop() {
	for _, pr := range slices.Backward(p.all) {
		supervisor.Stop(stopTime, pr)
	}
	p.all = nil
}

// crashed names a process that ended by itself and was started again: what was measured then is worth nothing.
func (p *processes) crashed() error {
	for _, pr := range p.all {
		if pr.Starts() != 1 {
			return fmt.Errorf("%s ended by itself while it was measured", pr.Name)
		}
	}
	return nil
}

// baseEnv is what a program needs to run at all.
func baseEnv() []string {
	env := []string{"LOG_LEVEL=warn"}
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "TZ"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// freeAddrs returns loopback addresses that are free until the benchmarks end.
func freeAddrs(n int) ([]string, error) {
	addrs := make([]string, n)
	for i := range addrs {
		var err error
		if addrs[i], err = loopback.Addr(); err != nil {
			return nil, fmt.Errorf("a free port: %w", err)
		}
	}
	return addrs, nil
}

// tick is the unit of the CPU times in /proc on every Linux that Go runs on.
const tick = 10 * time.Millisecond

// cpuOf is the CPU time that a process and its children have taken, those that have ended too: nginx works in children, and Redis
// rewrites its append-only file in one.
func cpuOf(pid int) (time.Duration, error) {
	own, err := statOf(pid)
	if err != nil {
		return 0, err
	}
	sum := own.cpu
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, fmt.Errorf("CPU time: %w", err)
	}
	for _, file := range stats {
		child, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			continue
		}
		if st, err := statOf(child); err == nil && st.parent == pid { // one that has just ended is left out
			sum += st.cpu
		}
	}
	return sum, nil
}

type procStat struct {
	parent int
	cpu    time.Duration
}

// statOf reads /proc/{pid}/stat (proc(5)): fields are counted after the name, which may hold anything but ends with the last ")".
func statOf(pid int) (procStat, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return procStat{}, fmt.Errorf("CPU time: %w", err)
	}
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(fields) < 15 {
		return procStat{}, fmt.Errorf("CPU time: /proc/%d/stat has %d fields", pid, len(fields))
	}
	var n [5]int64
	for i, at := range []int{1, 11, 12, 13, 14} { // ppid; utime, stime; the same of children that have ended
		if n[i], err = strconv.ParseInt(fields[at], 10, 64); err != nil {
			return procStat{}, fmt.Errorf("CPU time: %w", err)
		}
	}
	return procStat{parent: int(n[0]), cpu: time.Duration(n[1]+n[2]+n[3]+n[4]) * tick}, nil
}

// ownCPU is the CPU time of this process.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// memoryOf is a member of /proc/{pid}/status in MiB: VmRSS is what is resident, VmHWM the most that ever was.
func memoryOf(pid int, member string) (float64, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0, fmt.Errorf("memory: %w", err)
	}
	for l := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(l, ":")
		if name != member {
			continue
		}
		kib, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 64)
		if err != nil {
			return 0, fmt.Errorf("memory: %s: %w", member, err)
		}
		return kib / 1024, nil
	}
	return 0, fmt.Errorf("memory: /proc/%d/status has no %s", pid, member)
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
