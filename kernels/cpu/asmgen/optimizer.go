package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// optimizer writes the routine of an optimizer step. Its factors are in the order of
// adamWFactors.
func (w width) optimizer() {
	w.vectorFunc("adamW", "func(param, grad, m, v []float32, factors *[9]float32)", func() {
		table := Load(Param("factors"), GP64())
		factors := make([]VecVirtual, 9)
		for i := range factors {
			factors[i] = w.register()
			VBROADCASTSS(Mem{Base: table, Disp: 4 * i}, factors[i])
		}
		gradScale, beta1, rest1, beta2, rest2 := factors[0], factors[1], factors[2], factors[3], factors[4]
		unbias, eps, rate, decay := factors[5], factors[6], factors[7], factors[8]
		w.each([]string{"param", "grad", "m", "v"}, func(round vectors) {
			g, m, v := round.load("grad"), round.load("m"), round.load("v")
			VMULPS(gradScale, g, g)
			VMULPS(beta1, m, m)
			VFMADD231PS(rest1, g, m)
			round.store("m", m)
			VMULPS(g, g, g)
			VMULPS(beta2, v, v)
			VFMADD231PS(rest2, g, v)
			round.store("v", v)
			VMULPS(unbias, v, v)
			VSQRTPS(v, v)
			VADDPS(eps, v, v)
			VDIVPS(v, m, m)
			param := round.load("param")
			VMULPS(decay, param, g)
			VFMADD231PS(rate, m, g)
			VSUBPS(g, param, param)
			round.store("param", param)
		})
	})
}
