// Package supervisor runs a launcher or another command, and runs it again when it fails.
package supervisor

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Config says what to run and how often.
type Config struct {
	Command     []string
	MaxRestarts int           // in a row, none of which got further
	HangGrace   time.Duration // for the command to end once one of its processes has said why it does
	Backoff     time.Duration // before a restart, doubled each time up to a minute, anew when one got further

	// Stdout and Stderr take what the command writes, and Stderr also what Run says.
	Stdout, Stderr io.Writer
	// Reached is how far the command has got: the step of its newest checkpoint, -1 if
	// there is none or that is not known.
	Reached func() int
	// Final reports whether a command that ended with code would do so again; explained
	// says that a process of bdlora's in it has said what is wrong.
	Final func(code int, explained bool) bool
}

// CommandError is how a command ended for good, if not with 0.
type CommandError struct {
	Command string
	Starts  int
	Code    int // 128 and the signal's number if that ended it
}

func (e *CommandError) Error() string {
	return fmt.Sprintf("%s: start %d ended with %s, want 0", e.Command, e.Starts, codeText(e.Code))
}

// supervisor is a Run under way.
type supervisor struct {
	Config
	stderr  *sharedWriter // the command's and Run's own
	signals <-chan os.Signal
}

const (
	longestBackoff = time.Minute
	killDelay      = 5 * time.Second // between asking a hung command to end and killing it, at most
	drainTime      = 2 * time.Second // for what a command leaves running to write its last lines
)

// Run runs the command, passes the signals on that arrive, and runs it again when another
// start may end better. When it has ended, whatever it started on this machine is ended
// too. Run returns nil when it has ended with 0, and else a [*CommandError], or
// [context.Canceled] if the user has stopped it.
func Run(ctx context.Context, c Config) error {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, passedOn()...)
	defer signal.Stop(signals)
	s := &supervisor{Config: c, stderr: &sharedWriter{w: c.Stderr}, signals: signals}
	return s.run(ctx)
}

func (s *supervisor) run(ctx context.Context) error {
	if err := adoptOrphans(); err != nil {
		return err
	}
	newest, failures := s.Reached(), 0
	for start := 1; ; start++ {
		s.say("start %d: %s", start, strings.Join(s.Command, " "))
		began := time.Now()
		end, err := s.start()
		if err != nil || end.code == 0 {
			return err
		}
		reached := s.Reached()
		if reached > newest {
			newest, failures = reached, 0
		}
		s.say("start %d ended after %v: %s%s", start, time.Since(began).Round(time.Second/10), end, checkpointed(reached))
		if end.stopped {
			return context.Canceled
		}
		if s.final(end) || failures == s.MaxRestarts {
			return &CommandError{Command: filepath.Base(s.Command[0]), Starts: start, Code: end.code}
		}
		wait := min(s.Backoff<<min(failures, 30), longestBackoff)
		failures++
		s.say("restart %d of %d in %v", failures, s.MaxRestarts, wait)
		if err := s.pause(ctx, wait); err != nil {
			return err
		}
	}
}

// say tells the user what happens, among the lines of the command.
func (s *supervisor) say(format string, args ...any) {
	fmt.Fprintf(s.stderr, "launch: "+format+"\n", args...)
}

// checkpointed says from where the next start will go on, if that is known.
func checkpointed(step int) string {
	if step < 0 {
		return ""
	}
	return "; newest checkpoint: step " + strconv.Itoa(step)
}

// pause waits, unless the user stops it.
func (s *supervisor) pause(ctx context.Context, wait time.Duration) error {
	timeout := time.After(wait)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case sig := <-s.signals:
			if isStop(sig) {
				return context.Canceled
			}
		case <-timeout:
			return nil
		}
	}
}

// start runs the command once and waits until nothing is left of it.
func (s *supervisor) start() (ending, error) {
	watch := newWatcher(s.stderr)
	cmd := exec.Command(s.Command[0], s.Command[1:]...)
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = s.Stdout, watch, drainTime
	group, err := startGroup(cmd)
	if err != nil {
		return ending{}, err
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // what it says is in ProcessState
		close(ended)
	}()
	end := s.follow(group, ended, watch.reported)
	if err := group.clear(); err != nil {
		return ending{}, err
	}
	end.code, end.explained = exitCodeOf(cmd.ProcessState), watch.explained()
	return end, nil
}

// follow passes signals on until the command has ended, and ends it if it hangs.
func (s *supervisor) follow(group *processGroup, ended, reported <-chan struct{}) (end ending) {
	var overdue, kill <-chan time.Time
	stops := 0
	for {
		select {
		case <-ended:
			end.stopped = stops > 0
			return end
		case sig := <-s.signals:
			if isStop(sig) {
				stops++
			}
			if stops != 1 || !signalTrainings(group.leader, sig) {
				group.signal(sig)
			}
			if stops == 3 {
				s.say("the third signal to stop: killing all processes")
				group.kill()
			}
		case <-reported:
			reported, overdue = nil, time.After(s.HangGrace)
		case <-overdue:
			s.say("a process said why it ends %v ago, and the command still runs: ending it", s.HangGrace)
			end.hung = true
			group.signal(syscall.SIGTERM)
			kill = time.After(min(killDelay, s.HangGrace))
		case <-kill:
			group.kill()
		}
	}
}

// ending is how a command ended.
type ending struct {
	code      int  // 128 and the signal's number if that ended it
	stopped   bool // the user wanted it
	hung      bool // it had to be ended
	explained bool // a bdlora process among its own has said what was wrong
}

func (e ending) String() string { return codeText(e.code) }

// final reports whether another start would end the same way.
func (s *supervisor) final(e ending) bool { return !e.hung && s.Final(e.code, e.explained) }

// codeText is an exit code with the signal that it stands for.
func codeText(code int) string {
	text := "exit code " + strconv.Itoa(code)
	if signal := syscall.Signal(code - 128); signal > 0 && signal < 32 {
		text += " (" + signal.String() + ")"
	}
	return text
}
