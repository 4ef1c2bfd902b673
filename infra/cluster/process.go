package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A program of the cluster outlives the command that starts it. Its file in run/pid names the process id and when that process was
// started, so that no stranger who got the same id later is ended in its place.

// inNet and inNode are the ways into the namespaces. Neither leaves a process in between: the program gets the id of the starter.
func inNet(args ...string) []string {
	return append([]string{"nsenter", "--net=" + netnsFile}, args...)
}

func (l Layout) inNode(args ...string) ([]string, error) {
	p, err := l.readPID("holder")
	if err != nil {
		return nil, fmt.Errorf("the node's namespaces: %w", err)
	}
	return append([]string{"nsenter", "-t", strconv.Itoa(p.id), "-m", "-n"}, args...), nil
}

// startProcess starts a program that goes on by itself.
func (l Layout) startProcess(name string, args ...string) error {
	out, err := os.OpenFile(l.log(name), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("%s: log: %w", name, err)
	}
	defer func() { _ = out.Close() }()        // the program has its own descriptor
	cmd := exec.Command(args[0], args[1:]...) //nolint:noctx,gosec // it outlives this command; the arguments are this package's own
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	started, err := startTime(cmd.Process.Pid)
	if err != nil {
		return fmt.Errorf("%s ended at once, see %s: %w", name, l.log(name), err)
	}
	go func() { _ = cmd.Wait() }() // its end is seen by alive; here it only must not stay a zombie
	line := fmt.Sprintf("%d %s", cmd.Process.Pid, started)
	if err := os.WriteFile(l.pidFile(name), []byte(line), 0o600); err != nil {
		return fmt.Errorf("%s: process id: %w", name, err)
	}
	return nil
}

// process is a running program of the cluster.
type process struct {
	id      int
	started string
}

func (l Layout) readPID(name string) (process, error) {
	b, err := os.ReadFile(l.pidFile(name))
	if err != nil {
		return process{}, fmt.Errorf("%s is not running: %w", name, err)
	}
	id, started, _ := strings.Cut(string(b), " ")
	p := process{started: started}
	if p.id, err = strconv.Atoi(id); err != nil {
		return process{}, fmt.Errorf("%s: process id: %w", name, err)
	}
	if !p.alive() {
		return process{}, fmt.Errorf("%s (process %d) has ended, see %s", name, p.id, l.log(name))
	}
	return p, nil
}

func (p process) alive() bool {
	started, err := startTime(p.id)
	return err == nil && started == p.started
}

// stop asks the program to end, and makes it end after the grace.
func (p process) stop(ctx context.Context, grace time.Duration) error {
	if !p.alive() {
		return nil
	}
	if err := syscall.Kill(p.id, syscall.SIGTERM); err != nil {
		return fmt.Errorf("ending process %d: %w", p.id, err)
	}
	err := wait(ctx, grace, func() error {
		if p.alive() {
			return fmt.Errorf("process %d does not end", p.id)
		}
		return nil
	})
	if err == nil || !p.alive() {
		return nil
	}
	if err := syscall.Kill(p.id, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("killing process %d: %w", p.id, err)
	}
	return nil
}

// stopProcess ends a program by its name; one that is not running is no fault.
func (l Layout) stopProcess(ctx context.Context, name string, grace time.Duration) error {
	p, err := l.readPID(name)
	if err != nil {
		return nil //nolint:nilerr // it never ran or has ended
	}
	if err := p.stop(ctx, grace); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return os.Remove(l.pidFile(name))
}

// startTime is field 22 of /proc/{pid}/stat (proc(5)), counted after the name, which may hold anything but ends with the last ")".
// A zombie counts as ended.
func startTime(pid int) (string, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", fmt.Errorf("process %d: %w", pid, err)
	}
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(fields) < 20 || fields[0] == "Z" {
		return "", fmt.Errorf("process %d: %w", pid, fs.ErrNotExist)
	}
	return fields[19], nil
}

// processesWith finds the processes whose command line holds all of the words.
func processesWith(words ...string) []process {
	var found []process
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline") // the pattern is right
next:
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			continue // it has just ended
		}
		for _, w := range words {
			if !bytes.Contains(b, []byte(w)) {
				continue next
			}
		}
		id, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil || id == os.Getpid() {
			continue
		}
		if started, err := startTime(id); err == nil {
			found = append(found, process{id, started})
		}
	}
	return found
}

// run runs a command to its end and returns what it wrote.
func run(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...) //nolint:gosec // the arguments are this package's own
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return out, fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, lastLines(stderr.Bytes(), 5))
	}
	return out, nil
}

// wait calls f until it returns nil; after the time its last error is the answer.
func wait(ctx context.Context, d time.Duration, f func() error) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("after %v: %w", d, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
