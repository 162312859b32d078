package cpu

import (
	"fmt"
	"runtime"
	"slices"
	"unsafe"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"bdlora/kernels"
)

// Backend computes in float32 on the host's processors, over [kernels.F32] buffers.
// It keeps its threads and its scratch memory, which grows to what the largest call
// needs, until nobody refers to it any more.
type Backend struct {
	routines *routines
	threads  int
	pool     *pool
	shared   arena // of packed operands that all threads read
	angles   angles
	terms    int // of float32 operands on the matrix unit

	// What the call under way runs on, kept here so that it need not be allocated.
	segments     []segment
	tiledProduct tiled
	tallProduct  tall
	wideProduct  wide
	lanePacking  lanePacking
	rowLoop      rowLoop
	spans        []span
}

var _ kernels.Backend = (*Backend)(nil)

// New returns a backend that computes on threads threads, with the best code path
// that the processor has. 0 threads are as many as GOMAXPROCS.
func New(threads int) *Backend { return newBackend(threads, supported()[0]) }

// NewPath is [New] with one of [Paths] instead of the best, or with "emulated": what
// the matrix unit does, in plain Go, for tests.
//
// It returns an error that names them if path is another.
func NewPath(threads int, path string) (*Backend, error) {
	for _, r := range append(supported(), emulated()) {
		if r.path == path {
			return newBackend(threads, r), nil
		}
	}
	return nil, fmt.Errorf("cpu: code path is %q, want one of %q", path, Paths())
}

// Paths are the names of the code paths that this processor runs, best first, of
// "amx", "avx512", "avx2", "neon" and "generic".
func Paths() []string {
	var names []string
	for _, r := range supported() {
		names = append(names, r.path)
	}
	return names
}

func newBackend(threads int, r *routines) *Backend {
	if threads < 0 {
		panic(fmt.Sprintf("cpu: %d threads, want 0 or more", threads))
	}
	if threads == 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	b := &Backend{routines: r, threads: threads, pool: newPool(threads, r.pause), terms: mostTerms}
	runtime.AddCleanup(b, (*pool).close, b.pool)
	return b
}

// SetPrecision decides what products on the matrix unit make of float32 operands
// from now on; at first it is [kernels.PrecisionHighest]. It panics if p is none of
// [kernels.Precisions].
func (b *Backend) SetPrecision(p kernels.Precision) {
	i := slices.Index(kernels.Precisions(), p)
	if i < 0 {
		panic(fmt.Sprintf("cpu: precision is %q, want one of %q", p, kernels.Precisions()))
	}
	b.terms = mostTerms - i
}

// Name is "cpu".
func (*Backend) Name() string { return "cpu" }

// Path is the one of [Paths] that b computes with.
func (b *Backend) Path() string { return b.routines.path }

// Threads is the number of threads that b computes on.
func (b *Backend) Threads() int { return b.threads }

// Dtype is [tensor.Float32].
func (*Backend) Dtype() tensor.Dtype { return tensor.Float32 }

// Alloc returns n zeros.
func (*Backend) Alloc(n int) kernels.Buf { return make(kernels.F32, n) }

// Upload copies src into dst, which has as many elements.
func (*Backend) Upload(dst kernels.Buf, src []float32) {
	checkLen("Upload", "dst", dst.Len(), len(src))
	copy(floats(dst), src)
}

// Download copies src into dst, which has as many elements.
func (*Backend) Download(dst []float32, src kernels.Buf) {
	checkLen("Download", "dst", len(dst), src.Len())
	copy(dst, floats(src))
}

// Value is a [*tensor.Dense] of that shape over the numbers of b. Without a shape it
// is a [*G.F32], which is what Gorgonia takes for a scalar.
func (*Backend) Value(b kernels.Buf, shape ...int) G.Value {
	data := floats(b)
	checkLen("Value", "buffer", len(data), tensor.Shape(shape).TotalSize())
	if len(shape) == 0 {
		return (*G.F32)(&data[0])
	}
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(data))
}

// BufOf is the numbers of a row-major [*tensor.Dense] of float32, or the one of a
// [*G.F32]. It panics on other values: the numbers of a transposed or sliced tensor
// do not lie one after another.
func (*Backend) BufOf(v G.Value) kernels.Buf {
	switch v := v.(type) {
	case *G.F32:
		return kernels.F32(unsafe.Slice((*float32)(v), 1))
	case *tensor.Dense:
		if v.RequiresIterator() || v.DataOrder().IsColMajor() || v.Dtype() != tensor.Float32 {
			panic(fmt.Sprintf("cpu: BufOf: value is %v with shape %v and strides %v, want float32 and row-major",
				v.Dtype(), v.Shape(), v.Strides()))
		}
		return kernels.F32(v.Float32s())
	}
	panic(fmt.Sprintf("cpu: BufOf: value is a %T, want a *tensor.Dense or a *gorgonia.F32", v))
}

// inlineWork is the number of element operations below which waking threads costs
// more than they save.
const inlineWork = 1 << 15

// run runs the units of a kernel that does about work element operations in all.
func (b *Backend) run(work, units int, k kernel) {
	if work < inlineWork {
		b.pool.inline(units, k)
		return
	}
	b.pool.run(units, k)
}

// each is run for a function.
func (b *Backend) each(work, units int, run func(w *worker, unit int)) {
	b.run(work, units, unitFunc(run))
}
