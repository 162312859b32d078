package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// supervisor runs a command, and runs it again when another start may end better.
type supervisor struct {
	command     []string
	outputDir   string // of the training in it; empty if unknown
	maxRestarts int    // in a row, with no newer checkpoint from any of them
	hangGrace   time.Duration
	backoff     time.Duration

	stdout  io.Writer
	stderr  *sharedWriter // the command's and launch's own
	signals <-chan os.Signal
}

const (
	longestBackoff = time.Minute
	killDelay      = 5 * time.Second // between asking a hung command to end and killing it, at most
	drainTime      = 2 * time.Second // for what a command leaves running to write its last lines
)

// run returns nil when the command has ended with 0, and else a *commandError, or
// context.Canceled if the user has stopped it.
func (s *supervisor) run(ctx context.Context) error {
	if err := adoptOrphans(); err != nil {
		return err
	}
	newest, failures := s.newest(), 0
	for start := 1; ; start++ {
		s.say("start %d: %s", start, strings.Join(s.command, " "))
		began := time.Now()
		end, err := s.start()
		if err != nil || end.code == exitDone {
			return err
		}
		reached := s.newest()
		if reached > newest {
			newest, failures = reached, 0
		}
		s.say("start %d ended after %v: %s%s", start, time.Since(began).Round(time.Second/10), end, checkpointed(reached))
		if end.stopped {
			return context.Canceled
		}
		if end.final() || failures == s.maxRestarts {
			return &commandError{command: filepath.Base(s.command[0]), end: end, starts: start}
		}
		wait := min(s.backoff<<min(failures, 30), longestBackoff)
		failures++
		s.say("restart %d of %d in %v", failures, s.maxRestarts, wait)
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
	cmd := exec.Command(s.command[0], s.command[1:]...)
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = s.stdout, watch, drainTime
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
			reported, overdue = nil, time.After(s.hangGrace)
		case <-overdue:
			s.say("a process said why it ends %v ago, and the command still runs: ending it", s.hangGrace)
			end.hung = true
			group.signal(syscall.SIGTERM)
			kill = time.After(min(killDelay, s.hangGrace))
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

// final reports whether another start would end the same way.
func (e ending) final() bool {
	switch {
	case e.hung:
		return false
	case e.code == exitFailed: // bdlora's, or the launcher's own: a node that it did not reach
		return e.explained
	}
	return e.code == exitUsage || e.code == exitInterrupted
}

func (e ending) String() string {
	text := "exit code " + strconv.Itoa(e.code)
	if signal := syscall.Signal(e.code - 128); signal > 0 && signal < 32 {
		text += " (" + signal.String() + ")"
	}
	return text
}
