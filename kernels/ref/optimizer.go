package ref

import (
	"math"

	"bdlora/kernels"
)

// SumSquares is Σ x².
func (*Backend[T]) SumSquares(x kernels.Buf) (sum float64) {
	for _, v := range floatsOf[T](x) {
		sum += float64(v) * float64(v)
	}
	return sum
}

// AdamW updates param, m and v in place from grad; see [kernels.AdamW].
func (*Backend[T]) AdamW(param, grad, m, v kernels.Buf, step kernels.AdamW) {
	checkLen("AdamW", "grad", grad.Len(), param.Len())
	checkLen("AdamW", "m", m.Len(), param.Len())
	checkLen("AdamW", "v", v.Len(), param.Len())
	params, grads, ms, vs := floatsOf[T](param), floatsOf[T](grad), floatsOf[T](m), floatsOf[T](v)
	bias1 := 1 - math.Pow(step.Beta1, float64(step.T))
	bias2 := 1 - math.Pow(step.Beta2, float64(step.T))
	for i := range params {
		g := step.GradScale * float64(grads[i])
		mi := step.Beta1*float64(ms[i]) + (1-step.Beta1)*g
		vi := step.Beta2*float64(vs[i]) + (1-step.Beta2)*g*g
		update := mi / bias1 / (math.Sqrt(vi/bias2) + step.Eps)
		params[i] = T(float64(params[i])*(1-step.LR*step.WeightDecay) - step.LR*update)
		ms[i], vs[i] = T(mi), T(vi)
	}
}
