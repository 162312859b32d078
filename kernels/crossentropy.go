package kernels

import "math"

// SoftmaxRows is what cross-entropy needs to know of rows of logits, each in one number
// a row. Where the columns of a row are spread over processes, each has those of its
// own columns, and those of the row are
//
//	largest Max,   Σ Sum·exp(Max − largest Max),   Σ Target
type SoftmaxRows struct {
	Max    []float64 // the largest logit
	Sum    []float64 // Σ exp(logit − Max)
	Target []float64 // the target's logit, 0 if it is not among these columns
}

// NewSoftmaxRows returns zeros for so many rows.
func NewSoftmaxRows(rows int) SoftmaxRows {
	numbers := make([]float64, 3*rows)
	return SoftmaxRows{numbers[:rows:rows], numbers[rows : 2*rows : 2*rows], numbers[2*rows:]}
}

// First are the first rows of s, sharing memory.
func (s SoftmaxRows) First(rows int) SoftmaxRows {
	return SoftmaxRows{s.Max[:rows], s.Sum[:rows], s.Target[:rows]}
}

// Loss is Σ −log softmax(logits)[target] = Σ Max + log Sum − Target, in the order of
// the rows.
func (s SoftmaxRows) Loss() float64 {
	loss := 0.0
	for i, largest := range s.Max {
		loss += math.Log(s.Sum[i]) + largest - s.Target[i]
	}
	return loss
}
