package kernelstest

import (
	"math"
	"testing"

	"bdlora/kernels"
)

var crossEntropyChecks = []check{
	{"CrossEntropy", checkCrossEntropy},
	{"CrossEntropyBackward", checkCrossEntropyBackward},
	{"CrossEntropyOfParts", checkCrossEntropyOfParts},
}

// newTargets are one in seven columns, and not among them in every third row.
func newTargets(rows, vocab int) []int32 {
	targets := make([]int32, rows)
	for i := range targets {
		targets[i] = int32(i * 7 % vocab)
		if i%3 == 1 {
			targets[i] = -100
		}
	}
	return targets
}

// newLogits spread so far that their exponentials overflow float32 unless the largest
// is taken out.
func newLogits(name string, rows, vocab int, lay layout) operand {
	return newOperand(name, updated, rows, vocab, lay).fill(func(i int, old float32) float32 {
		return 3*old + 1000*float32(i/vocab%3)
	})
}

func checkCrossEntropy(t testing.TB, l lab) {
	forRows(func(rows, vocab int, lay layout) {
		targets := newTargets(rows, vocab)
		operands := []operand{
			vector("max", overwrote, rows),
			vector("sum", overwrote, rows),
			vector("target", overwrote, rows),
			newLogits("logits", rows, vocab, lay),
		}
		l.try(t, operands, func(be kernels.Backend, m []kernels.Matrix) float64 {
			s := spoiledRows(rows)
			be.CrossEntropy(s, m[3], targets)
			be.Upload(m[0].Buf, float32s(s.Max))
			be.Upload(m[1].Buf, float32s(s.Sum))
			be.Upload(m[2].Buf, float32s(s.Target))
			return s.Loss()
		})
	})
}

// spoiledRows are NaN.
func spoiledRows(rows int) kernels.SoftmaxRows {
	s := kernels.NewSoftmaxRows(rows)
	for i := range rows {
		s.Max[i], s.Sum[i], s.Target[i] = math.NaN(), math.NaN(), math.NaN()
	}
	return s
}

func float32s(x []float64) []float32 {
	rounded := make([]float32, len(x))
	for i, v := range x {
		rounded[i] = float32(v)
	}
	return rounded
}

func checkCrossEntropyBackward(t testing.TB, l lab) {
	forRows(func(rows, vocab int, lay layout) {
		targets, factors := newTargets(rows, vocab), normals("factors", rows)
		operands := []operand{newOperand("logits", updated, rows, vocab, lay)}
		l.try(t, operands, func(be kernels.Backend, m []kernels.Matrix) float64 {
			be.CrossEntropyBackward(m[0], targets, factors, 1.0/7)
			return 0
		})
	})
}

// The columns of a vocabulary that are spread over processes have the loss and the
// gradient of the whole.
func checkCrossEntropyOfParts(t testing.TB, l lab) {
	const gradScale = 1.0 / 7
	forRows(func(rows, vocab int, lay layout) {
		targets, cut := newTargets(rows, vocab), (vocab+2)/3
		operands := []operand{newLogits("logits", rows, vocab, lay), newLogits("logits", rows, vocab, lay)}
		var whole float64
		parts := func(be kernels.Backend, m []kernels.Matrix) float64 {
			whole = crossEntropy(be, gradScale, vocabulary{m[0], targets})
			return crossEntropy(be, gradScale,
				vocabulary{m[1].ColRange(0, cut), targetsAmong(targets, 0, cut)},
				vocabulary{m[1].ColRange(cut, vocab), targetsAmong(targets, cut, vocab)})
		}
		l.try(t, operands, parts)
		bufs, loss := runOn(l.be, operands, parts)
		closeNamed(t, "loss: ", []float64{loss}, []float64{whole}, sumTolerance, 0)
		values := func(i int) []float32 { return gather[float32](operands[i].view(kernels.F32(download(l.be, bufs[i])))) }
		closeScaled(t, "gradient of parts: ", values(1), values(0), sumTolerance, 0)
	})
}

// sumTolerance is that of sums of exponentials in another order.
const sumTolerance = 1e-5

// vocabulary is the part of the logits that one process has.
type vocabulary struct {
	logits  kernels.Matrix
	targets []int32
}

// targetsAmong are the targets counted from column from on, if below to.
func targetsAmong(targets []int32, from, to int) []int32 {
	among := make([]int32, len(targets))
	for i, target := range targets {
		among[i] = -1
		if int(target) >= from && int(target) < to {
			among[i] = target - int32(from)
		}
	}
	return among
}

// crossEntropy is the loss of logits in parts, which it overwrites with the gradient
// times gradScale.
func crossEntropy(be kernels.Backend, gradScale float64, parts ...vocabulary) float64 {
	rows := parts[0].logits.Rows
	all, each := kernels.NewSoftmaxRows(rows), make([]kernels.SoftmaxRows, len(parts))
	for i := range rows {
		all.Max[i] = math.Inf(-1)
	}
	for p, part := range parts {
		each[p] = spoiledRows(rows)
		be.CrossEntropy(each[p], part.logits, part.targets)
		for i, largest := range each[p].Max {
			all.Max[i] = math.Max(all.Max[i], largest)
		}
	}
	for _, s := range each {
		for i := range rows {
			all.Sum[i] += s.Sum[i] * math.Exp(s.Max[i]-all.Max[i])
			all.Target[i] += s.Target[i]
		}
	}
	for p, part := range parts {
		factors := make([]float64, rows)
		for i := range factors {
			factors[i] = gradScale * math.Exp(each[p].Max[i]-all.Max[i]) / all.Sum[i]
		}
		be.CrossEntropyBackward(part.logits, part.targets, factors, gradScale)
	}
	return all.Loss()
}
