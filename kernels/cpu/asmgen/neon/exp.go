package main

import (
	"math"

	"bdlora/kernels/cpu/asmgen/numbers"
)

// exponent is what exp keeps in registers.
type exponent struct {
	high, low, log2e, ln2High, ln2Low, one, bias vec
	p                                            []vec
}

const exponentTable = "exponentConstants"

// exponentConstants are in the order of exponent's fields.
var exponentConstants = []uint32{
	math.Float32bits(numbers.ExpHigh),
	math.Float32bits(numbers.ExpLow),
	math.Float32bits(math.Log2E),
	math.Float32bits(numbers.Ln2High),
	math.Float32bits(numbers.Ln2Low),
	math.Float32bits(1),
	127,
	math.Float32bits(numbers.ExpP0),
	math.Float32bits(numbers.ExpP1),
	math.Float32bits(numbers.ExpP2),
	math.Float32bits(numbers.ExpP3),
	math.Float32bits(numbers.ExpP4),
	math.Float32bits(numbers.ExpP5),
}

func newExponent(r *routine) exponent {
	c := r.vecs(len(exponentConstants))
	from := r.gp()
	r.op("MOVD", "$"+exponentTable+"<>(SB)", from)
	r.broadcasts(c, from)
	return exponent{c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7:]}
}

// exp: x = eˣ, to 1e-7 relative; x is clamped to where eˣ is a normal number. A NaN
// stays one.
func (e exponent) exp(r *routine, x vec) {
	r.scoped(func() {
		n, p, next := r.vec(), r.vec(), r.vec()
		r.fmin(x, x, e.high)
		r.fmax(x, x, e.low)
		r.fmul(n, x, e.log2e)
		r.frintn(n, n)
		r.fmls(x, n, e.ln2High)
		r.fmls(x, n, e.ln2Low)
		r.move(p, e.p[0])
		for _, c := range e.p[1:] {
			r.move(next, c)
			r.fmla(next, p, x)
			p, next = next, p
		}
		r.fmul(p, p, x)
		r.move(next, x)
		r.fmla(next, p, x)
		r.fadd(p, next, e.one)
		r.fcvtns(n, n)
		r.op("VADD", e.bias.s4(), n.s4(), n.s4())
		r.op("VSHL", imm(23), n.s4(), n.s4())
		r.fmul(x, p, n)
	})
}

// expOrZero: x = eˣ, and 0 where that is no normal number, to −∞.
func (e exponent) expOrZero(r *routine, x vec) {
	r.scoped(func() {
		below := r.vec()
		r.fcmgt(below, e.low, x)
		e.exp(r, x)
		r.bic(x, x, below)
	})
}

// sigmoid returns 1/(1+e⁻ˣ).
func (e exponent) sigmoid(r *routine, x vec) vec {
	s := r.vec()
	r.fneg(s, x)
	e.exp(r, s)
	r.fadd(s, s, e.one)
	r.fdiv(s, e.one, s)
	return s
}

// exponentials writes the routines around eˣ.
func exponentials(a *assembly) {
	a.table(exponentTable, exponentConstants)
	vectorFunc(a, "expSum", "func(y, x []float32, factor, shift float32) float32", func(r *routine) {
		factor, shift, sum, e := r.broadcast("factor"), r.broadcast("shift"), r.sums(1), newExponent(r)
		r.fneg(shift, shift)
		r.each([]string{"y"}, []string{"x"}, func(v vectors) {
			x := v.vec()
			v.move(x, shift)
			v.fmla(x, v.load("x"), factor)
			e.exp(r, x)
			v.store("y", x)
			v.only(x)
			v.fadd(sum[0], sum[0], x)
		})
		r.returnSum(sum)
	})
	vectorFunc(a, "swiGLU", "func(y, gate, up []float32)", func(r *routine) {
		e := newExponent(r)
		r.each([]string{"y"}, []string{"gate", "up"}, func(v vectors) {
			g := v.load("gate")
			v.fmul(g, g, e.sigmoid(r, g))
			v.fmul(g, g, v.load("up"))
			v.store("y", g)
		})
	})
	vectorFunc(a, "swiGLUBackward", "func(dgate, dup, dy, gate, up []float32)", swiGLUBackward)
}

// swiGLUBackward: with s = σ(gate) and h = gate·s, dup = dy·h and
// dgate = dy·up·(s + h − h·s).
func swiGLUBackward(r *routine) {
	e := newExponent(r)
	r.each([]string{"dgate", "dup"}, []string{"dy", "gate", "up"}, func(v vectors) {
		h, dy, up := v.load("gate"), v.load("dy"), v.load("up")
		s := e.sigmoid(r, h)
		v.fmul(h, h, s)
		v.fmul(up, up, dy)
		v.fmul(dy, dy, h)
		v.store("dup", dy)
		slope := v.vec()
		v.fadd(slope, s, h)
		v.fmls(slope, s, h)
		v.fmul(up, up, slope)
		v.store("dgate", up)
	})
}
