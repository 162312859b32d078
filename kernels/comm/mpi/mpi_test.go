//go:build mpi && (linux || darwin)

package mpi_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"bdlora/kernels/comm"
	"bdlora/kernels/comm/commtest"
	"bdlora/kernels/comm/mpi"
)

// inside tells a test that a launcher has started this process: it is the comm.Launcher
// and the number of processes.
const inside = "BDLORA_TEST_INSIDE"

// require makes it an error that a launcher is not there.
const require = "BDLORA_REQUIRE_MPI"

// launcher is a family of programs that start processes.
type launcher struct {
	name     string
	kind     comm.Launcher
	versions []string // words in what --version prints
	programs []string
	args     []string
}

var launchers = []launcher{
	{"openmpi", comm.OpenMPI, []string{"Open MPI", "OpenRTE", "PRTE"}, []string{"mpirun", "mpirun.openmpi"},
		[]string{"--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "--mca", "mpi_yield_when_idle", "1"}},
	{"mpich", comm.MPICH, []string{"HYDRA"}, []string{"mpirun", "mpirun.mpich", "mpiexec.hydra"}, nil},
}

// program is the first of the launcher's programs that is there.
func (l launcher) program(t *testing.T) string {
	t.Helper()
	for _, program := range l.programs {
		version, err := exec.Command(program, "--version").Output()
		if err == nil && slices.ContainsFunc(l.versions, func(v string) bool { return bytes.Contains(version, []byte(v)) }) {
			return program
		}
	}
	reason := fmt.Sprintf("no launcher of %s on this machine, of %q", l.name, l.programs)
	if os.Getenv(require) != "" {
		t.Fatal(reason)
	}
	t.Skip(reason)
	return ""
}

// launch runs this test in so many processes and returns what they print, and the exit
// code of the launcher.
func (l launcher) launch(t *testing.T, procs int, env ...string) (output string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	name, _, _ := strings.Cut(t.Name(), "/")
	args := append(slices.Clone(l.args), "-n", strconv.Itoa(procs), os.Args[0], "-test.run=^"+name+"$", "-test.timeout=90s")
	if testing.Short() {
		args = append(args, "-test.short")
	}
	cmd := exec.CommandContext(ctx, l.program(t), args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // for it to end what it has started
	cmd.WaitDelay = margin
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %d", inside, l.kind, procs))
	cmd.Env = append(cmd.Env, env...)
	text, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(text), cmd.ProcessState.ExitCode()
}

// says reports whether a launcher's exit code is that of a process which has ended with
// want. MPICH's may be that of a process which it has killed then.
func (l launcher) says(code, want int) bool { return code == want || l.kind == comm.MPICH && code == 9 }

// each runs body for every launcher that there is; in short runs with the first number
// of processes alone.
func each(t *testing.T, procs []int, body func(t *testing.T, l launcher, procs int)) {
	if testing.Short() {
		procs = procs[:1]
	}
	for _, l := range launchers {
		for _, n := range procs {
			t.Run(fmt.Sprintf("launcher=%s/procs=%d", l.name, n), func(t *testing.T) { body(t, l, n) })
		}
	}
}

// started is what a launcher has started this process with; not ok outside of one.
func started(t *testing.T) (options comm.Options, ok bool) {
	text, ok := os.LookupEnv(inside)
	if !ok {
		return options, false
	}
	if _, err := fmt.Sscan(text, &options.Launcher, &options.Procs); err != nil {
		t.Fatal(err)
	}
	options.Lost = func(err error) {
		fmt.Println(err)
		os.Exit(exitLost)
	}
	return options, true
}

// exitLost is what a process that gives up on another ends with, in these tests.
const exitLost = 75

// expectIn checks for words in what processes have printed.
func expectIn(t *testing.T, output string, words ...string) {
	t.Helper()
	for _, want := range words {
		if !strings.Contains(output, want) {
			t.Errorf("want %q in\n%s", want, output)
		}
	}
}

func TestMPIPassesTheSuite(t *testing.T) {
	if options, ok := started(t); ok {
		world, err := mpi.Open(options)
		if err != nil {
			t.Fatal(err)
		}
		commtest.Suite(t, world)
		if err := world.Close(); err != nil {
			t.Error(err)
		}
		return
	}
	each(t, []int{2, 3, 4}, func(t *testing.T, l launcher, procs int) {
		if output, code := l.launch(t, procs); code != 0 || strings.Count(output, "PASS") != procs {
			t.Errorf("exit code %d, want 0 and %d times PASS\n%s", code, procs, output)
		}
	})
}
