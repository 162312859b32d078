package cpu

import (
	"fmt"
	"math"

	"bdlora/kernels"
)

// CrossEntropy returns Σ −log softmax(logits[i])[targets[i]] over the rows with a
// target, and overwrites logits with its gradient times gradScale.
func (b *Backend) CrossEntropy(logits kernels.Matrix, targets []int32, gradScale float64) float64 {
	checkLen("CrossEntropy", "targets", len(targets), logits.Rows)
	xs := rowsOf("CrossEntropy", "logits", logits, logits.Rows, logits.Cols)
	for i, target := range targets {
		if int(target) >= logits.Cols {
			panic(fmt.Sprintf("cpu: CrossEntropy: target %d is %d, want below %d", i, target, logits.Cols))
		}
	}
	losses := make([]float64, logits.Rows)
	b.eachRow(logits.Rows, logits.Cols, func(_ *worker, i int) {
		if targets[i] < 0 {
			clear(xs.at(i))
			return
		}
		losses[i] = b.routines.crossEntropy(xs.at(i), int(targets[i]), gradScale)
	})
	sum := 0.0
	for _, loss := range losses {
		sum += loss
	}
	return sum
}

// sumBlock is how many exponentials are summed in float32 before the sum goes on in
// float64: a vocabulary of them would lose too many bits.
const sumBlock = 1024

func (r *routines) crossEntropy(row []float32, target int, gradScale float64) float64 {
	most, hit, sum := r.largest(row), row[target], 0.0
	for from := 0; from < len(row); from += sumBlock {
		part := row[from:min(len(row), from+sumBlock)]
		sum += float64(r.expSum(part, part, 1, most))
	}
	if gradScale != 0 {
		r.scale(row, float32(gradScale/sum))
		row[target] -= float32(gradScale)
	}
	return math.Log(sum) + float64(most) - float64(hit)
}
