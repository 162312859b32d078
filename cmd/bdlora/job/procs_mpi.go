//go:build mpi

package job

import (
	"bdlora/kernels/comm"
	"bdlora/kernels/comm/mpi"
)

// openProcs joins the processes that a launcher has started.
func openProcs(options comm.Options) (joined, error) {
	world, err := mpi.Open(options)
	if err != nil {
		return nil, err // and not a nil *mpi.World
	}
	return world, nil
}

// findLibrary is the library that openProcs would take.
func findLibrary(options comm.Options) (comm.Library, error) { return mpi.Find(options) }
