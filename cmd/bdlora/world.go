package main

import (
	"cmp"
	"io"
	"os"
	"time"

	"bdlora/cmd/bdlora/job"
)

// mpiLibraryVariable names the MPI library to load, where no flag does.
const mpiLibraryVariable = "BDLORA_MPI_LIB"

// mpiLibrary is file, or what the environment names without one.
func mpiLibrary(file string) string { return cmp.Or(file, os.Getenv(mpiLibraryVariable)) }

// here is where a launcher has put this process.
func here() job.Place { return job.PlaceFrom(os.Getenv) }

// openWorld joins the processes that the launcher has started, of which there have to
// be procs, or is this process alone if that is 1. A collective that lasts longer than
// timeout ends the process with exitLost, after it has said on stderr who is missing.
func openWorld(procs int, timeout time.Duration, library string, stderr io.Writer) (*job.World, error) {
	return here().Join(procs, job.Options{
		Library: mpiLibrary(library), Timeout: timeout,
		Lost: func(err error) {
			report(stderr, err)
			os.Exit(exitLost)
		},
	})
}
