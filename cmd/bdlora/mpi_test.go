//go:build mpi

package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bdlora/bdlora"
	"bdlora/cmd/bdlora/job"
)

// mpirun runs bdlora in so many processes behind Open MPI's launcher.
func mpirun(t *testing.T, procs string, args ...string) result {
	t.Helper()
	if version, err := exec.Command("mpirun", "--version").Output(); err != nil || !strings.Contains(string(version), "Open MPI") {
		const reason = "mpirun is not Open MPI's on this machine"
		if os.Getenv("BDLORA_REQUIRE_MPI") != "" {
			t.Fatal(reason)
		}
		t.Skip(reason)
	}
	command := append([]string{"--allow-run-as-root", "--oversubscribe", "--bind-to", "none",
		"--mca", "mpi_yield_when_idle", "1", "-n", procs, os.Args[0]}, args...)
	cmd := exec.CommandContext(t.Context(), "mpirun", command...)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr, cmd.Env = &out, &errs, append(os.Environ(), asProgram+"=1")
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
}

func TestDistCheckShowsTheProcesses(t *testing.T) {
	r := mpirun(t, "2", "dist", "check", "--tensor_parallel_size", "2", "--library", "libmpi.so.40")
	if r.code != exitDone && !strings.Contains(r.stdout, "threads on") { // a machine of one core
		t.Errorf("exit code %d, want %d\n%s", r.code, exitDone, r.stderr)
	}
	expectIn(t, r.stdout, "launcher: Open MPI's mpirun", "library: libmpi.so.40: Open MPI v", "(?m)^1 +0 +1 ", "all-reduce of 4 KiB: .*, the same bits on all processes")
}

func TestDistCheckSaysWhatIsWrongOnce(t *testing.T) {
	r := mpirun(t, "2", "dist", "check", "--tensor_parallel_size", "2", "--data_parallel_size", "3")
	expectIn(t, r.stdout, "problem: the grid of 2 shards × 3 replicas has 6 places, the job 2 processes", "hint: start as many: mpirun -n 6")
	if n := strings.Count(r.stderr, "bdlora: dist check: "); r.code != exitFailed || n != 1 {
		t.Errorf("exit code %d, %d times what is wrong; want %d, and once\n%s", r.code, n, exitFailed, r.stderr)
	}
	r = mpirun(t, "2", "dist", "check", "--library", "/nowhere/libmpi.so")
	expectIn(t, r.stderr, "mpi: no library, want one of /nowhere/libmpi.so", "hint: on Debian")
	if n := strings.Count(r.stderr, "bdlora: "); r.code != exitFailed || n != 1 {
		t.Errorf("without a library: exit code %d, %d errors; want %d, and one\n%s", r.code, n, exitFailed, r.stderr)
	}
}

func TestAWorldOfAnotherSizeIsRefused(t *testing.T) {
	_, err := openWorld(2, time.Minute, "", os.Stderr)
	if !errors.Is(err, job.ErrOtherSize) || hintFor(err) == "" {
		t.Errorf("got %v, want that it is 1 process and not 2, with a hint", err)
	}
}

// Law: processes over MPI verify what goroutines do, and say once what is wrong.
func TestProcessesVerifyShards(t *testing.T) {
	dir := adapterOf(t)
	r := mpirun(t, "2", "verify", "--adapter", dir, "--train", "--threads", "1")
	if r.code != exitDone {
		t.Errorf("exit code %d, want %d\n%s", r.code, exitDone, r.stderr)
	}
	expectIn(t, r.stdout, "through 2 with their shards each read alone from", `adapter +any +0 +0`)
	if n := strings.Count(r.stdout, "tokens through"); n != 1 {
		t.Errorf("got %d reports, want 1", n)
	}
	r = mpirun(t, "2", "verify", "--adapter", dir, "--tolerance", "1e-12")
	if n := strings.Count(r.stderr, "want at most 1e-12"); r.code != exitFailed || n != 1 {
		t.Errorf("exit code %d, %d times what is wrong; want %d, and once\n%s", r.code, n, exitFailed, r.stderr)
	}
	if err := os.Remove(filepath.Join(bdlora.ShardsPath(dir, 4), bdlora.ShardName(3, 4))); err != nil {
		t.Fatal(err)
	}
	r = mpirun(t, "2", "verify", "--adapter", dir)
	expectIn(t, r.stderr, `shard-3-of-4\.safetensors`)
	if r.code == exitDone {
		t.Error("got success without a shard")
	}
}
