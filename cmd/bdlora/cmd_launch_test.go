//go:build unix

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/shirou/gopsutil/v4/process"
)

// launched is a process of bdlora launch on a shell script, which finds its folder
// empty and in $DIR, and the number of its start in $START.
func launched(t *testing.T, dir, script string, flags ...string) *exec.Cmd {
	t.Helper()
	path := filepath.Join(dir, "bdlora-fake")
	count := "DIR=" + dir + "\necho >> $DIR/starts\nSTART=$(($(wc -l < $DIR/starts)))\n"
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+count+linger+script), 0o777); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"launch", "--backoff", "1ms"}, flags...)
	c := exec.Command(os.Args[0], append(args, "--", path, "resume", dir)...)
	c.Env = append(os.Environ(), asProgram+"=1")
	return c
}

// linger is what a script calls to run on: for a minute, since nobody ends what a test
// leaves behind that is killed itself.
const linger = "linger() { for i in $(seq 600); do sleep 0.1; done; }\n"

// finish runs c, which has to end in time.
func finish(t *testing.T, c *exec.Cmd) result {
	t.Helper()
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	return ended(t, c, &out, &errs)
}

// ended waits for c, which has to end in time.
func ended(t *testing.T, c *exec.Cmd, out, errs *bytes.Buffer) result {
	t.Helper()
	late := time.AfterFunc(time.Minute, func() { c.Process.Kill() })
	c.Wait()
	if !late.Stop() {
		t.Fatalf("%v has not ended:\n%s", c.Args, errs)
	}
	return result{out.String(), errs.String(), c.ProcessState.ExitCode()}
}

// starts is how often the script of [launched] was started in dir.
func starts(t *testing.T, dir string) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "starts"))
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Count(text, []byte("\n"))
}

func TestLaunchStartsAgainWhatMayEndBetter(t *testing.T) {
	const restarts = 2
	for _, row := range []struct {
		name, script string
		code, starts int
	}{
		{"done", `exit 0`, 0, 1},
		{"a process lost", `exit 75`, 75, 1 + restarts},
		{"killed", `kill -9 $$`, 137, 1 + restarts},
		{"terminated, not by the user", `kill $$`, 143, 1 + restarts},
		{"fails twice", `[ $START = 3 ] || exit 75`, 0, 3},
		{"fails, then is done", `[ $START = 2 ] || kill -9 $$`, 0, 2},
		{"wrong input", `echo "bdlora: rows.jsonl:1: bad" >&2; exit 1`, 1, 1},
		{"wrong input, with mpirun's tag", `echo "[1,3]<stderr>:bdlora: rows.jsonl:1: bad" >&2; exit 1`, 1, 1},
		{"a launcher that reaches no node", `echo "ORTE was unable to start a daemon" >&2; exit 1`, 1, 1 + restarts},
		{"usage", `exit 2`, 2, 1},
		{"interrupted", `exit 130`, 130, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			r := finish(t, launched(t, dir, row.script, "--max-restarts", strconv.Itoa(restarts)))
			if got := starts(t, dir); r.code != row.code || got != row.starts {
				t.Errorf("got exit code %d after %d starts, want %d after %d\n%s", r.code, got, row.code, row.starts, r.stderr)
			}
		})
	}
}

func TestLaunchSaysWhatItDoes(t *testing.T) {
	dir := t.TempDir()
	r := finish(t, launched(t, dir, `echo out; echo err >&2; kill -9 $$`, "--max-restarts", "1"))
	expectIn(t, r.stderr, `launch: start 1: /.*/bdlora-fake resume /`, `(?m)^err$`, `start 1 ended after [\d.]+m?s: exit code 137 \(killed\)`,
		`restart 1 of 1 in 1ms`, `launch: start 2: `, `bdlora: bdlora-fake: start 2 ended with exit code 137 \(killed\), want 0`)
	if want := "out\nout\n"; r.stdout != want {
		t.Errorf("got standard output %q, want %q", r.stdout, want)
	}
}

// Law: restarts count in a row only. A start that gets further earns new ones.
func TestLaunchCountsAnewAfterACheckpoint(t *testing.T) {
	dir := t.TempDir()
	r := finish(t, launched(t, dir, `[ $START -le 4 ] && mkdir $DIR/checkpoint-$START; exit 75`, "--max-restarts", "1"))
	if got, want := starts(t, dir), 5; got != want { // four with a checkpoint each, and one restart in a row without
		t.Errorf("got %d starts, want %d\n%s", got, want, r.stderr)
	}
	expectIn(t, r.stderr, `start 4 ended .*; newest checkpoint: step 4`)
}

