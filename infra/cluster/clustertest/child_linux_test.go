package clustertest

import (
	"os/exec"
	"syscall"
)

// endWithUs has a command end with the test, also with one that is killed or panics at its time limit.
func endWithUs(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
