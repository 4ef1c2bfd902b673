package supervisor

import (
	"os/exec"
	"runtime"
	"syscall"
)

// childAttributes puts a child in a process group of its own, so that Ctrl-C reaches only the launcher, which stops the
// children in order; and has the kernel end the child when the launcher is killed.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}

// starter is the one thread that starts children: the kernel sends Pdeathsig when the *thread* that started a child ends,
// so it must be one that lives as long as the process.
var starter = func() chan func() {
	c := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range c {
			f()
		}
	}()
	return c
}()

func start(cmd *exec.Cmd) error {
	result := make(chan error)
	starter <- func() { result <- cmd.Start() }
	return <-result
}
