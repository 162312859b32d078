package comm

import (
	"errors"
	"time"
)

// NewLocal is a group of goroutines in this process, each with its own end. Sums are
// taken in the order of the processes. Calls that differ between them are an error on
// all; a collective that one does not come to ends after [DefaultTimeout], or as soon
// as that one has called Abort or Close, with [PeerLost].
func NewLocal(procs int) []Comm { return NewLocalTimeout(procs, 0) }

// NewLocalTimeout is [NewLocal] with another time limit, 0 being DefaultTimeout.
func NewLocalTimeout(procs int, timeout time.Duration) []Comm {
	if timeout == 0 {
		timeout = DefaultTimeout
	}
	members := make([]int, procs)
	for proc := range members {
		members[proc] = proc
	}
	group := newLocalGroup(newLocalJob(procs, timeout), members)
	ends := make([]Comm, procs)
	for proc := range ends {
		ends[proc] = Over(&local{group, proc})
	}
	return ends
}

// local is one member's end of a group.
type local struct {
	group *localGroup
	proc  int
}

func (l *local) Proc() int          { return l.proc }
func (l *local) Procs() int         { return len(l.group.members) }
func (l *local) Do(call Call) error { return l.group.meet(l.proc, &localCall{Call: call}) }

func (l *local) Split(color, key int) (Engine, error) {
	call := &localCall{split: true, color: color, key: key}
	if err := l.group.meet(l.proc, call); err != nil {
		return nil, err
	}
	return call.part, nil
}

func (l *local) Abort(cause error) {
	if cause == nil {
		cause = errors.New("it has called Abort")
	}
	me := l.group.members[l.proc]
	l.group.fail(&PeerLost{Missing: []Peer{{Proc: me}}, Cause: cause})
}

func (l *local) Close() error {
	l.group.leave(l.group.members[l.proc])
	return nil
}

// localCall is a collective or, if it is one, a split.
type localCall struct {
	Call
	split      bool
	color, key int
	part       *local // of a split: the caller's end of its new group
}

func (c *localCall) String() string {
	if c.split {
		return "split"
	}
	return c.Call.String()
}

// carryOut makes one collective of the calls of all members.
func carryOut(calls []*localCall) {
	switch calls[0].Type {
	case Float32:
		collect[float32](calls)
	case Float64:
		collect[float64](calls)
	case Bytes:
		collect[byte](calls)
	}
}

func collect[T byte | float32 | float64](calls []*localCall) {
	dsts, srcs := make([][]T, len(calls)), make([][]T, len(calls))
	for proc, call := range calls {
		dsts[proc], _ = call.Dst.([]T)
		srcs[proc], _ = call.Src.([]T)
	}
	switch first := calls[0]; first.Kind {
	case AllReduce:
		result := reduce(first.Op, srcs)
		for _, dst := range dsts {
			copy(dst, result)
		}
	case ReduceScatter:
		result := reduce(first.Op, srcs)
		for proc, dst := range dsts {
			copy(dst, result[proc*len(dst):])
		}
	case AllGather:
		for _, dst := range dsts {
			for proc, src := range srcs {
				copy(dst[proc*len(src):], src)
			}
		}
	case Broadcast:
		for _, dst := range dsts {
			copy(dst, srcs[first.Root])
		}
	}
}

// reduce is the sum or maximum of the srcs, taken from the first to the last.
func reduce[T byte | float32 | float64](op Op, srcs [][]T) []T {
	result := append([]T(nil), srcs[0]...)
	for _, src := range srcs[1:] {
		for i, v := range src {
			if op == Max {
				result[i] = max(result[i], v)
			} else {
				result[i] += v
			}
		}
	}
	return result
}
