package cpu

import (
	"fmt"

	"bdlora/kernels"
)

// Linear computes y = x·wᵀ. Up to four rows, as in generation, it streams through w
// once; more pay for decoding w into panels.
func (b *Backend) Linear(y, x kernels.Matrix, w *kernels.Weight) {
	checkShape("Linear", "x", x, y.Rows, w.Cols)
	checkShape("Linear", "y", y, x.Rows, w.Rows)
	b.product(matrixOperand(y), matrixOperand(x), weightOperand(w).t(), 1, false)
}

// LinearBackward computes dx = dy·w, or dx += dy·w if add.
func (b *Backend) LinearBackward(dx, dy kernels.Matrix, w *kernels.Weight, add bool) {
	checkShape("LinearBackward", "dy", dy, dx.Rows, w.Rows)
	checkShape("LinearBackward", "dx", dx, dy.Rows, w.Cols)
	b.product(matrixOperand(dx), matrixOperand(dy), weightOperand(w), 1, add)
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
