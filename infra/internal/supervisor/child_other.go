//go:build !linux

package supervisor

import (
	"os/exec"
	"syscall"
)

// childAttributes puts a child in a process group of its own, so that Ctrl-C reaches only the launcher.
func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func start(cmd *exec.Cmd) error { return cmd.Start() }
