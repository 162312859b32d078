package kernels_test

import (
	"math"
	"testing"

	"bdlora/kernels"
	"bdlora/kernels/kernelstest"
)

// Of logits log 1, log 3 and log 4 the probabilities are 1/8, 3/8 and 1/2.
func TestLossIsThatOfProbabilities(t *testing.T) {
	s := kernels.NewSoftmaxRows(3).First(2)
	for i, target := range []float64{1, 4} {
		s.Max[i], s.Sum[i], s.Target[i] = math.Log(4), 8./4, math.Log(target)
	}
	kernelstest.Close(t, []float64{s.Loss()}, []float64{math.Log(8) + math.Log(2)}, 1e-15, 0)
}
