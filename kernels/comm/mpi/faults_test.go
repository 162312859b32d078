//go:build mpi && (linux || darwin)

package mpi_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"bdlora/kernels/comm"
	"bdlora/kernels/comm/mpi"
)

// limit is the time that a collective may take in tests of what happens when it takes
// longer: long enough for a busy machine to say a word in an eighth of it. A job that
// has lost a process ends then; margin is what a launcher may take besides.
const (
	limit  = 3 * time.Second
	margin = 20 * time.Second
)

// watched joins the processes with that limit.
func watched(t *testing.T, options comm.Options) comm.Comm {
	t.Helper()
	options.Timeout = limit
	world, err := mpi.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	return world
}

// exchange is steps of a run, until one does not end.
func exchange(t *testing.T, group comm.Comm, steps int) {
	t.Helper()
	for range steps {
		if err := group.AllReduce(comm.Base, comm.Sum, make([]float32, 1000)); err != nil {
			t.Fatal(err)
		}
	}
}

// expectGivenUp checks that the processes have ended in time, naming number 1, and
// whether it was silent.
func expectGivenUp(silent bool) func(t *testing.T, l launcher, procs int) {
	return func(t *testing.T, l launcher, procs int) {
		t.Helper()
		began := time.Now()
		output, code := l.launch(t, procs)
		if took := time.Since(began); !l.says(code, exitLost) || took > limit+margin {
			t.Errorf("exit code %d after %v, want %d within %v", code, took, exitLost, limit+margin)
		}
		expectIn(t, output, "all-reduce (sum) of 1000 float32: a process is lost", "for process 1 (pid ")
		for _, other := range []string{"for process 0", "for process 2", "for process 3", ", process"} {
			if strings.Contains(output, other) {
				t.Errorf("want nobody but process 1 named in\n%s", output)
			}
		}
		if strings.Contains(output, "), silent for ") != silent {
			t.Errorf("want it silent: %v, in\n%s", silent, output)
		}
	}
}

func TestAStoppedProcessIsNamed(t *testing.T) {
	if options, ok := started(t); ok {
		world := watched(t, options)
		exchange(t, world, 10)
		for world.Proc() == 1 {
			syscall.Kill(os.Getpid(), syscall.SIGSTOP) // again, if a launcher that has just begun lets it go on
		}
		exchange(t, world, 10)
		return
	}
	each(t, []int{4}, expectGivenUp(true))
}

func TestALoopingProcessIsNamed(t *testing.T) {
	if options, ok := started(t); ok {
		world := watched(t, options)
		exchange(t, world, 10)
		for world.Proc() == 1 {
		}
		exchange(t, world, 10)
		return
	}
	each(t, []int{4}, expectGivenUp(false))
}

// In a grid some processes wait for those that wait for the one that does not come.
func TestAProcessThatOthersWaitForInTurnIsNotNamed(t *testing.T) {
	if options, ok := started(t); ok {
		world := watched(t, options)
		row, err := world.Split(world.Proc()/2, world.Proc())
		if err != nil {
			t.Fatal(err)
		}
		for world.Proc() == 1 {
		}
		if world.Proc() >= 2 {
			exchange(t, row, 10)
		}
		exchange(t, row, 1) // process 0 waits here for 1, and for 0 the others in the next one
		exchange(t, world, 1)
		return
	}
	each(t, []int{4}, expectGivenUp(false))
}

// .ci/cutlink starts this one, on two hosts, and takes the link between them away.
func TestACutLinkIsNamed(t *testing.T) {
	options, ok := started(t)
	if !ok {
		t.Skip("wants a link to cut: bash .ci/cutlink")
	}
	world := watched(t, options)
	fmt.Println("joined")
	exchange(t, world, 1<<40)
}

// A scheduler stops a whole job for a while, and lets it go on.
func TestASuspendedJobGoesOn(t *testing.T) {
	if options, ok := started(t); ok {
		world := watched(t, options)
		exchange(t, world, 10)
		if world.Proc() == 1 {
			suspend(t, world.(*mpi.World).Peers(), limit+time.Second)
		}
		exchange(t, world, 10)
		if err := world.Close(); err != nil {
			t.Error(err)
		}
		return
	}
	each(t, []int{2}, func(t *testing.T, l launcher, procs int) {
		if output, code := l.launch(t, procs); code != 0 {
			t.Errorf("exit code %d, want 0: nobody is lost\n%s", code, output)
		}
	})
}

