package ref

import (
	"fmt"
	"math"

	"bdlora/kernels"
)

// CrossEntropy sets s to the largest logit of each row, Σ exp(logit − Max) and the
// target's logit, and logits to exp(logits − Max).
func (*Backend[T]) CrossEntropy(s kernels.SoftmaxRows, logits kernels.Matrix, targets []int32) {
	const kernel = "CrossEntropy"
	checkTargets(kernel, targets, logits)
	checkLen(kernel, "s.Max", len(s.Max), logits.Rows)
	checkLen(kernel, "s.Sum", len(s.Sum), logits.Rows)
	checkLen(kernel, "s.Target", len(s.Target), logits.Rows)
	rows := viewOf[T](logits)
	for i, target := range targets {
		row := rows.span(i, 0, logits.Cols)
		s.Max[i], s.Sum[i], s.Target[i] = largest(row), 0, 0
		if target >= 0 {
			s.Target[i] = row[target]
		}
		for j := range row {
			row[j] = math.Exp(row[j] - s.Max[i])
			s.Sum[i] += row[j]
		}
		rows.setSpan(i, 0, row)
	}
}

// CrossEntropyBackward sets logits to factors·logits − gradScale·[column is the target].
func (*Backend[T]) CrossEntropyBackward(logits kernels.Matrix, targets []int32, factors []float64, gradScale float64) {
	const kernel = "CrossEntropyBackward"
	checkTargets(kernel, targets, logits)
	checkLen(kernel, "factors", len(factors), logits.Rows)
	rows := viewOf[T](logits)
	for i, target := range targets {
		row := rows.span(i, 0, logits.Cols)
		for j := range row {
			row[j] *= factors[i]
		}
		if target >= 0 {
			row[target] -= gradScale
		}
		rows.setSpan(i, 0, row)
	}
}

func checkTargets(kernel string, targets []int32, logits kernels.Matrix) {
	checkLen(kernel, "targets", len(targets), logits.Rows)
	for i, target := range targets {
		if int(target) >= logits.Cols {
			panic(fmt.Sprintf("ref: %s: target %d is %d, want below %d", kernel, i, target, logits.Cols))
		}
	}
}

func largest(x []float64) float64 {
	most := math.Inf(-1)
	for _, v := range x {
		most = math.Max(most, v)
	}
	return most
}

// logSumExp is log Σ eˣ, with the largest x taken out so that nothing overflows.
func logSumExp(x []float64) float64 {
	most, sum := largest(x), 0.0
	for _, v := range x {
		sum += math.Exp(v - most)
	}
	return most + math.Log(sum)
}
