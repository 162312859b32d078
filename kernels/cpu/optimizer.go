package cpu

import (
	"math"

	"bdlora/kernels"
)

// SumSquares is Σ x²: spans of fixed length first, then the spans in their order.
func (b *Backend) SumSquares(x kernels.Buf) float64 {
	numbers := floats(x)
	sums := make([]float64, ceilDiv(len(numbers), unitWork))
	b.eachSpan(len(numbers), func(from, to int) {
		sums[from/unitWork] = b.routines.sumSquares(numbers[from:to])
	})
	total := 0.0
	for _, sum := range sums {
		total += sum
	}
	return total
}

// AdamW updates param, m and v in place from grad; see [kernels.AdamW].
func (b *Backend) AdamW(param, grad, m, v kernels.Buf, step kernels.AdamW) {
	checkLen("AdamW", "grad", grad.Len(), param.Len())
	checkLen("AdamW", "m", m.Len(), param.Len())
	checkLen("AdamW", "v", v.Len(), param.Len())
	params, grads, ms, vs := floats(param), floats(grad), floats(m), floats(v)
	factors := adamWFactors(step)
	b.eachSpan(len(params), func(from, to int) {
		b.routines.adamW(params[from:to], grads[from:to], ms[from:to], vs[from:to], &factors)
	})
}

// adamWFactors are what an element's update is made of, in the order in which
// routines.adamW takes them:
//
//	g      = gradScale·grad
//	m      = beta1·m + rest1·g
//	v      = beta2·v + rest2·g²
//	param −= decay·param + rate·m/(√(unbias·v) + eps)
func adamWFactors(step kernels.AdamW) [9]float32 {
	bias1 := 1 - math.Pow(step.Beta1, float64(step.T))
	bias2 := 1 - math.Pow(step.Beta2, float64(step.T))
	return [9]float32{
		float32(step.GradScale),
		float32(step.Beta1), float32(1 - step.Beta1),
		float32(step.Beta2), float32(1 - step.Beta2),
		float32(1 / bias2), float32(step.Eps),
		float32(step.LR / bias1), float32(step.LR * step.WeightDecay),
	}
}
