package main

import . "github.com/mmcloughlin/avo/build"

// maps writes what makes slices of slices by products and sums.
func (w width) maps() {
	w.vectorFunc("addScaled", "func(y, x []float32, factor float32)", func() {
		factor := w.broadcast("factor")
		w.each([]string{"y", "x"}, func(v vectors) {
			y := v.load("y")
			VFMADD231PS(v.load("x"), factor, y)
			v.store("y", y)
		})
	})
	w.vectorFunc("scale", "func(y []float32, factor float32)", func() {
		factor := w.broadcast("factor")
		w.each([]string{"y"}, func(v vectors) {
			y := v.load("y")
			VMULPS(factor, y, y)
			v.store("y", y)
		})
	})
	w.vectorFunc("scaledProduct", "func(y, x, gain []float32, factor float32)", func() {
		factor := w.broadcast("factor")
		w.each([]string{"y", "x", "gain"}, func(v vectors) {
			x := v.load("x")
			VMULPS(factor, x, x)
			VMULPS(v.load("gain"), x, x)
			v.store("y", x)
		})
	})
	w.vectorFunc("normBackward", "func(dx, dy, x, gain []float32, inv, pull float32)", func() {
		inv, pull := w.broadcast("inv"), w.broadcast("pull")
		w.each([]string{"dx", "dy", "x", "gain"}, func(v vectors) {
			dx, dy := v.load("dx"), v.load("dy")
			VMULPS(v.load("gain"), dy, dy)
			VFMADD231PS(inv, dy, dx)
			VFNMADD231PS(v.load("x"), pull, dx)
			v.store("dx", dx)
		})
	})
	w.vectorFunc("rotate", "func(a, b, cos, sin []float32)", func() {
		w.each([]string{"a", "b", "cos", "sin"}, func(v vectors) {
			a, b, cos, sin := v.load("a"), v.load("b"), v.load("cos"), v.load("sin")
			turnedA, turnedB := w.register(), w.register()
			VMULPS(sin, b, turnedA)
			VFMSUB231PS(cos, a, turnedA)
			VMULPS(sin, a, turnedB)
			VFMADD231PS(cos, b, turnedB)
			v.store("a", turnedA)
			v.store("b", turnedB)
		})
	})
}
