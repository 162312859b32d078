package supervisor

import (
	"errors"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/windows"
)

// adoptOrphans has nothing to do: a job object holds all that a command has started.
func adoptOrphans() error { return nil }

// signalTrainings has nothing to do: Ctrl-Break reaches all of a process group.
func signalTrainings(uint32, os.Signal) bool { return false }

// processGroup is a command with what it has started.
type processGroup struct {
	leader uint32
	job    windows.Handle
}

// startGroup starts cmd in a process group of its own, so that Ctrl-C reaches it once,
// from here, and in a job object.
func startGroup(cmd *exec.Cmd) (*processGroup, error) {
	job, err := windows.CreateJobObject(nil, nil)
	if err != nil {
		return nil, os.NewSyscallError("CreateJobObject", err)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: windows.CREATE_NEW_PROCESS_GROUP}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, windows.CloseHandle(job))
	}
	g := &processGroup{leader: uint32(cmd.Process.Pid), job: job}
	if err := g.hold(); err != nil {
		return nil, errors.Join(err, cmd.Process.Kill(), cmd.Wait(), windows.CloseHandle(job))
	}
	return g, nil
}

// hold puts the leader, and so what it will start, into the job.
func (g *processGroup) hold() error {
	leader, err := windows.OpenProcess(windows.PROCESS_SET_QUOTA|windows.PROCESS_TERMINATE, false, g.leader)
	if err != nil {
		return os.NewSyscallError("OpenProcess", err)
	}
	err = windows.AssignProcessToJobObject(g.job, leader)
	return errors.Join(os.NewSyscallError("AssignProcessToJobObject", err), windows.CloseHandle(leader))
}

// signal is Ctrl-Break, the one signal that a process group can be sent. That nothing
// of it is left is no error.
func (g *processGroup) signal(os.Signal) {
	_ = windows.GenerateConsoleCtrlEvent(windows.CTRL_BREAK_EVENT, g.leader)
}

// kill ends all that is in the job at once, with exit code 1.
func (g *processGroup) kill() { _ = windows.TerminateJobObject(g.job, 1) }

// clear ends what the command has left running, once it has ended itself.
func (g *processGroup) clear() error {
	g.kill()
	return os.NewSyscallError("CloseHandle", windows.CloseHandle(g.job))
}

// exitCodeOf is a process's exit code.
func exitCodeOf(state *os.ProcessState) int { return state.ExitCode() }
