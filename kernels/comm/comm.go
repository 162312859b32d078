// Package comm is how processes that compute one thing together exchange numbers: the
// collectives of a tensor-parallel and data-parallel run, and a [Ledger] of what they
// cost.
package comm

import (
	"errors"
	"time"
)

// Comm is one process's end of a group of processes, or of goroutines that stand for
// some ([NewLocal]).
//
// All processes of a group call the same collectives in the same order, with buffers of
// the same length and the same Op and root; a group whose processes do not is broken,
// and the error says where they differ if the implementation can tell. A buffer is a
// []float32, a []float64 or a []byte, the last without AllReduce and ReduceScatter. The
// results of a reduction are the same bits on every process, and the same each time.
// Nothing is exchanged, and nothing counted, in a group of one.
//
// A Comm is used by one goroutine at a time, and so are all that were split from one
// another: their calls have an order too.
type Comm interface {
	// Proc is this process's place in the group, from 0 to Procs-1.
	Proc() int
	// Procs is the number of processes in the group.
	Procs() int

	// AllReduce replaces buf by the sum, or what op says, of all processes' bufs.
	AllReduce(why Purpose, op Op, buf any) error
	// AllGather sets dst to the srcs of all processes, one after another: dst is
	// Procs times as long as src.
	AllGather(why Purpose, dst, src any) error
	// ReduceScatter sets dst to this process's part of the sum of all srcs, the inverse
	// of AllGather: src is Procs times as long as dst.
	ReduceScatter(why Purpose, dst, src any) error
	// Broadcast replaces buf by that of the process root.
	Broadcast(why Purpose, buf any, root int) error
	// Barrier returns when all processes have called it.
	Barrier() error
	// Split makes a group of the processes that name the same color, in the order of
	// their keys. It shares c's Ledger.
	Split(color, key int) (Comm, error)

	// Ledger is what this process has exchanged since it began, in all groups.
	Ledger() *Ledger
	// Abort ends the group without waiting for the others, whose calls then fail or
	// whose processes end.
	Abort(cause error)
	// Close leaves the group once all its processes do. Only what no Split has made is
	// closed.
	Close() error
}

// Op is how numbers are reduced.
type Op uint8

// The reductions.
const (
	Sum Op = iota
	Max
)

// String is "sum" or "max".
func (o Op) String() string { return [...]string{"sum", "max"}[o] }

// DefaultTimeout is how long a collective may take where nothing else is said.
const DefaultTimeout = 5 * time.Minute

// Options is how a group of processes is opened.
type Options struct {
	// Library is the file of the library to load; empty tries those that are known.
	Library string
	// Launcher is whose processes these are, if that is known: its library is tried
	// first.
	Launcher Launcher
	// Procs is how many processes the launcher has started; 0 if it does not say.
	Procs int
	// Timeout is how long a collective may take; 0 is DefaultTimeout.
	Timeout time.Duration
	// Compare lets the processes compare their calls before they make them, for one more
	// exchange of 32 bytes a call: calls that differ are then an error, not corruption.
	Compare bool
	// Lost is told, from another goroutine, when a collective has not ended in time and
	// cannot be taken back: the process has to end. It gets a [PeerLost].
	Lost func(error)
}

// Launcher is a family of programs that start processes.
type Launcher uint8

// The launchers.
const (
	AnyLauncher Launcher = iota
	OpenMPI
	MPICH // and those of its family: Intel's, MVAPICH, Cray's
)

// Library is what carries the calls between processes.
type Library struct {
	File    string // as it was loaded
	ABI     string // which of several values for the same functions it has
	Version string // what it calls itself
}

// What can be wrong with the library.
var (
	// ErrNoLibrary is that there is none to load.
	ErrNoLibrary = errors.New("no library")
	// ErrOtherLauncher is that the library sees another number of processes than the
	// launcher has started: each would compute alone.
	ErrOtherLauncher = errors.New("the library is not the launcher's")
)
