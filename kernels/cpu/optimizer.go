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
		sum := 0.0
		for _, v := range numbers[from:to] {
			sum += float64(v) * float64(v)
		}
		sums[from/unitWork] = sum
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
	b.eachSpan(len(params), func(from, to int) {
		adamW(params[from:to], grads[from:to], ms[from:to], vs[from:to], step)
	})
}

func adamW(params, grads, ms, vs []float32, step kernels.AdamW) {
	bias1 := 1 - math.Pow(step.Beta1, float64(step.T))
	bias2 := 1 - math.Pow(step.Beta2, float64(step.T))
	keep := 1 - step.LR*step.WeightDecay
	for i := range params {
		g := step.GradScale * float64(grads[i])
		m := step.Beta1*float64(ms[i]) + (1-step.Beta1)*g
		v := step.Beta2*float64(vs[i]) + (1-step.Beta2)*g*g
		params[i] = float32(keep*float64(params[i]) - step.LR*(m/bias1)/(math.Sqrt(v/bias2)+step.Eps))
		ms[i], vs[i] = float32(m), float32(v)
	}
}
