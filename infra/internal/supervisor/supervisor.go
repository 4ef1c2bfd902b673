// Package supervisor runs the programs of a one-machine deployment as child processes: what a kubelet is for a pod, cut down
// to what one machine needs. A program that ends by itself is started again after a short while; a stop ends each group of
// programs in turn, politely first.
package supervisor

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/rs/zerolog"
)

// Program says how one program is run.
type Program struct {
	Name   string
	Path   string
	Args   []string // after the program's name
	Env    []string // the whole environment
	Log    string   // file that takes its output, appended to
	Health string   // URL that answers 200 when it is ready
}

// Process is a program that is kept running.
type Process struct {
	Program

	log  zerolog.Logger
	stop chan struct{} // closed by Stop
	done chan struct{} // closed when the program has ended for good

	mu       sync.Mutex
	cmd      *exec.Cmd
	starts   int
	stopping bool
	held     chan struct{} // not nil: it is not started again before this is closed
}

// restartDelay is the pause before a program that ended is started again: doubled up to restartMax while it keeps ending at once.
const (
	restartDelay = 200 * time.Millisecond
	restartMax   = 5 * time.Second
	healthPoll   = 5 * time.Millisecond
)

// Start runs a program and keeps it running until Stop.
func Start(p Program, log zerolog.Logger) (*Process, error) {
	pr := &Process{
		Program: p,
		log:     log.With().Str("program", p.Name).Logger(),
		stop:    make(chan struct{}),
		done:    make(chan struct{}),
	}
	if err := pr.launch(); err != nil {
		return nil, err
	}
	go pr.keep()
	return pr, nil
}

// PID is the process id now; 0 between an end and the next start.
func (p *Process) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil || p.cmd.Process == nil {
		return 0
	}
	return p.cmd.Process.Pid
}

// Starts counts how often the program was started.
func (p *Process) Starts() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.starts
}

// Ready waits until the health URL answers 200; an error if ctx ends first or the program ends while it was never ready.
func (p *Process) Ready(ctx context.Context) error {
	hc := &http.Client{Timeout: time.Second}
	first := p.Starts()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.Health, nil)
		if err != nil {
			return fmt.Errorf("%s: %w", p.Name, err)
		}
		if res, err := hc.Do(req); err == nil {
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return nil
			}
		}
		if p.Starts() > first {
			return fmt.Errorf("%s ended instead of becoming ready: %s", p.Name, lastLine(p.Log))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready at %s (%s): %w", p.Name, p.Health, lastLine(p.Log), context.Cause(ctx))
		case <-time.After(healthPoll):
		}
	}
}

// Kill ends the program at once, as kill -9 does; it is started again.
func (p *Process) Kill() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil || p.cmd.Process == nil {
		return errors.New(p.Name + " is not running")
	}
	return p.cmd.Process.Kill()
}

// Hold ends the program at once and keeps it down until release is called. It returns when the program has ended.
func (p *Process) Hold() (release func(), err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held != nil || p.cmd == nil || p.cmd.Process == nil {
		return nil, errors.New(p.Name + " is not running")
	}
	held := make(chan struct{})
	p.held = held
	if err := p.cmd.Process.Kill(); err != nil {
		p.held = nil
		return nil, fmt.Errorf("%s: %w", p.Name, err)
	}
	for p.cmd != nil { // keep sees its end
		p.mu.Unlock()
		time.Sleep(healthPoll)
		p.mu.Lock()
	}
	return sync.OnceFunc(func() {
		p.mu.Lock()
		p.held = nil
		p.mu.Unlock()
		close(held)
	}), nil
}

// Stop asks the programs to end, all at once, waits up to grace, then ends the rest the hard way.
func Stop(grace time.Duration, group ...*Process) {
	for _, p := range group {
		p.mu.Lock()
		p.stopping = true
		if p.cmd != nil && p.cmd.Process != nil {
			_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended already
		}
		p.mu.Unlock()
		close(p.stop)
	}
	timeout := time.After(grace)
	for _, p := range group {
		select {
		case <-p.done:
		case <-timeout:
			p.log.Warn().Dur("grace", grace).Msg("did not stop in time and was killed")
			_ = p.Kill() // it may have ended in between
			<-p.done
		}
	}
}

func (p *Process) launch() error {
	out, err := os.OpenFile(p.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("%s: log file: %w", p.Name, err)
	}
	defer func() { _ = out.Close() }()     // the child has its own descriptor
	cmd := exec.Command(p.Path, p.Args...) //nolint:noctx,gosec // it outlives every request context, Stop ends it; what runs is the caller's choice
	cmd.Env, cmd.Stdout, cmd.Stderr = p.Env, out, out
	cmd.SysProcAttr = childAttributes()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopping {
		return nil
	}
	if err := start(cmd); err != nil {
		return fmt.Errorf("%s: %w", p.Name, err)
	}
	p.cmd = cmd
	p.starts++
	return nil
}

// keep waits for each end of the program and starts it again, until Stop.
func (p *Process) keep() {
	defer close(p.done)
	delay := restartDelay
	for {
		began := time.Now()
		p.mu.Lock()
		cmd := p.cmd
		p.mu.Unlock()
		err := cmd.Wait()
		p.mu.Lock()
		p.cmd = nil
		stopping := p.stopping
		p.mu.Unlock()
		if stopping {
			return
		}
		if time.Since(began) > restartMax {
			delay = restartDelay
		}
		p.log.Warn().AnErr("end", err).Dur("restart_in", delay).Str("last_line", lastLine(p.Log)).Msg("ended")
		select {
		case <-p.stop:
			return
		case <-time.After(delay):
		}
		p.mu.Lock()
		held := p.held
		p.mu.Unlock()
		if held != nil {
			select {
			case <-p.stop:
				return
			case <-held:
			}
		}
		delay = min(2*delay, restartMax)
		if err := p.launch(); err != nil {
			p.log.Error().Err(err).Msg("can't be started again")
			return
		}
		p.mu.Lock()
		gone := p.cmd == nil
		p.mu.Unlock()
		if gone {
			return
		}
	}
}
