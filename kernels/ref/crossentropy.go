package ref

import (
	"fmt"
	"math"

	"bdlora/kernels"
)

// CrossEntropy returns Σ −log softmax(logits[i])[targets[i]] over the rows with a
// target, and overwrites logits with its gradient times gradScale.
func (*Backend[T]) CrossEntropy(logits kernels.Matrix, targets []int32, gradScale float64) float64 {
	checkLen("CrossEntropy", "targets", len(targets), logits.Rows)
	rows, loss := viewOf[T](logits), 0.0
	for i, target := range targets {
		if int(target) >= logits.Cols {
			panic(fmt.Sprintf("ref: CrossEntropy: target %d is %d, want below %d", i, target, logits.Cols))
		}
		grad := make([]float64, logits.Cols)
		if target >= 0 {
			row := rows.span(i, 0, logits.Cols)
			lse := logSumExp(row)
			loss += lse - row[target]
			for j := range row {
				grad[j] = gradScale * math.Exp(row[j]-lse)
			}
			grad[target] -= gradScale
		}
		rows.setSpan(i, 0, grad)
	}
	return loss
}

// logSumExp is log Σ eˣ, with the largest x taken out so that nothing overflows.
func logSumExp(x []float64) float64 {
	largest := math.Inf(-1)
	for _, v := range x {
		largest = math.Max(largest, v)
	}
	sum := 0.0
	for _, v := range x {
		sum += math.Exp(v - largest)
	}
	return largest + math.Log(sum)
}
