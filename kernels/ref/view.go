package ref

import (
	"fmt"

	"bdlora/kernels"
)

// bufOf is s as a buffer; floatsOf is the inverse.
func bufOf[T Float](s []T) kernels.Buf {
	if s, ok := any(s).([]float32); ok {
		return kernels.F32(s)
	}
	return kernels.F64(any(s).([]float64))
}

// floatsOf panics if b holds another type than T. No buffer has no numbers: the
// views of empty matrices come without one.
func floatsOf[T Float](b kernels.Buf) []T {
	var s any
	switch b := b.(type) {
	case nil:
		return nil
	case kernels.F32:
		s = []float32(b)
	case kernels.F64:
		s = []float64(b)
	}
	floats, ok := s.([]T)
	if !ok {
		panic(fmt.Sprintf("ref: buffer is a %T, want one of %T", b, T(0)))
	}
	return floats
}

// view reads and writes the numbers of a [kernels.Matrix] as float64.
type view[T Float] struct {
	numbers   []T
	rowStride int
	colStride int
}

func viewOf[T Float](m kernels.Matrix) view[T] {
	v := view[T]{floatsOf[T](m.Buf), m.Stride, 1}
	if m.Trans {
		v.rowStride, v.colStride = 1, m.Stride
	}
	return v
}

func (v view[T]) at(i, j int) float64 { return float64(v.numbers[i*v.rowStride+j*v.colStride]) }

func (v view[T]) set(i, j int, x float64) { v.numbers[i*v.rowStride+j*v.colStride] = T(x) }

// put sets (i, j) to x, or adds x to it.
func (v view[T]) put(i, j int, x float64, add bool) {
	if add {
		x += v.at(i, j)
	}
	v.set(i, j, x)
}

// span copies n numbers of row i, beginning at column j.
func (v view[T]) span(i, j, n int) []float64 {
	s := make([]float64, n)
	for c := range s {
		s[c] = v.at(i, j+c)
	}
	return s
}

// setSpan writes x to row i, beginning at column j.
func (v view[T]) setSpan(i, j int, x []float64) {
	for c := range x {
		v.set(i, j+c, x[c])
	}
}

// weightRow is row i of w, decoded.
func weightRow(w *kernels.Weight, i int) []float64 {
	numbers, row := make([]float32, w.Cols), make([]float64, w.Cols)
	w.Decode(numbers, i*w.Stride())
	for j, x := range numbers {
		row[j] = float64(x)
	}
	return row
}

func dot(a, b []float64) (sum float64) {
	for i := range a {
		sum += a[i] * b[i]
	}
	return sum
}

// addScaled: y += factor·x.
func addScaled(y []float64, factor float64, x []float64) {
	for i := range y {
		y[i] += factor * x[i]
	}
}

func checkShape(kernel, operand string, m kernels.Matrix, rows, cols int) {
	if m.Rows != rows || m.Cols != cols {
		panic(fmt.Sprintf("ref: %s: %s is [%d, %d], want [%d, %d]", kernel, operand, m.Rows, m.Cols, rows, cols))
	}
}

func checkLen(kernel, operand string, got, want int) {
	if got != want {
		panic(fmt.Sprintf("ref: %s: %s has %d elements, want %d", kernel, operand, got, want))
	}
}
