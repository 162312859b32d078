package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// reductions writes what makes one number of slices.
func (w width) reductions() {
	w.vectorFunc("dot", "func(x, y []float32) float32", func() {
		sum := w.zeros()
		w.each([]string{"x", "y"}, func(v vectors) { VFMADD231PS(v.load("x"), v.load("y"), sum) })
		w.returnSum(sum)
	})
	w.vectorFunc("dot3", "func(x, y, z []float32) float32", func() {
		sum := w.zeros()
		w.each([]string{"x", "y", "z"}, func(v vectors) {
			xy := v.load("x")
			VMULPS(v.load("y"), xy, xy)
			VFMADD231PS(v.load("z"), xy, sum)
		})
		w.returnSum(sum)
	})
	w.vectorFunc("sumSquares", "func(x []float32) float64", w.sumSquares)
	w.vectorFunc("largest", "func(x []float32) float32", func() {
		low, most := w.constant("-inf"), w.constant("-inf")
		w.each([]string{"x"}, func(v vectors) {
			x := v.load("x")
			v.fill(x, low)
			VMAXPS(x, most, most)
		})
		w.returnFolded(most, VMAXPS)
	})
}

// sumSquares adds the squares of each half of a vector in float64.
func (w width) sumSquares() {
	low, high := w.zeros(), w.zeros()
	w.each([]string{"x"}, func(v vectors) {
		x, upper := v.load("x"), w.register()
		w.upperHalf(x, upper)
		w.widenToDouble(x)
		w.widenToDouble(upper)
		VFMADD231PD(x, x, low)
		VFMADD231PD(upper, upper, high)
	})
	VADDPD(high, low, low)
	w.foldHalves(low, VADDPD)
	VMOVSD(low.AsX(), returned())
}

// widenToDouble makes the lower half of the lanes of x float64.
func (w width) widenToDouble(x VecVirtual) {
	if w == avx512 {
		VCVTPS2PD(x.AsY(), x)
		return
	}
	VCVTPS2PD(x.AsX(), x)
}

// returnSum stores the sum of the lanes of x, which it destroys.
func (w width) returnSum(x VecVirtual) { w.returnFolded(x, VADDPS) }

// returnFolded stores what op makes of the lanes of x, which it destroys.
func (w width) returnFolded(x VecVirtual, op func(...Op)) {
	w.foldHalves(x, op)
	t := XMM()
	VMOVSHDUP(x.AsX(), t)
	op(t, x.AsX(), x.AsX())
	VMOVSS(x.AsX(), returned())
}

// foldHalves brings the lanes of x, half onto half, down to 64 bits.
func (w width) foldHalves(x VecVirtual, op func(...Op)) {
	t := w.register()
	if w == avx512 {
		VEXTRACTF64X4(Imm(1), x, t.AsY())
		op(t.AsY(), x.AsY(), x.AsY())
	}
	VEXTRACTF128(Imm(1), x.AsY(), t.AsX())
	op(t.AsX(), x.AsX(), x.AsX())
	VMOVHLPS(x.AsX(), x.AsX(), t.AsX())
	op(t.AsX(), x.AsX(), x.AsX())
}

// returned is where the result of the function goes.
func returned() Mem {
	result, err := ReturnIndex(0).Resolve()
	if err != nil {
		panic(err)
	}
	return result.Addr
}
