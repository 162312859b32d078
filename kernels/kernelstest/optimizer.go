package kernelstest

import (
	"math"
	"testing"

	"bdlora/kernels"
)

var optimizerChecks = []check{
	{"SumSquares", checkSumSquares},
	{"AdamW", checkAdamW},
	{"AdamWFirstStep", checkAdamWFirstStep},
}

var vectorSizes = []int{1, 3, 8, 17, 64, 100, 4099}

func checkSumSquares(t testing.TB, l lab) {
	for _, n := range vectorSizes {
		l.try(t, []operand{vector("x", source, n)}, func(be kernels.Backend, m []kernels.Matrix) float64 {
			return be.SumSquares(m[0].Buf)
		})
	}
}

// largeStep has a rate and a decay so large that a mistake in either shows.
var largeStep = kernels.AdamW{LR: 0.2, Beta1: 0.9, Beta2: 0.99, Eps: 1e-3, WeightDecay: 0.3, GradScale: 0.5}

func checkAdamW(t testing.TB, l lab) {
	positive := func(_ int, old float32) float32 { return float32(math.Abs(float64(old))) }
	for _, n := range vectorSizes {
		for _, step := range []int{1, 2, 1000} {
			l.tryAdamW(t, step, vector("param", updated, n), vector("m", updated, n),
				vector("v", updated, n).fill(positive))
		}
	}
}

// With moments of zero, as they are at the first step.
func checkAdamWFirstStep(t testing.TB, l lab) {
	for _, n := range vectorSizes {
		zeros := make([]float64, n)
		l.tryAdamW(t, 1, vector("param", updated, n), vector("m", updated, n).with(zeros),
			vector("v", updated, n).with(zeros))
	}
}

func (l lab) tryAdamW(t testing.TB, count int, param, m, v operand) {
	t.Helper()
	step := largeStep
	step.T = count
	grad := vector("grad", source, len(param.values())).fill(func(i int, old float32) float32 {
		if i%5 == 2 {
			return 0 // its update is 0/(0+Eps) at the first step
		}
		return old
	})
	l.try(t, []operand{param, grad, m, v}, func(be kernels.Backend, m []kernels.Matrix) float64 {
		be.AdamW(m[0].Buf, m[1].Buf, m[2].Buf, m[3].Buf, step)
		return 0
	})
}