// Law: a command that hangs when a process of it has reported its end is ended, deaf
// to SIGTERM or not, and started again.
func TestLaunchEndsAHungCommand(t *testing.T) {
	for _, row := range []struct {
		name, trap string
		asked      bool
	}{
		{"deaf to SIGTERM", `trap "" TERM`, false},
		{"ends when asked, as if its input were wrong", `trap 'touch $DIR/asked; exit 1' TERM`, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			script := `[ $START = 2 ] && exit 0
` + row.trap + `
(echo "bdlora: all-reduce 7: a process is lost" >&2; exit 75)
linger`
			r := finish(t, launched(t, dir, script, "--hang-grace", "200ms"))
			if got := starts(t, dir); r.code != exitDone || got != 2 {
				t.Errorf("got exit code %d after %d starts, want 0 after 2\n%s", r.code, got, r.stderr)
			}
			expectIn(t, r.stderr, `said why it ends 200ms ago, and the command still runs`)
			if _, err := os.Stat(filepath.Join(dir, "asked")); row.asked != (err == nil) {
				t.Errorf("asked to end: got %v, want %v", err == nil, row.asked)
			}
		})
	}
}

// Law: nothing of a start is left when the next one begins, in whatever process group
// it is: it may hold a lock or write a checkpoint.
func TestLaunchLeavesNothingRunning(t *testing.T) {
	if _, err := exec.LookPath("setsid"); err != nil {
		t.Skip("no setsid to make a process in a group of its own")
	}
	dir := t.TempDir()
	script := `if [ $START = 2 ]; then kill -0 $(cat $DIR/left) && exit 2; exit 0; fi
setsid sh -c 'echo $$ > '$DIR'/left; trap "" TERM HUP; sleep 60' &
while [ ! -s $DIR/left ]; do sleep 0.01; done
kill -9 $$`
	if r := finish(t, launched(t, dir, script)); r.code != exitDone {
		t.Errorf("got exit code %d, want 0: a process of the first start runs beside the second\n%s", r.code, r.stderr)
	}
}

func TestLaunchPassesSignalsOnAndStops(t *testing.T) {
	for _, row := range []struct {
		name, script string
		signal       syscall.Signal
		code         int
	}{
		{"saves and ends", `trap 'echo saved; exit 130' TERM`, syscall.SIGTERM, exitInterrupted},
		{"ends by the signal", ``, syscall.SIGTERM, exitInterrupted},
		{"fails over it, as mpirun does", `trap 'exit 1' TERM`, syscall.SIGTERM, exitInterrupted},
		{"is done in time", `trap 'exit 0' TERM`, syscall.SIGTERM, exitDone},
		{"Ctrl-C", `trap 'echo saved; exit 130' INT`, syscall.SIGINT, exitInterrupted},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			c := launched(t, dir, row.script+"\ntouch $DIR/ready\nlinger")
			var out, errs bytes.Buffer
			c.Stdout, c.Stderr = &out, &errs
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			await(t, filepath.Join(dir, "ready"))
			if err := c.Process.Signal(row.signal); err != nil {
				t.Fatal(err)
			}
			r := ended(t, c, &out, &errs)
			if got := starts(t, dir); r.code != row.code || got != 1 {
				t.Errorf("got exit code %d after %d starts, want %d after 1\n%s", r.code, got, row.code, r.stderr)
			}
			if saves := strings.Contains(row.script, "saved"); saves != (r.stdout == "saved\n") {
				t.Errorf("got standard output %q", r.stdout)
			}
		})
	}
}

// Law: where a launcher keeps trainings in groups of their own, as mpirun does, the
// first signal to stop goes to them, and they have all the time they need.
func TestLaunchStopsTrainingsBeforeTheirLauncher(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("finds processes in other groups on Linux only")
	}
	dir := t.TempDir()
	// The first script is the launcher, and starts itself as the training.
	c := launched(t, dir, `if [ $START = 2 ]; then
	trap 'sleep 0.3; echo saved; exit 130' TERM
	touch $DIR/ready
	linger
fi
trap 'echo told the launcher' TERM
setsid $0 & training=$!
wait $training`)
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, filepath.Join(dir, "ready"))
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if r := ended(t, c, &out, &errs); r.code != exitInterrupted || r.stdout != "saved\n" {
		t.Errorf("got exit code %d and %q, want 130 and what the training says\n%s", r.code, r.stdout, r.stderr)
	}
}

