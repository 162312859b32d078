package ref

import (
	"fmt"

	"bdlora/kernels"
)

// Linear sets y = x·wᵀ, plus addends.
func (b *Backend[T]) Linear(y, x kernels.Matrix, w *kernels.Weight, addends ...kernels.Addend) {
	checkShape("Linear", "x", x, y.Rows, w.Cols)
	checkShape("Linear", "y", y, x.Rows, w.Rows)
	xs, ys := viewOf[T](x), viewOf[T](y)
	for o := range w.Rows {
		row := weightRow(w, o)
		for i := range x.Rows {
			sum := 0.0
			for j, wj := range row {
				sum += xs.at(i, j) * wj
			}
			ys.set(i, o, sum)
		}
	}
	b.add("Linear", y, addends)
}

// LinearBackward sets dx = dy·w, or dx += dy·w if add, plus addends.
func (b *Backend[T]) LinearBackward(dx, dy kernels.Matrix, w *kernels.Weight, add bool, addends ...kernels.Addend) {
	checkShape("LinearBackward", "dy", dy, dx.Rows, w.Rows)
	checkShape("LinearBackward", "dx", dx, dy.Rows, w.Cols)
	dxs, dys := viewOf[T](dx), viewOf[T](dy)
	sums := make([]float64, dx.Rows*w.Cols)
	for o := range w.Rows {
		row := weightRow(w, o)
		for i := range dx.Rows {
			addScaled(sums[i*w.Cols:(i+1)*w.Cols], dys.at(i, o), row)
		}
	}
	for i := range dx.Rows {
		for j := range dx.Cols {
			dxs.put(i, j, sums[i*w.Cols+j], add)
		}
	}
	b.add("LinearBackward", dx, addends)
}

// add adds the addends of a product to c, one after another.
func (b *Backend[T]) add(kernel string, c kernels.Matrix, addends []kernels.Addend) {
	for _, a := range addends {
		if end := a.Col + a.B.Cols; a.Col < 0 || end > c.Cols {
			panic(fmt.Sprintf("ref: %s: addend to columns [%d, %d), want some of %d", kernel, a.Col, end, c.Cols))
		}
		b.MatMul(c.ColRange(a.Col, a.Col+a.B.Cols), a.Alpha, a.A, a.B, true)
	}
}

// MatMul sets c = alpha·a·b, or c += alpha·a·b if add.
func (*Backend[T]) MatMul(c kernels.Matrix, alpha float64, a, b kernels.Matrix, add bool) {
	checkShape("MatMul", "a", a, c.Rows, b.Rows)
	checkShape("MatMul", "b", b, a.Cols, c.Cols)
	if c.Trans {
		panic("ref: MatMul: c is a transposed view")
	}
	as, bs, cs := viewOf[T](a), viewOf[T](b), viewOf[T](c)
	for i := range c.Rows {
		for j := range c.Cols {
			sum := 0.0
			for k := range a.Cols {
				sum += as.at(i, k) * bs.at(k, j)
			}
			cs.put(i, j, alpha*sum, add)
		}
	}
}
