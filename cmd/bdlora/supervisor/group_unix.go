//go:build unix

package supervisor

import (
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// processGroup is a command with what it has started.
type processGroup struct{ leader int }

// startGroup starts cmd in a process group of its own, so that Ctrl-C reaches it once,
// from here.
func startGroup(cmd *exec.Cmd) (*processGroup, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &processGroup{leader: cmd.Process.Pid}, nil
}

// signal sends sig to the group. That nothing of it is left is no error.
func (g *processGroup) signal(sig os.Signal) { _ = unix.Kill(-g.leader, sig.(syscall.Signal)) }

// kill ends the group, and what the command has started outside it, at once.
func (g *processGroup) kill() {
	g.signal(syscall.SIGKILL)
	killDescendants()
}

// clear ends what the command has left running, once it has ended itself.
func (g *processGroup) clear() error {
	g.kill()
	return awaitDescendants()
}

// exitCodeOf is a process's exit code, as a shell has it.
func exitCodeOf(state *os.ProcessState) int {
	if status := state.Sys().(syscall.WaitStatus); status.Signaled() {
		return 128 + int(status.Signal())
	}
	return state.ExitCode()
}
