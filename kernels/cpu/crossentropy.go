package cpu

import (
	"fmt"

	"bdlora/kernels"
)

// CrossEntropy sets s to the largest logit of each row, Σ exp(logit − Max) and the
// target's logit, and logits to exp(logits − Max).
func (b *Backend) CrossEntropy(s kernels.SoftmaxRows, logits kernels.Matrix, targets []int32) {
	const kernel = "CrossEntropy"
	xs := logitsOf(kernel, logits, targets)
	checkLen(kernel, "s.Max", len(s.Max), logits.Rows)
	checkLen(kernel, "s.Sum", len(s.Sum), logits.Rows)
	checkLen(kernel, "s.Target", len(s.Target), logits.Rows)
	b.eachRow(logits.Rows, logits.Cols, func(_ *worker, i int) {
		row := xs.at(i)
		s.Target[i] = 0
		if target := targets[i]; target >= 0 {
			s.Target[i] = float64(row[target])
		}
		most := b.routines.largest(row)
		s.Max[i], s.Sum[i] = float64(most), b.routines.expSums(row, most)
	})
}

// CrossEntropyBackward sets logits to factors·logits − gradScale·[column is the target].
func (b *Backend) CrossEntropyBackward(logits kernels.Matrix, targets []int32, factors []float64, gradScale float64) {
	const kernel = "CrossEntropyBackward"
	xs := logitsOf(kernel, logits, targets)
	checkLen(kernel, "factors", len(factors), logits.Rows)
	b.eachRow(logits.Rows, logits.Cols, func(_ *worker, i int) {
		row := xs.at(i)
		b.routines.scale(row, float32(factors[i]))
		if target := targets[i]; target >= 0 {
			row[target] -= float32(gradScale)
		}
	})
}

// logitsOf are the logits, with a target for each row.
func logitsOf(kernel string, logits kernels.Matrix, targets []int32) rows {
	checkLen(kernel, "targets", len(targets), logits.Rows)
	for i, target := range targets {
		if int(target) >= logits.Cols {
			panic(fmt.Sprintf("cpu: %s: target %d is %d, want below %d", kernel, i, target, logits.Cols))
		}
	}
	return rowsOf(kernel, "logits", logits, logits.Rows, logits.Cols)
}

// sumBlock is how many exponentials are summed in float32 before the sum goes on in
// float64: a vocabulary of them would lose too many bits.
const sumBlock = 1024

// expSums sets row to exp(row − most) and returns the sum.
func (r *routines) expSums(row []float32, most float32) float64 {
	sum := 0.0
	for from := 0; from < len(row); from += sumBlock {
		part := row[from:min(len(row), from+sumBlock)]
		sum += float64(r.expSum(part, part, 1, most))
	}
	return sum
}
