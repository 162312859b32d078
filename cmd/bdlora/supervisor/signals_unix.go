//go:build unix

package supervisor

import (
	"os"
	"syscall"
)

// passedOn are the signals that a command is handed.
func passedOn() []os.Signal {
	return []os.Signal{
		syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2,
	}
}

// StopSignals are those on which a run stops after the step under way: Ctrl-C, what
// launchers send before they kill, and Slurm's warning that time is running out.
func StopSignals() []os.Signal { return []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGUSR1} }

// isStop reports whether who sends a signal wants the command to end.
func isStop(sig os.Signal) bool { return sig != syscall.SIGUSR1 && sig != syscall.SIGUSR2 }
