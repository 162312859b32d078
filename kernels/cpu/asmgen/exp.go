package main

import (
	"fmt"
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// vectorConstants are repeated in eight lanes each. p0 … p5 are the polynomial of
// Cephes' expf for |x| ≤ ln(2)/2, ln2High + ln2Low is ln(2) in two parts.
var vectorConstants = []struct {
	name string
	bits uint32
}{
	{"high", math.Float32bits(88.3762626647950)},
	{"low", math.Float32bits(-86.6)},
	{"log2e", math.Float32bits(math.Log2E)},
	{"ln2High", math.Float32bits(0.693359375)},
	{"ln2Low", math.Float32bits(-2.12194440e-4)},
	{"p0", math.Float32bits(1.9875691500e-4)},
	{"p1", math.Float32bits(1.3981999507e-3)},
	{"p2", math.Float32bits(8.3334519073e-3)},
	{"p3", math.Float32bits(4.1665795894e-2)},
	{"p4", math.Float32bits(1.6666665459e-1)},
	{"p5", math.Float32bits(5.0000001201e-1)},
	{"one", math.Float32bits(1)},
	{"sign", 1 << 31},
	{"-inf", math.Float32bits(float32(math.Inf(-1)))},
	{"round", math.Float32bits(rounder)},
	{"least", math.Float32bits(rounder - 126)},
	{"mask", 1<<32 - 1}, // followed by zeros, so that a load from its middle is a mask
	{"", 0},
}

// rounder is what rounds a number that is added to it to an integer, which is left
// in the lowest bits.
const rounder = 3 << 22

const constantBytes = 32 // of a vector constant

var constantTable Mem

func tables() {
	constantTable = GLOBL("vectorConstants", RODATA|NOPTR)
	for i, c := range vectorConstants {
		for lane := range 8 {
			DATA(constantBytes*i+4*lane, U32(c.bits))
		}
	}
}

// constant is where a vector constant lies.
func constant(name string) Mem {
	for i, c := range vectorConstants {
		if c.name == name {
			return constantTable.Offset(constantBytes * i)
		}
	}
	panic(fmt.Sprintf("asmgen: no vector constant %q", name))
}

// exponent is what exp keeps in registers.
type exponent struct {
	width
	low, high VecVirtual
}

func (w width) newExponent() exponent { return exponent{w, w.constant("low"), w.constant("high")} }

// exp: x = eˣ, to 1e-7 relative; x is clamped to where eˣ is a normal number. The
// operands of the clamp are in the order that lets a NaN through.
func (e exponent) exp(x VecVirtual) {
	VMINPS(x, e.high, x)
	VMAXPS(x, e.low, x)
	n, p := e.reduce([]VecVirtual{x})
	VPSLLD(Imm(23), n[0], n[0])
	VPADDD(n[0], p[0], x)
}

// expOrZero: x = eˣ for x ≤ 0, and 0 where that is below 2⁻¹²⁵, to −∞. It takes the
// vectors step by step together: each alone is one chain of dependent steps, and
// the processor does not look far enough ahead to find the next chain.
func (w width) expOrZero(xs ...VecVirtual) {
	const notLessOrEqual = 6 // true of a NaN
	n, p := w.reduce(xs)
	least := w.constant("least")
	for i, x := range xs {
		if w == avx512 {
			normal := K()
			VCMPPS(Imm(notLessOrEqual), least, n[i], normal)
			VPSLLD(Imm(23), n[i], n[i])
			VPADDD_Z(n[i], p[i], normal, x)
			continue
		}
		VCMPPS(Imm(notLessOrEqual), least, n[i], x)
		VPSLLD(Imm(23), n[i], n[i])
		VPADDD(n[i], p[i], p[i])
		VANDPS(p[i], x, x)
	}
}

// reduce returns integers n in the lowest bits of float32 and p of [1/√2, √2], so
// that eˣ = p·2ⁿ: n, shifted to the place of the exponent, is to be added to p's
// bits. It destroys the xs.
func (w width) reduce(xs []VecVirtual) (n, p []VecVirtual) {
	round := w.constant("round")
	for _, x := range xs {
		sum := w.constant("log2e")
		VFMADD213PS(round, x, sum)
		n, p = append(n, sum), append(p, w.register())
	}
	for i := range xs {
		VSUBPS(round, n[i], p[i])
	}
	for _, name := range []string{"ln2High", "ln2Low"} {
		c := w.constant(name)
		for i, x := range xs {
			VFNMADD231PS(c, p[i], x)
		}
	}
	for i := range xs {
		VBROADCASTSS(constant("p0"), p[i])
	}
	for _, name := range []string{"p1", "p2", "p3", "p4", "p5", "one", "one"} {
		c := w.constant(name)
		for i, x := range xs {
			VFMADD213PS(c, x, p[i])
		}
	}
	return n, p
}

// sigmoid returns 1/(1+e⁻ˣ).
func (e exponent) sigmoid(x VecVirtual) VecVirtual {
	s, one := e.constant("sign"), e.constant("one")
	VXORPS(x, s, s)
	e.exp(s)
	VADDPS(one, s, s)
	VDIVPS(s, one, s)
	return s
}

// exponentials writes the routines around eˣ.
func (w width) exponentials() {
	w.vectorFunc("expSum", "func(y, x []float32, factor, shift float32) float32", func() {
		factor, shift, sum, e := w.broadcast("factor"), w.broadcast("shift"), w.zeros(), w.newExponent()
		none := w.zeros()
		w.each([]string{"y", "x"}, func(v vectors) {
			x := v.load("x")
			VFMSUB213PS(shift, factor, x)
			e.exp(x)
			v.store("y", x)
			v.fill(x, none)
			VADDPS(x, sum, sum)
		})
		w.returnSum(sum)
	})
	w.vectorFunc("swiGLU", "func(y, gate, up []float32)", func() {
		e := w.newExponent()
		w.each([]string{"y", "gate", "up"}, func(v vectors) {
			g := v.load("gate")
			VMULPS(e.sigmoid(g), g, g)
			VMULPS(v.load("up"), g, g)
			v.store("y", g)
		})
	})
	w.vectorFunc("swiGLUBackward", "func(dgate, dup, dy, gate, up []float32)", w.swiGLUBackward)
}

// swiGLUBackward: with s = σ(gate) and h = gate·s, dup = dy·h and
// dgate = dy·up·(s + h − h·s).
func (w width) swiGLUBackward() {
	e := w.newExponent()
	w.each([]string{"dgate", "dup", "dy", "gate", "up"}, func(v vectors) {
		h, dy, up := v.load("gate"), v.load("dy"), v.load("up")
		s := e.sigmoid(h)
		VMULPS(s, h, h)
		VMULPS(dy, up, up)
		VMULPS(h, dy, dy)
		v.store("dup", dy)
		slope := w.register()
		VADDPS(s, h, slope)
		VFNMADD231PS(h, s, slope)
		VMULPS(slope, up, up)
		v.store("dgate", up)
	})
}
