package kernelstest

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"testing"

	"bdlora/kernels"
	"bdlora/kernels/ref"
)

// lab is what a kernel is tried in.
type lab struct {
	be        kernels.Backend // under test
	again     kernels.Backend // gives the same bits
	oracle    kernels.Backend // in float64; nil if nobody knows better
	tolerance float64         // of be's results, compared with the oracle's
	terms     float64         // the terms of a sum add up to so much, cancelled or not; 0 for few sums
}

// newLab compares be with itself and with the float64 reference.
func newLab(be kernels.Backend, tolerance float64) lab {
	return lab{be: be, again: be, oracle: ref.New[float64](), tolerance: tolerance}
}

// kernel is a call of the method under test on views of its operands. It returns
// what the method returns, or 0.
type kernel func(be kernels.Backend, m []kernels.Matrix) float64

// role is what a kernel may do to an operand.
type role uint8

const (
	source    role = iota // reads it
	updated               // reads and writes it
	overwrote             // writes it without having read it
)

// operand is a matrix, or a vector as a matrix of one row, that is a view into a
// larger buffer: on all sides of it lie numbers that are none of the kernel's
// business.
type operand struct {
	name string
	role role
	host []float32 // the whole buffer's first contents
	view func(kernels.Buf) kernels.Matrix
}

// layout is how an operand lies in its buffer.
type layout uint8

const (
	packed     layout = iota // row after row, with something before and after
	strided                  // with gaps between the rows
	transposed               // column after column, with gaps between them
)

func (l layout) String() string { return [...]string{"packed", "strided", "transposed"}[l] }

// newOperand returns a [rows, cols] operand of normally distributed numbers, or of
// NaN if the kernel is to overwrite it. The numbers depend on nothing but the
// operand's name and shape.
func newOperand(name string, role role, rows, cols int, l layout) operand {
	o := operand{name: fmt.Sprintf("%s [%d, %d] %v", name, rows, cols, l), role: role}
	switch l {
	case packed:
		o.host = make([]float32, rows*cols+7)
		o.view = func(b kernels.Buf) kernels.Matrix {
			return kernels.NewMatrix(b.Slice(3, 3+rows*cols), rows, cols)
		}
	case strided:
		o.host = make([]float32, (rows+2)*(cols+5))
		o.view = func(b kernels.Buf) kernels.Matrix {
			return kernels.NewMatrix(b, rows+2, cols+5).RowRange(1, rows+1).ColRange(3, cols+3)
		}
	case transposed:
		o.host = make([]float32, (cols+2)*(rows+5))
		o.view = func(b kernels.Buf) kernels.Matrix {
			return kernels.NewMatrix(b, cols+2, rows+5).T().RowRange(3, rows+3).ColRange(1, cols+1)
		}
	}
	rng := newRand(o.name)
	for i := range o.host {
		o.host[i] = float32(rng.NormFloat64())
	}
	if role == overwrote {
		o.fill(func(int, float32) float32 { return float32(math.NaN()) })
	}
	return o
}

func vector(name string, role role, n int) operand { return newOperand(name, role, 1, n, packed) }

// fill sets each element of the view, counted row by row, to f of what it is.
func (o operand) fill(f func(i int, old float32) float32) operand {
	m := o.view(kernels.F32(o.host))
	for i, at := range offsets(m) {
		x := &m.Buf.(kernels.F32)[at]
		*x = f(i, *x)
	}
	return o
}

// with sets the view to values, row by row.
func (o operand) with(values []float64) operand {
	return o.fill(func(i int, _ float32) float32 { return float32(values[i]) })
}

// values are the view's, row by row.
func (o operand) values() []float32 {
	return gather[float32](o.view(kernels.F32(o.host)))
}

// offsets are where the elements of m lie in its buffer, row by row.
func offsets(m kernels.Matrix) []int {
	at := make([]int, 0, m.Rows*m.Cols)
	for i := range m.Rows {
		for j := range m.Cols {
			if m.Trans {
				at = append(at, j*m.Stride+i)
			} else {
				at = append(at, i*m.Stride+j)
			}
		}
	}
	return at
}

// gather copies the elements of m, row by row, out of host memory.
func gather[T float32 | float64](m kernels.Matrix) []T {
	x := make([]T, 0, m.Rows*m.Cols)
	for _, at := range offsets(m) {
		switch b := m.Buf.(type) {
		case kernels.F32:
			x = append(x, T(b[at]))
		case kernels.F64:
			x = append(x, T(b[at]))
		}
	}
	return x
}

// try runs the kernel on the operands and checks all that must hold of any kernel:
// the oracle's results, the same bits again, and nothing else touched.
func (l lab) try(t testing.TB, operands []operand, run kernel) {
	t.Helper()
	got, value := runOn(l.be, operands, run)
	again, valueAgain := runOn(l.again, operands, run)
	if math.Float64bits(value) != math.Float64bits(valueAgain) {
		t.Fatalf("returned %g, then %g: want the same bits", value, valueAgain)
	}
	for i, o := range operands {
		sameBits(t, o.name+" of a second run: ", download(l.again, again[i]), download(l.be, got[i]))
		l.checkUntouched(t, o, download(l.be, got[i]))
	}
	if l.oracle == nil {
		return
	}
	want, wantValue := runOn(l.oracle, operands, run)
	closeNamed(t, "returned value: ", []float64{value}, []float64{wantValue}, l.tolerance, 0)
	for i, o := range operands {
		if o.role != source {
			g := gather[float64](o.view(kernels.F64(numbers(l.be, got[i]))))
			closeScaled(t, o.name+": ", g, gather[float64](o.view(want[i])), l.tolerance, l.terms)
		}
	}
}

// checkUntouched fails if anything but the view of a destination has changed.
func (l lab) checkUntouched(t testing.TB, o operand, got []float32) {
	t.Helper()
	if o.role != source {
		after := operand{host: got, view: o.view}
		old := o.values()
		after.fill(func(i int, _ float32) float32 { return old[i] })
	}
	sameBits(t, o.name+" and around it, where nothing may be written: ", got, o.host)
}

// runOn uploads fresh operands and runs the kernel on their views.
func runOn(be kernels.Backend, operands []operand, run kernel) ([]kernels.Buf, float64) {
	bufs, views := make([]kernels.Buf, len(operands)), make([]kernels.Matrix, len(operands))
	for i, o := range operands {
		bufs[i] = be.Alloc(len(o.host))
		be.Upload(bufs[i], o.host)
		views[i] = o.view(bufs[i])
	}
	return bufs, run(be, views)
}

func download(be kernels.Backend, b kernels.Buf) []float32 {
	host := make([]float32, b.Len())
	be.Download(host, b)
	return host
}

func sameBits(t testing.TB, name string, got, want []float32) {
	t.Helper()
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			t.Fatalf("%selement %d of %d: got %g (%#08x), want %g (%#08x)", name, i, len(want),
				got[i], math.Float32bits(got[i]), want[i], math.Float32bits(want[i]))
		}
	}
}

// newRand is a source that depends on seed alone.
func newRand(seed string) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(seed))
	return rand.New(rand.NewPCG(h.Sum64(), 1))
}

// normals are n normally distributed numbers that depend on the seed alone.
func normals(seed string, n int) []float64 {
	rng, x := newRand(seed), make([]float64, n)
	for i := range x {
		x[i] = rng.NormFloat64()
	}
	return x
}
