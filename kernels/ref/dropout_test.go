package ref_test

import (
	"math"
	"testing"

	"bdlora/kernels"
	"bdlora/kernels/ref"
)

// Each element is dropped with probability P and else divided by 1−P, so that the
// mean stays: within five standard deviations of what independent draws give.
func TestDropoutKeepsTheMean(t *testing.T) {
	const rows, cols = 100, 300
	x, y := make(kernels.F64, rows*cols), make(kernels.F64, rows*cols)
	for i := range x {
		x[i] = 1
	}
	for _, p := range []float64{0, 0.05, 0.5, 0.9} {
		d := kernels.Dropout{P: p, Key: 3}
		ref.New[float64]().Dropout(kernels.NewMatrix(y, rows, cols), kernels.NewMatrix(x, rows, cols), d, false)
		kept := 0.0
		for i, v := range y {
			if v != 0 && v != 1/(1-p) {
				t.Fatalf("p = %g: element %d: got %g, want 0 or %g", p, i, v, 1/(1-p))
			}
			if v != 0 {
				kept++
			}
		}
		if got, limit := kept/(rows*cols), 5*math.Sqrt(p*(1-p)/(rows*cols)); math.Abs(got-(1-p)) > limit {
			t.Errorf("p = %g: kept %g of the elements, want %g ± %.2g", p, got, 1-p, limit)
		}
	}
}
