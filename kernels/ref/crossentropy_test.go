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
	want, wantRows := kernels.F64{0.5, -1, 2, 0, 3, 1}, kernels.NewSoftmaxRows(2)
	be.CrossEntropy(wantRows, kernels.NewMatrix(want, 2, 3), targets)
	for _, shift := range []float64{-4096, 4096} {
		got, rows := kernels.F64{0.5, -1, 2, 0, 3, 1}, kernels.NewSoftmaxRows(2)
		for i := range got {
			got[i] += shift
		}
		be.CrossEntropy(rows, kernels.NewMatrix(got, 2, 3), targets)
		kernelstest.Close(t, []float64{rows.Loss()}, []float64{wantRows.Loss()}, 1e-12, 0)
		kernelstest.Close(t, rows.Sum, wantRows.Sum, 1e-12, 0)
		kernelstest.Close(t, got, want, 1e-12, 0)
	}
}
