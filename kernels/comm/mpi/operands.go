//go:build mpi && (linux || darwin)

package mpi

import (
	"unsafe"

	"bdlora/kernels/comm"
)

// pieceBytes is how much of a result goes in one call of the library: beyond the
// processor's caches its temporary buffers cost more than the numbers do (64 MiB among
// two processes: 63 ms in one piece, 25 ms in pieces).
const pieceBytes = 4 << 20

// operands are those of a collective, as bytes.
type operands struct {
	dst, src []byte
	element  int // bytes of one
	datatype uintptr
}

// view is a buffer's bytes.
func view(buf any) []byte {
	switch b := buf.(type) {
	case []float32:
		return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(b))), 4*len(b))
	case []float64:
		return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(b))), 8*len(b))
	}
	return buf.([]byte)
}

// operands are those of a call.
func (e *engine) operands(call comm.Call) operands {
	return operands{view(call.Dst), view(call.Src), call.Type.Size(), e.lib.types[call.Type]}
}

// count is bytes as a number of elements.
func (o operands) count(bytes int) uintptr { return uintptr(bytes / o.element) }

// pieces calls each for the pieces of so many bytes, none longer than most.
func pieces(bytes, most int, each func(from, to int) error) error {
	for from := 0; from < bytes; from += most {
		if err := each(from, min(from+most, bytes)); err != nil {
			return err
		}
	}
	return nil
}

func (e *engine) allReduce(o operands, op uintptr) error {
	return pieces(len(o.dst), pieceBytes, func(from, to int) error {
		return e.lib.call(mpiAllreduce, e.lib.inPlace, uintptr(unsafe.Pointer(&o.dst[from])), o.count(to-from),
			o.datatype, op, e.handle)
	})
}

func (e *engine) broadcast(o operands, root int) error {
	return pieces(len(o.dst), pieceBytes, func(from, to int) error {
		return e.lib.call(mpiBcast, uintptr(unsafe.Pointer(&o.dst[from])), o.count(to-from),
			o.datatype, uintptr(root), e.handle)
	})
}

// share is the most bytes that one process brings to a piece, or takes from it.
func (e *engine) share(o operands) int {
	return max(pieceBytes/e.Procs()/o.element, 1) * o.element
}

// allGather gathers longer operands by way of a piece, where the parts of all processes
// lie side by side.
func (e *engine) allGather(o operands) error {
	gather := func(dst, src []byte) error {
		return e.lib.call(mpiAllgather, uintptr(unsafe.Pointer(&src[0])), o.count(len(src)), o.datatype,
			uintptr(unsafe.Pointer(&dst[0])), o.count(len(src)), o.datatype, e.handle)
	}
	each := len(o.src)
	if each > 0 && each <= e.share(o) {
		return gather(o.dst, o.src)
	}
	piece := make([]byte, min(each, e.share(o))*e.Procs())
	return pieces(each, e.share(o), func(from, to int) error {
		if err := gather(piece, o.src[from:to]); err != nil {
			return err
		}
		for proc := range e.members {
			copy(o.dst[proc*each+from:proc*each+to], piece[proc*(to-from):])
		}
		return nil
	})
}

// reduceScatter is the way of allGather backwards.
func (e *engine) reduceScatter(o operands) error {
	scatter := func(dst, src []byte) error {
		return e.lib.call(mpiReduceScatterBlock, uintptr(unsafe.Pointer(&src[0])), uintptr(unsafe.Pointer(&dst[0])),
			o.count(len(dst)), o.datatype, e.lib.ops[comm.Sum], e.handle)
	}
	each := len(o.dst)
	if each > 0 && each <= e.share(o) {
		return scatter(o.dst, o.src)
	}
	piece := make([]byte, min(each, e.share(o))*e.Procs())
	return pieces(each, e.share(o), func(from, to int) error {
		for proc := range e.members {
			copy(piece[proc*(to-from):(proc+1)*(to-from)], o.src[proc*each+from:])
		}
		return scatter(o.dst[from:to], piece)
	})
}
