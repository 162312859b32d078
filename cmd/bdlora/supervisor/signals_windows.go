package supervisor

import (
	"os"
	"syscall"
)

// passedOn are the signals that a command is handed: Ctrl-C or Ctrl-Break, and a closed
// console.
func passedOn() []os.Signal { return []os.Signal{os.Interrupt, syscall.SIGTERM} }

// StopSignals are those on which a run stops after the step under way.
func StopSignals() []os.Signal { return passedOn() }

// isStop reports whether who sends a signal wants the command to end.
func isStop(os.Signal) bool { return true }
