package cpu

import (
	"fmt"
	"slices"

	"bdlora/kernels"
)

// Linear computes y = x·wᵀ, plus addends. Up to four rows, as in generation, it
// streams through w once; more pay for packing w.
func (b *Backend) Linear(y, x kernels.Matrix, w *kernels.Weight, addends ...kernels.Addend) {
	checkShape("Linear", "x", x, y.Rows, w.Cols)
	checkShape("Linear", "y", y, x.Rows, w.Rows)
	b.sum("Linear", y, x, weightOperand(w).t(), false, addends)
}

// LinearBackward computes dx = dy·w, or dx += dy·w if add, plus addends.
func (b *Backend) LinearBackward(dx, dy kernels.Matrix, w *kernels.Weight, add bool, addends ...kernels.Addend) {
	checkShape("LinearBackward", "dy", dy, dx.Rows, w.Rows)
	checkShape("LinearBackward", "dx", dx, dy.Rows, w.Cols)
	b.sum("LinearBackward", dx, dy, weightOperand(w), add, addends)
}

// sum: c = x·y + Σ addends, or c += … if add. The matrix unit takes them in one go,
// while c is near; otherwise they are products of their own.
func (b *Backend) sum(kernel string, c, x kernels.Matrix, y operand, add bool, addends []kernels.Addend) {
	to, from := matrixOperand(c), matrixOperand(x)
	for _, a := range addends {
		checkAddend(kernel, c, a)
	}
	if !b.sumFits(to, from, y, addends) {
		b.product(to, from, y, 1, add)
		for _, a := range addends {
			b.product(to.part(0, to.rows, a.Col, a.B.Cols), matrixOperand(a.A), matrixOperand(a.B), float32(a.Alpha), true)
		}
		return
	}
	b.segments = append(b.segments[:0], segment{x: from, y: y, alpha: 1})
	for _, a := range addends {
		b.segments = append(b.segments, segment{matrixOperand(a.A), matrixOperand(a.B), float32(a.Alpha), a.Col})
	}
	b.tiled(to, b.segments, add)
}

// sumFits is unitFits for c = x·y with addends.
func (b *Backend) sumFits(c, x, y operand, addends []kernels.Addend) bool {
	transposed := func(a kernels.Addend) bool { return a.A.Trans }
	return b.unitFits(c, x, y) && !slices.ContainsFunc(addends, transposed)
}

func checkAddend(kernel string, c kernels.Matrix, a kernels.Addend) {
	if end := a.Col + a.B.Cols; a.Col < 0 || end > c.Cols {
		panic(fmt.Sprintf("cpu: %s: addend to columns [%d, %d), want some of %d", kernel, a.Col, end, c.Cols))
	}
	checkShape(kernel, "an addend's a", a.A, c.Rows, a.B.Rows)
}

// MatMul computes c = alpha·a·b, or c += alpha·a·b if add. Where one side is as
// short as a LoRA rank, only that side is packed and the other is read in place.
func (b *Backend) MatMul(c kernels.Matrix, alpha float64, x, y kernels.Matrix, add bool) {
	checkShape("MatMul", "a", x, c.Rows, y.Rows)
	checkShape("MatMul", "b", y, x.Cols, c.Cols)
	if c.Trans {
		panic("cpu: MatMul: c is a transposed view")
	}
	b.product(matrixOperand(c), matrixOperand(x), matrixOperand(y), float32(alpha), add)
}

func checkShape(kernel, name string, m kernels.Matrix, rows, cols int) {
	if m.Rows != rows || m.Cols != cols {
		panic(fmt.Sprintf("cpu: %s: %s is [%d, %d], want [%d, %d]", kernel, name, m.Rows, m.Cols, rows, cols))
	}
}

func checkLen(kernel, name string, got, want int) {
	if got != want {
		panic(fmt.Sprintf("cpu: %s: %s has %d elements, want %d", kernel, name, got, want))
	}
}
