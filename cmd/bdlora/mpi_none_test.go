//go:build !mpi

package main

import "testing"

func TestManyProcessesWithoutMPIAreAClearError(t *testing.T) {
	r := bdloraWith("", "dist", "check")
	if r.code != exitFailed {
		t.Errorf("exit code %d, want %d", r.code, exitFailed)
	}
	expectIn(t, r.stdout, "launcher: none", "problem: this bdlora is built without MPI", "hint: go install -tags mpi")
	t.Setenv("OMPI_COMM_WORLD_SIZE", "2")
	t.Setenv("OMPI_COMM_WORLD_RANK", "0")
	r = bdloraWith("", "dist", "check")
	if r.code != exitFailed {
		t.Errorf("behind a launcher: exit code %d, want %d", r.code, exitFailed)
	}
	expectIn(t, r.stderr, "built without MPI", "hint: go install -tags mpi")
}
