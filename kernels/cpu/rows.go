package cpu

import (
	"fmt"

	"bdlora/kernels"
)

// rows is a matrix whose rows are contiguous.
type rows struct {
	numbers []float32
	stride  int
	cols    int
}

func (r rows) at(i int) []float32 { return r.numbers[i*r.stride:][:r.cols] }

// rowsOf is m, the operand name of kernel, which has the given shape.
func rowsOf(kernel, name string, m kernels.Matrix, count, cols int) rows {
	checkShape(kernel, name, m, count, cols)
	if m.Trans {
		panic(fmt.Sprintf("cpu: %s: %s is a transposed view", kernel, name))
	}
	return rows{floats(m.Buf), m.Stride, cols}
}

// unitWork is the number of elements of a unit of a kernel that goes row by row:
// some 5 µs.
const unitWork = 1 << 13

// rowLoop is a kernel that goes row by row, group rows a unit.
type rowLoop struct {
	run          func(w *worker, row int)
	count, group int
}

// eachRow runs a kernel on rows of cols elements.
func (b *Backend) eachRow(count, cols int, run func(w *worker, row int)) {
	b.rowLoop = rowLoop{run, count, max(1, unitWork/max(cols, 1))}
	b.run(count*cols, ceilDiv(count, b.rowLoop.group), &b.rowLoop)
}

func (l *rowLoop) unit(w *worker, unit int) {
	for row := unit * l.group; row < min(l.count, (unit+1)*l.group); row++ {
		l.run(w, row)
	}
}

// eachSpan runs a kernel on the parts [from, to) of n elements.
func (b *Backend) eachSpan(n int, run func(from, to int)) {
	b.each(n, ceilDiv(n, unitWork), func(_ *worker, unit int) {
		run(unit*unitWork, min(n, (unit+1)*unitWork))
	})
}
