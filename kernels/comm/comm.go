// Package comm is how processes that compute one thing together exchange numbers: the
// collectives of a tensor-parallel and data-parallel run, and a [Ledger] of what they
// cost.
package comm

import (
	"errors"
	"fmt"
	"strings"
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

// ErrPeerLost is the error of a collective that not all processes have come to in time.
// [PeerLost] says which.
var ErrPeerLost = errors.New("a process is lost")

// PeerLost names the processes that did not come to a collective.
type PeerLost struct {
	Missing []Peer // empty if nobody can tell
	Call    string // which collective: "all-reduce 1,204 of 65,536 bytes"
	Waited  time.Duration
}

// Error names the call and who is missing.
func (e *PeerLost) Error() string {
	missing := make([]string, len(e.Missing))
	for i, p := range e.Missing {
		missing[i] = p.String()
	}
	who := strings.Join(missing, ", ")
	if who == "" {
		who = "a process, nobody knows which"
	}
	return fmt.Sprintf("comm: %s: waited %s for %s: %v", e.Call, e.Waited.Round(time.Second), who, ErrPeerLost)
}

// Unwrap makes it an [ErrPeerLost].
func (e *PeerLost) Unwrap() error { return ErrPeerLost }

// Peer is a process as people know it.
type Peer struct {
	Proc int
	Host string
	PID  int
}

// String is "process 2 (pid 4711 on node7)".
func (p Peer) String() string { return fmt.Sprintf("process %d (pid %d on %s)", p.Proc, p.PID, p.Host) }
