//go:build !mpi

package job

import "bdlora/kernels/comm"

// openProcs is an error without MPI.
func openProcs(comm.Options) (joined, error) { return nil, ErrWithoutMPI }

// findLibrary is an error without MPI.
func findLibrary(comm.Options) (comm.Library, error) { return comm.Library{}, ErrWithoutMPI }
