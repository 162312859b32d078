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
	{"low", math.Float32bits(-87.33654475055310)},
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
	{"bias", 127},
	{"mask", 1<<32 - 1}, // followed by zeros, so that a load from its middle is a mask
	{"", 0},
}

var constantTable Mem

func tables() {
	constantTable = GLOBL("vectorConstants", RODATA|NOPTR)
	for i, c := range vectorConstants {
		for lane := range 8 {
			DATA(32*i+4*lane, U32(c.bits))
		}
	}
}

// constant is where a vector constant lies.
func constant(name string) Mem {
	for i, c := range vectorConstants {
		if c.name == name {
			return constantTable.Offset(32 * i)
		}
	}
	panic(fmt.Sprintf("asmgen: no vector constant %q", name))
}

// exponent is what exp keeps in registers.
type exponent struct{ low, high VecVirtual }

func newExponent() exponent {
	e := exponent{YMM(), YMM()}
	VMOVUPS(constant("low"), e.low)
	VMOVUPS(constant("high"), e.high)
	return e
}

// exp: x = eˣ, to 1e-7 relative; x is clamped to where eˣ is a normal number. The
// operands of the clamp are in the order that lets a NaN through.
func (e exponent) exp(x VecVirtual) {
	n, p := YMM(), YMM()
	VMINPS(x, e.high, x)
	VMAXPS(x, e.low, x)
	VMULPS(constant("log2e"), x, n)
	VROUNDPS(Imm(0), n, n)
	VFNMADD231PS(constant("ln2High"), n, x)
	VFNMADD231PS(constant("ln2Low"), n, x)
	VMOVUPS(constant("p0"), p)
	for _, c := range []string{"p1", "p2", "p3", "p4", "p5"} {
		VFMADD213PS(constant(c), x, p)
	}
	VMULPS(x, p, p)
	VFMADD213PS(x, x, p)
	VADDPS(constant("one"), p, p)
	VCVTPS2DQ(n, n)
	VPADDD(constant("bias"), n, n)
	VPSLLD(Imm(23), n, n)
	VMULPS(n, p, x)
}

// sigmoid returns 1/(1+e⁻ˣ).
func (e exponent) sigmoid(x VecVirtual) VecVirtual {
	s, one := YMM(), YMM()
	VXORPS(constant("sign"), x, s)
	e.exp(s)
	VMOVUPS(constant("one"), one)
	VADDPS(one, s, s)
	VDIVPS(s, one, s)
	return s
}

// exponentials writes the routines around eˣ.
func exponentials() {
	vectorFunc("expSum", "func(y, x []float32, factor, shift float32) float32", func() {
		factor, shift, sum, e := broadcast("factor"), broadcast("shift"), zeros(), newExponent()
		each([]string{"y", "x"}, func(v vectors) {
			x := v.load("x")
			VFMSUB213PS(shift, factor, x)
			e.exp(x)
			v.store("y", x)
			if v.mask != nil {
				VANDPS(v.mask, x, x)
			}
			VADDPS(x, sum, sum)
		})
		returnSum(sum)
	})
	vectorFunc("swiGLU", "func(y, gate, up []float32)", func() {
		e := newExponent()
		each([]string{"y", "gate", "up"}, func(v vectors) {
			g := v.load("gate")
			VMULPS(e.sigmoid(g), g, g)
			VMULPS(v.load("up"), g, g)
			v.store("y", g)
		})
	})
	vectorFunc("swiGLUBackward", "func(dgate, dup, dy, gate, up []float32)", swiGLUBackward)
}

// swiGLUBackward: with s = σ(gate) and h = gate·s, dup = dy·h and
// dgate = dy·up·(s + h − h·s).
func swiGLUBackward() {
	e := newExponent()
	each([]string{"dgate", "dup", "dy", "gate", "up"}, func(v vectors) {
		h, dy, up := v.load("gate"), v.load("dy"), v.load("up")
		s := e.sigmoid(h)
		VMULPS(s, h, h)
		VMULPS(dy, up, up)
		VMULPS(h, dy, dy)
		v.store("dup", dy)
		slope := YMM()
		VADDPS(s, h, slope)
		VFNMADD231PS(h, s, slope)
		VMULPS(slope, up, up)
		v.store("dgate", up)
	})
}