func TestLaunchKillsAtTheThirdCtrlC(t *testing.T) {
	dir := t.TempDir()
	c := launched(t, dir, `trap "" INT; touch $DIR/ready; linger`)
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, filepath.Join(dir, "ready"))
	for range 3 {
		if err := c.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond) // or they would be one
	}
	if r := ended(t, c, &out, &errs); r.code != exitInterrupted || starts(t, dir) != 1 {
		t.Errorf("got exit code %d after %d starts, want 130 after 1\n%s", r.code, starts(t, dir), r.stderr)
	}
}

// await waits for a file.
func await(t *testing.T, path string) {
	t.Helper()
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(path); err == nil {
			return
		}
		if time.Since(began) > time.Minute {
			t.Fatalf("%s does not come", path)
		}
	}
}

// Law: every start goes on from the newest checkpoint without the user's saying so.
func TestLaunchedTrainingGoesOn(t *testing.T) {
	dir := unpacked(t)
	must(t, shortRun(dir)...)
	want := shards(t, filepath.Join(dir, "out"))

	killed := filepath.Join(dir, "killed")
	args := []string{"launch", "--backoff", "1ms", "--", os.Args[0]}
	c := exec.Command(os.Args[0], append(args, shortRun(dir, "output_dir="+killed, "save_steps=2")...)...)
	c.Env = append(os.Environ(), asProgram+"=1")
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, filepath.Join(killed, "checkpoint-2"))
	training, err := (&process.Process{Pid: int32(c.Process.Pid)}).Children()
	if err != nil || len(training) != 1 {
		t.Fatalf("launch: got %d processes below it and error %v, want 1", len(training), err)
	}
	if err := training[0].Kill(); err != nil {
		t.Fatal(err)
	}
	if r := ended(t, c, &out, &errs); r.code != exitDone {
		t.Fatalf("got exit code %d, want 0\n%s", r.code, r.stderr)
	}
	expectIn(t, errs.String(), `resume_from_checkpoint=auto`, `exit code 137`, `newest checkpoint: step [24]`, `resuming .*checkpoint-[24]`)
	checkSame(t, want, killed)
}

func TestLaunchAddsResumeToTraining(t *testing.T) {
	config := filepath.Join(t.TempDir(), "run.yaml")
	if err := os.WriteFile(config, []byte("model_name_or_path: m\ndataset: d\noutput_dir: o\nresume_from_checkpoint: o/checkpoint-3\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	const auto = "resume_from_checkpoint=auto"
	for _, row := range []struct {
		command  string
		added    bool
		training bool
	}{
		{"mpirun -n 4 bdlora train --config elsewhere.yaml", true, true},
		{"./bdlora-mpi train output_dir=o", true, true},
		{"bdlora train resume_from_checkpoint=o/checkpoint-1", false, true},
		{"bdlora train --resume-from-checkpoint o/checkpoint-1", false, true},
		{"bdlora train --config " + config, false, true},
		{"bdlora resume o", false, true},
		{"mpirun -wdir /srv/bdlora --hostfile bdlora.hosts bdlora train output_dir=o", true, true},
		{"mpirun -n 4 bdlora dist check", false, false},
		{"bdlora", false, false},
		{"sh start.sh", false, false},
	} {
		command := strings.Fields(row.command)
		got, ok := findTraining(slices.Clone(command))
		if ok != row.training {
			t.Errorf("%s: got training %v, want %v", row.command, ok, row.training)
			continue
		}
		want := command
		if row.added {
			want = append(want, auto)
		}
		if ok && !slices.Equal(got.command, want) {
			t.Errorf("%s: got %q, want %q", row.command, got.command, want)
		}
	}
}

func TestLaunchRefusesWhatMakesNoSense(t *testing.T) {
	for _, args := range [][]string{
		{"launch"}, {"launch", "--max-restarts", "-1", "--", "true"}, {"launch", "--hang-grace", "0s", "--", "true"},
		{"launch", "--backoff", "soon", "--", "true"},
	} {
		if r := bdloraWith("", args...); r.code != exitUsage {
			t.Errorf("%v: got exit code %d, want %d\n%s", args, r.code, exitUsage, r.stderr)
		}
	}
}
