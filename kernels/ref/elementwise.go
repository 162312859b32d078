package ref

import (
	"fmt"
	"math"

	"bdlora/kernels"
)

// Copy sets y = x.
func (*Backend[T]) Copy(y, x kernels.Matrix) {
	checkShape("Copy", "x", x, y.Rows, y.Cols)
	xs, ys := viewOf[T](x), viewOf[T](y)
	for i := range y.Rows {
		for j := range y.Cols {
			ys.set(i, j, xs.at(i, j))
		}
	}
}

// Add sets y += x.
func (*Backend[T]) Add(y, x kernels.Matrix) {
	checkShape("Add", "x", x, y.Rows, y.Cols)
	xs, ys := viewOf[T](x), viewOf[T](y)
	for i := range y.Rows {
		for j := range y.Cols {
			ys.put(i, j, xs.at(i, j), true)
		}
	}
}

// Clear sets b = 0.
func (*Backend[T]) Clear(b kernels.Buf) { clear(floatsOf[T](b)) }

// Scale sets b *= factor.
func (*Backend[T]) Scale(b kernels.Buf, factor float64) {
	x := floatsOf[T](b)
	for i := range x {
		x[i] = T(float64(x[i]) * factor)
	}
}

// Embed sets row i of y = row tokens[i] of w, or zeros where that is negative.
func (*Backend[T]) Embed(y kernels.Matrix, w *kernels.Weight, tokens []int32) {
	checkShape("Embed", "y", y, len(tokens), w.Cols)
	ys := viewOf[T](y)
	for i, token := range tokens {
		if int(token) >= w.Rows {
			panic(fmt.Sprintf("ref: Embed: token %d is %d, want at most %d", i, token, w.Rows-1))
		}
		row := make([]float64, w.Cols)
		if token >= 0 {
			row = weightRow(w, int(token))
		}
		ys.setSpan(i, 0, row)
	}
}

// RMSNorm sets y = gain ⊙ x·inv with inv[i] = 1/√(mean(x[i]²) + eps).
func (*Backend[T]) RMSNorm(y kernels.Matrix, inv kernels.Buf, x kernels.Matrix, gain kernels.Buf, eps float64) {
	checkShape("RMSNorm", "x", x, y.Rows, y.Cols)
	checkLen("RMSNorm", "inv", inv.Len(), x.Rows)
	checkLen("RMSNorm", "gain", gain.Len(), x.Cols)
	xs, ys, gains, invs := viewOf[T](x), viewOf[T](y), floatsOf[T](gain), floatsOf[T](inv)
	for i := range x.Rows {
		row := xs.span(i, 0, x.Cols)
		r := 1 / math.Sqrt(dot(row, row)/float64(x.Cols)+eps)
		invs[i] = T(r)
		for j := range row {
			ys.set(i, j, float64(gains[j])*row[j]*r)
		}
	}
}

// RMSNormBackward sets dx += inv·(gain⊙dy − x·inv²·mean(gain⊙dy⊙x)).
func (*Backend[T]) RMSNormBackward(dx, dy, x kernels.Matrix, inv, gain kernels.Buf) {
	checkShape("RMSNormBackward", "dy", dy, dx.Rows, dx.Cols)
	checkShape("RMSNormBackward", "x", x, dx.Rows, dx.Cols)
	checkLen("RMSNormBackward", "inv", inv.Len(), x.Rows)
	checkLen("RMSNormBackward", "gain", gain.Len(), x.Cols)
	xs, dxs, dys := viewOf[T](x), viewOf[T](dx), viewOf[T](dy)
	gains, invs := floatsOf[T](gain), floatsOf[T](inv)
	for i := range x.Rows {
		r, row, dn := float64(invs[i]), xs.span(i, 0, x.Cols), dys.span(i, 0, x.Cols)
		for j := range dn {
			dn[j] *= float64(gains[j])
		}
		mean := dot(dn, row) / float64(x.Cols)
		for j := range dn {
			dxs.put(i, j, r*(dn[j]-row[j]*r*r*mean), true)
		}
	}
}

// RoPE turns the pair (j, j+HeadDim/2) of each head by positions[i]·r.Freq[j].
func (*Backend[T]) RoPE(x kernels.Matrix, positions []int32, r *kernels.Rotary, inverse bool) {
	half := len(r.Freq)
	checkLen("RoPE", "positions", len(positions), x.Rows)
	if half == 0 || x.Cols%(2*half) != 0 {
		panic(fmt.Sprintf("ref: RoPE: x has %d columns, want heads of %d", x.Cols, 2*half))
	}
	xs := viewOf[T](x)
	for i, position := range positions {
		for j, freq := range r.Freq {
			sin, cos := math.Sincos(float64(position) * freq)
			if inverse {
				sin = -sin
			}
			for lo := j; lo < x.Cols; lo += 2 * half {
				a, b := xs.at(i, lo), xs.at(i, lo+half)
				xs.set(i, lo, r.Scale*(a*cos-b*sin))
				xs.set(i, lo+half, r.Scale*(b*cos+a*sin))
			}
		}
	}
}

// sigmoid is 1/(1+e⁻ᵍ); silu(g) is g·sigmoid(g).
func sigmoid(g float64) float64 { return 1 / (1 + math.Exp(-g)) }

// SwiGLU sets y = silu(gate) ⊙ up.
func (*Backend[T]) SwiGLU(y, gate, up kernels.Matrix) {
	checkShape("SwiGLU", "gate", gate, y.Rows, y.Cols)
	checkShape("SwiGLU", "up", up, y.Rows, y.Cols)
	ys, gates, ups := viewOf[T](y), viewOf[T](gate), viewOf[T](up)
	for i := range y.Rows {
		for j := range y.Cols {
			g, u := gates.at(i, j), ups.at(i, j)
			ys.set(i, j, g*sigmoid(g)*u)
		}
	}
}

// SwiGLUBackward sets dup = dy⊙silu(gate) and dgate = dy⊙up⊙silu′(gate), in
// which silu′(g) = s·(1 + g·(1−s)) and s = sigmoid(g).
func (*Backend[T]) SwiGLUBackward(dgate, dup, dy, gate, up kernels.Matrix) {
	checkShape("SwiGLUBackward", "dgate", dgate, dy.Rows, dy.Cols)
	checkShape("SwiGLUBackward", "dup", dup, dy.Rows, dy.Cols)
	checkShape("SwiGLUBackward", "gate", gate, dy.Rows, dy.Cols)
	checkShape("SwiGLUBackward", "up", up, dy.Rows, dy.Cols)
	dgates, dups, dys := viewOf[T](dgate), viewOf[T](dup), viewOf[T](dy)
	gates, ups := viewOf[T](gate), viewOf[T](up)
	for i := range dy.Rows {
		for j := range dy.Cols {
			d, g, u := dys.at(i, j), gates.at(i, j), ups.at(i, j)
			s := sigmoid(g)
			dups.set(i, j, d*g*s)
			dgates.set(i, j, d*u*s*(1+g*(1-s)))
		}
	}
}

// Dropout sets y = x ⊙ mask/(1-p), or y += … if add.
func (*Backend[T]) Dropout(y, x kernels.Matrix, d kernels.Dropout, add bool) {
	checkShape("Dropout", "x", x, y.Rows, y.Cols)
	xs, ys := viewOf[T](x), viewOf[T](y)
	for i := range y.Rows {
		for j := range y.Cols {
			kept := 0.0
			if d.Keep(i, j) {
				kept = xs.at(i, j) / (1 - d.P)
			}
			ys.put(i, j, kept, add)
		}
	}
}
