package main

// optimizer writes the routines of an optimizer step.
func optimizer(a *assembly) {
	vectorFunc(a, "sumSquares", "func(x []float32) float64", sumSquares)
	vectorFunc(a, "adamW", "func(param, grad, m, v []float32, factors *[9]float32)", adamW)
}

// sumSquares adds the squares of each half of a vector in float64.
func sumSquares(r *routine) {
	const chains = 2
	sums := r.sums(2 * chains)
	r.eachOf(chains, nil, []string{"x"}, func(v vectors, chain int) {
		low, high := v.vec(), v.load("x")
		v.fcvtlDouble(low, high, high)
		v.fmlaDouble(sums[2*chain], low, low)
		v.fmlaDouble(sums[2*chain+1], high, high)
	})
	upper := r.vec()
	for _, sum := range sums {
		r.op("VDUP", sum.lanes("D[1]"), upper.lanes("D2"))
		r.op("FADDD", upper.f(), sum.f(), sum.f())
	}
	for _, sum := range sums[1:] {
		r.op("FADDD", sum.f(), sums[0].f(), sums[0].f())
	}
	r.returns("FMOVD", sums[0])
}

// adamW takes its factors in the order of adamWFactors.
func adamW(r *routine) {
	f := r.vecs(9)
	r.broadcasts(f, r.load("factors"))
	gradScale, beta1, rest1, beta2, rest2 := f[0], f[1], f[2], f[3], f[4]
	unbias, eps, rate, decay := f[5], f[6], f[7], f[8]
	r.each([]string{"param", "m", "v"}, []string{"grad"}, func(round vectors) {
		g, m, v, param := round.load("grad"), round.load("m"), round.load("v"), round.load("param")
		round.fmul(g, g, gradScale)
		round.fmul(m, m, beta1)
		round.fmla(m, g, rest1)
		round.store("m", m)
		round.fmul(g, g, g)
		round.fmul(v, v, beta2)
		round.fmla(v, g, rest2)
		round.store("v", v)
		round.fmul(v, v, unbias)
		round.fsqrt(v, v)
		round.fadd(v, v, eps)
		round.fdiv(m, m, v)
		change := round.vec()
		round.fmul(change, param, decay)
		round.fmla(change, m, rate)
		round.fsub(param, param, change)
		round.store("param", param)
	})
}