// suspend stops processes for so long, this one among them.
func suspend(t *testing.T, peers []comm.Peer, pause time.Duration) {
	t.Helper()
	var pids string
	for _, p := range peers {
		pids += fmt.Sprintf(" %d", p.PID)
	}
	script := fmt.Sprintf("kill -STOP%s; sleep %g; kill -CONT%s", pids, pause.Seconds(), pids)
	if err := exec.Command("sh", "-c", script).Run(); err != nil {
		t.Fatal(err)
	}
}

func TestAShortTimeLimitIsKept(t *testing.T) {
	if options, ok := started(t); ok {
		options.Timeout = 1
		_, err := mpi.Open(options)
		t.Fatal(err) // where the watchdog has not ended the process before
	}
	each(t, []int{2}, func(t *testing.T, l launcher, procs int) {
		output, _ := l.launch(t, procs)
		expectIn(t, output, "start: a process is lost")
	})
}

func TestASilentProcess0IsNamed(t *testing.T) {
	if options, ok := started(t); ok {
		world := watched(t, options)
		exchange(t, world, 1)
		for world.Proc() == 0 {
			syscall.Kill(os.Getpid(), syscall.SIGSTOP)
		}
		exchange(t, world, 1)
		return
	}
	each(t, []int{2}, func(t *testing.T, l launcher, procs int) {
		output, code := l.launch(t, procs)
		if !l.says(code, exitLost) {
			t.Errorf("exit code %d, want %d", code, exitLost)
		}
		expectIn(t, output, "for process 0 (pid ")
	})
}

func TestTheLibraryOfAnotherLauncherIsRefused(t *testing.T) {
	if options, ok := started(t); ok {
		options.Launcher = comm.OpenMPI + comm.MPICH - options.Launcher
		if _, err := mpi.Open(options); err != nil {
			t.Fatal(err)
		}
		return
	}
	for _, l := range launchers {
		l.program(t) // both are there
	}
	each(t, []int{2}, func(t *testing.T, l launcher, procs int) {
		output, code := l.launch(t, procs)
		if code == 0 {
			t.Error("exit code 0, want an error")
		}
		expectIn(t, output, "number of processes is 1, want the 2 that were started: the library is not the launcher's")
	})
}

func TestCallsThatDifferAreAnErrorWhereTheyAreCompared(t *testing.T) {
	if options, ok := started(t); ok {
		options.Compare = true
		world := watched(t, options)
		if err := world.AllReduce(comm.Base, comm.Sum, make([]float32, 10+world.Proc())); err != nil {
			t.Fatal(err)
		}
		return
	}
	each(t, []int{2}, func(t *testing.T, l launcher, procs int) {
		output, code := l.launch(t, procs)
		if code == 0 {
			t.Error("exit code 0, want an error")
		}
		expectIn(t, output, "process 0 makes all-reduce (sum) of 10 float32, process 1 all-reduce (sum) of 11 float32")
	})
}

func TestAbortEndsAllProcesses(t *testing.T) {
	if options, ok := started(t); ok {
		world := watched(t, options)
		if world.Proc() == 1 {
			world.Abort(nil)
		}
		exchange(t, world, 1)
		return
	}
	each(t, []int{2}, func(t *testing.T, l launcher, procs int) {
		if output, code := l.launch(t, procs); code == 0 || l.says(code, exitLost) {
			t.Errorf("exit code %d, want another error, and before the watchdog bites\n%s", code, output)
		}
	})
}

func TestWithoutALibraryTheErrorNamesTheFiles(t *testing.T) {
	const file = "/nowhere/libmpi.so"
	_, err := mpi.Open(comm.Options{Library: file, Lost: func(error) {}})
	if !errors.Is(err, comm.ErrNoLibrary) || !strings.Contains(err.Error(), file) {
		t.Errorf("got %v, want %s in it", err, file)
	}
	if _, err := mpi.Open(comm.Options{}); err == nil || !strings.Contains(err.Error(), "Lost") {
		t.Errorf("without Lost: got %v", err)
	}
	libc := "libc.so.6"
	if _, err := mpi.Find(comm.Options{Library: libc}); err == nil || !strings.Contains(err.Error(), "MPI_Init_thread") {
		t.Errorf("%s: got %v, want what it lacks", libc, err)
	}
}
