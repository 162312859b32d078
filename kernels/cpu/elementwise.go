package cpu

import (
	"fmt"
	"math"

	"bdlora/kernels"
)

// Copy computes y = x. Factors of adapters are many and small: no function is made for
// them.
func (b *Backend) Copy(y, x kernels.Matrix) {
	to := rowsOf("Copy", "y", y, y.Rows, y.Cols)
	from := rowsOf("Copy", "x", x, y.Rows, y.Cols)
	if y.Rows*y.Cols < inlineWork {
		for i := range y.Rows {
			copy(to.at(i), from.at(i))
		}
		return
	}
	b.eachRow(y.Rows, y.Cols, func(_ *worker, i int) { copy(to.at(i), from.at(i)) })
}

// Add computes y += x.
func (b *Backend) Add(y, x kernels.Matrix) {
	to := rowsOf("Add", "y", y, y.Rows, y.Cols)
	from := rowsOf("Add", "x", x, y.Rows, y.Cols)
	b.eachRow(y.Rows, y.Cols, func(_ *worker, i int) { b.routines.addScaled(to.at(i), from.at(i), 1) })
}

// Clear sets x to zeros.
func (*Backend) Clear(x kernels.Buf) { clear(floats(x)) }

// Scale computes x *= factor.
func (b *Backend) Scale(x kernels.Buf, factor float64) {
	numbers := floats(x)
	b.eachSpan(len(numbers), func(from, to int) { b.routines.scale(numbers[from:to], float32(factor)) })
}

// Embed makes row i of y row tokens[i] of w, or zeros where that is negative.
func (b *Backend) Embed(y kernels.Matrix, w *kernels.Weight, tokens []int32) {
	to, from := rowsOf("Embed", "y", y, len(tokens), w.Cols), weightOperand(w)
	for i, token := range tokens {
		if int(token) >= w.Rows {
			panic(fmt.Sprintf("cpu: Embed: token %d is %d, want at most %d", i, token, w.Rows-1))
		}
	}
	b.eachRow(len(tokens), w.Cols, func(_ *worker, i int) {
		if tokens[i] < 0 {
			clear(to.at(i))
		} else {
			b.routines.widenRow(to.at(i), from, int(tokens[i]))
		}
	})
}

// SwiGLU computes y = silu(gate) ⊙ up.
func (b *Backend) SwiGLU(y, gate, up kernels.Matrix) {
	ys := rowsOf("SwiGLU", "y", y, y.Rows, y.Cols)
	gates := rowsOf("SwiGLU", "gate", gate, y.Rows, y.Cols)
	ups := rowsOf("SwiGLU", "up", up, y.Rows, y.Cols)
	b.eachRow(y.Rows, y.Cols, func(_ *worker, i int) { b.routines.swiGLU(ys.at(i), gates.at(i), ups.at(i)) })
}

// SwiGLUBackward computes dgate = dy⊙up⊙silu′(gate) and dup = dy⊙silu(gate).
func (b *Backend) SwiGLUBackward(dgate, dup, dy, gate, up kernels.Matrix) {
	const kernel = "SwiGLUBackward"
	dys := rowsOf(kernel, "dy", dy, dy.Rows, dy.Cols)
	dgates := rowsOf(kernel, "dgate", dgate, dy.Rows, dy.Cols)
	dups := rowsOf(kernel, "dup", dup, dy.Rows, dy.Cols)
	gates := rowsOf(kernel, "gate", gate, dy.Rows, dy.Cols)
	ups := rowsOf(kernel, "up", up, dy.Rows, dy.Cols)
	b.eachRow(dy.Rows, dy.Cols, func(_ *worker, i int) {
		b.routines.swiGLUBackward(dgates.at(i), dups.at(i), dys.at(i), gates.at(i), ups.at(i))
	})
}

// RMSNorm computes y = gain ⊙ x·inv with inv[i] = 1/√(mean(x[i]²) + eps).
func (b *Backend) RMSNorm(y kernels.Matrix, inv kernels.Buf, x kernels.Matrix, gain kernels.Buf, eps float64) {
	ys := rowsOf("RMSNorm", "y", y, y.Rows, y.Cols)
	xs := rowsOf("RMSNorm", "x", x, y.Rows, y.Cols)
	checkLen("RMSNorm", "inv", inv.Len(), y.Rows)
	checkLen("RMSNorm", "gain", gain.Len(), y.Cols)
	gains, invs := floats(gain), floats(inv)
	b.eachRow(y.Rows, y.Cols, func(_ *worker, i int) {
		row := xs.at(i)
		mean := float64(b.routines.dot(row, row)) / float64(len(row))
		invs[i] = float32(1 / math.Sqrt(mean+eps))
		b.routines.scaledProduct(ys.at(i), row, gains, invs[i])
	})
}

// RMSNormBackward computes dx += inv·gain⊙dy − x·inv³·mean(gain⊙dy⊙x).
func (b *Backend) RMSNormBackward(dx, dy, x kernels.Matrix, inv, gain kernels.Buf) {
	const kernel = "RMSNormBackward"
	dxs := rowsOf(kernel, "dx", dx, dx.Rows, dx.Cols)
	dys := rowsOf(kernel, "dy", dy, dx.Rows, dx.Cols)
	xs := rowsOf(kernel, "x", x, dx.Rows, dx.Cols)
	checkLen(kernel, "inv", inv.Len(), dx.Rows)
	checkLen(kernel, "gain", gain.Len(), dx.Cols)
	gains, invs := floats(gain), floats(inv)
	b.eachRow(dx.Rows, dx.Cols, func(_ *worker, i int) {
		mean := b.routines.dot3(gains, dys.at(i), xs.at(i)) / float32(dx.Cols)
		pull := invs[i] * invs[i] * invs[i] * mean
		b.routines.normBackward(dxs.at(i), dys.at(i), xs.at(i), gains, invs[i], pull)
	})
}
