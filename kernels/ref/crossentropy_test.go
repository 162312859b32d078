package ref_test

import (
	"testing"

	"bdlora/kernels"
	"bdlora/kernels/kernelstest"
	"bdlora/kernels/ref"
)

// Softmax does not see what is added to all logits of a row, however large.
func TestCrossEntropyIgnoresAShift(t *testing.T) {
	be, targets := ref.New[float64](), []int32{1, 0}
	want := kernels.F64{0.5, -1, 2, 0, 3, 1}
	wantLoss := be.CrossEntropy(kernels.NewMatrix(want, 2, 3), targets, 1)
	for _, shift := range []float64{-4096, 4096} {
		got := kernels.F64{0.5, -1, 2, 0, 3, 1}
		for i := range got {
			got[i] += shift
		}
		loss := be.CrossEntropy(kernels.NewMatrix(got, 2, 3), targets, 1)
		kernelstest.Close(t, []float64{loss}, []float64{wantLoss}, 1e-12, 0)
		kernelstest.Close(t, got, want, 1e-12, 0)
	}
}
