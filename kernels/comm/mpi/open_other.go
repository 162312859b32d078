//go:build mpi && !linux && !darwin

package mpi

import (
	"errors"
	"runtime"

	"bdlora/kernels/comm"
)

var errSystem = errors.New("mpi: the system is " + runtime.GOOS + ", want linux or darwin")

// World is the group of all processes of a job. There is none on this system.
type World struct{ comm.Comm }

// Library is what carries the calls.
func (*World) Library() comm.Library { return comm.Library{} }

// Peers are the processes, in order.
func (*World) Peers() []comm.Peer { return nil }

// Find is an error on this system.
func Find(comm.Options) (comm.Library, error) { return comm.Library{}, errSystem }

// Open is an error on this system.
func Open(comm.Options) (*World, error) { return nil, errSystem }
