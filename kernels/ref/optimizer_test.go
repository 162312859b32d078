package ref_test

import (
	"math"
	"testing"

	"bdlora/kernels"
	"bdlora/kernels/kernelstest"
	"bdlora/kernels/ref"
)

// With a constant gradient g the moments have closed forms: after t steps
// m/(1−Beta1ᵗ) = g and v/(1−Beta2ᵗ) = g², so that the parameter obeys
// p ← p·(1−LR·WeightDecay) − LR·g/(|g|+Eps), a geometric series.
func TestAdamWOfAConstantGradient(t *testing.T) {
	const steps = 50
	be := ref.New[float64]()
	s := kernels.AdamW{LR: 0.05, Beta1: 0.9, Beta2: 0.999, Eps: 1e-3, WeightDecay: 0.4, GradScale: 0.25}
	start, grad := []float64{1, -2, 0, 3}, kernels.F64{0.7, -8, 4, 0}
	param, m, v := append(kernels.F64(nil), start...), make(kernels.F64, 4), make(kernels.F64, 4)
	for s.T = 1; s.T <= steps; s.T++ {
		be.AdamW(param, grad, m, v, s)
	}
	want, wantM, wantV := make([]float64, 4), make([]float64, 4), make([]float64, 4)
	keep := 1 - s.LR*s.WeightDecay
	for i := range want {
		g := s.GradScale * grad[i]
		kept := math.Pow(keep, steps)
		want[i] = start[i]*kept - s.LR*g/(math.Abs(g)+s.Eps)*(1-kept)/(1-keep)
		wantM[i] = g * (1 - math.Pow(s.Beta1, steps))
		wantV[i] = g * g * (1 - math.Pow(s.Beta2, steps))
	}
	kernelstest.Close(t, param, want, 1e-12, 0)
	kernelstest.Close(t, m, wantM, 1e-12, 0)
	kernelstest.Close(t, v, wantV, 1e-12, 0)
}
