//go:build mpi && (linux || darwin)

package mpi

import (
	"fmt"
	"unsafe"

	"bdlora/kernels/comm"
)

// engine is a process's end of a communicator.
type engine struct {
	*job
	handle  uintptr
	group   group
	proc    int
	members []int // places in the job
	splits  int
}

// newEngine asks a communicator for its group. Its errors come back to us from then on.
func newEngine(j *job, handle uintptr, id group) (*engine, error) {
	var proc, procs int32
	if err := j.lib.call(mpiCommSetErrhandler, handle, j.lib.errorsReturn); err != nil {
		return nil, err
	}
	if err := j.lib.call(mpiCommRank, handle, uintptr(unsafe.Pointer(&proc))); err != nil {
		return nil, err
	}
	if err := j.lib.call(mpiCommSize, handle, uintptr(unsafe.Pointer(&procs))); err != nil {
		return nil, err
	}
	return &engine{job: j, handle: handle, group: id, proc: int(proc), members: make([]int, procs)}, nil
}

func (e *engine) Proc() int  { return e.proc }
func (e *engine) Procs() int { return len(e.members) }

func (e *engine) Do(call comm.Call) error {
	e.watch.begin(e.group, e.members, call)
	defer e.watch.end()
	if e.compare {
		if err := e.expectSame(call); err != nil {
			return err
		}
	}
	switch call.Kind {
	case comm.AllReduce:
		return e.allReduce(e.operands(call), e.lib.ops[call.Op])
	case comm.AllGather:
		return e.allGather(e.operands(call))
	case comm.ReduceScatter:
		return e.reduceScatter(e.operands(call))
	case comm.Broadcast:
		return e.broadcast(e.operands(call), call.Root)
	default:
		return e.lib.call(mpiBarrier, e.handle)
	}
}

// Split also tells the members each other's places in the job, for the watchdog.
func (e *engine) Split(color, key int) (comm.Engine, error) {
	e.watch.begin(e.group, e.members, step("split"))
	defer e.watch.end()
	e.splits++
	var handle uintptr
	err := e.lib.call(mpiCommSplit, e.handle, uintptr(color), uintptr(key), uintptr(unsafe.Pointer(&handle)))
	if err != nil {
		return nil, err
	}
	part, err := newEngine(e.job, handle, e.group.part(e.splits, color))
	if err != nil {
		return nil, err
	}
	places := make([]float64, len(part.members))
	call := comm.Call{Type: comm.Float64, Dst: places, Src: []float64{float64(e.members[e.proc])}}
	if err := part.allGather(e.operands(call)); err != nil {
		return nil, err
	}
	for i, place := range places {
		part.members[i] = int(place)
	}
	return part, nil
}

// expectSame compares the processes' calls, by what tells them apart. What Fits compares
// is in it.
func (e *engine) expectSame(call comm.Call) error {
	opAndType := 4*int(call.Op) + int(call.Type)
	mine := []float64{float64(call.Kind), float64(opAndType), float64(call.Root), float64(call.Len)}
	all := make([]float64, len(mine)*e.Procs())
	if err := e.allGather(e.operands(comm.Call{Type: comm.Float64, Dst: all, Src: mine})); err != nil {
		return err
	}
	decode := func(proc int) comm.Call {
		c := all[proc*len(mine):]
		return comm.Call{Kind: comm.Collective(c[0]), Op: comm.Op(int(c[1]) / 4), Type: comm.Type(int(c[1]) % 4),
			Root: int(c[2]), Len: int(c[3])}
	}
	for proc := range e.members {
		if first, other := decode(0), decode(proc); !other.Fits(first) {
			return fmt.Errorf("mpi: calls differ: process %d makes %s, process %d %s",
				e.members[0], first, e.members[proc], other)
		}
	}
	return nil
}

// exitFailed is what the processes end with after Abort.
const exitFailed = 1

// Abort lets the launcher end all processes, this one included; who calls it has said
// why.
func (e *engine) Abort(error) { e.lib.call(mpiAbort, e.handle, exitFailed) }
