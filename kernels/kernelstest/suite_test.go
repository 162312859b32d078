package kernelstest_test

import (
	"math"
	"testing"

	"bdlora/kernels"
	"bdlora/kernels/kernelstest"
	"bdlora/kernels/ref"
)

// float32Ref is the backend that the faulty ones below spoil a method of.
type float32Ref = ref.Backend[float32]

type addIgnored struct{ float32Ref }

func (b *addIgnored) MatMul(c kernels.Matrix, alpha float64, x, y kernels.Matrix, _ bool) {
	b.float32Ref.MatMul(c, alpha, x, y, false)
}

type alwaysAdded struct{ float32Ref }

func (b *alwaysAdded) MatMul(c kernels.Matrix, alpha float64, x, y kernels.Matrix, add bool) {
	if !add {
		b.Scale(c.Buf, 0) // NaN stays NaN
	}
	b.float32Ref.MatMul(c, alpha, x, y, true)
}

type alphaIgnored struct{ float32Ref }

func (b *alphaIgnored) MatMul(c kernels.Matrix, _ float64, x, y kernels.Matrix, add bool) {
	b.float32Ref.MatMul(c, 1, x, y, add)
}

type gapWritten struct{ float32Ref }

func (b *gapWritten) Linear(y, x kernels.Matrix, w *kernels.Weight, addends ...kernels.Addend) {
	b.float32Ref.Linear(y, x, w, addends...)
	if y.Rows > 1 && y.Stride > y.Cols {
		y.Buf.(kernels.F32)[y.Cols] = 0
	}
}

type sourceWritten struct{ float32Ref }

func (b *sourceWritten) LinearBackward(dx, dy kernels.Matrix, w *kernels.Weight, add bool, addends ...kernels.Addend) {
	b.float32Ref.LinearBackward(dx, dy, w, add, addends...)
	if dy.Rows > 0 {
		dy.Buf.(kernels.F32)[0] *= 2
	}
}

type addendMoved struct{ float32Ref }

func (b *addendMoved) Linear(y, x kernels.Matrix, w *kernels.Weight, addends ...kernels.Addend) {
	for i := range addends {
		addends[i].Col = 0
	}
	b.float32Ref.Linear(y, x, w, addends...)
}

type addendForgotten struct{ float32Ref }

func (b *addendForgotten) LinearBackward(dx, dy kernels.Matrix, w *kernels.Weight, add bool,
	addends ...kernels.Addend) {
	b.float32Ref.LinearBackward(dx, dy, w, add, addends[:min(1, len(addends))]...)
}

type rowsSwapped struct{ float32Ref }

func (b *rowsSwapped) Embed(y kernels.Matrix, w *kernels.Weight, tokens []int32) {
	tokens = append([]int32{tokens[1], tokens[0]}, tokens[2:]...)
	b.float32Ref.Embed(y, w, tokens)
}

type gapIgnored struct{ float32Ref }

// asIfDense is w with its rows where they would lie without gaps.
func asIfDense(w *kernels.Weight) *kernels.Weight {
	dense := *w
	dense.Gap = 0
	return &dense
}

func (b *gapIgnored) Linear(y, x kernels.Matrix, w *kernels.Weight, addends ...kernels.Addend) {
	b.float32Ref.Linear(y, x, asIfDense(w), addends...)
}

func (b *gapIgnored) Embed(y kernels.Matrix, w *kernels.Weight, tokens []int32) {
	b.float32Ref.Embed(y, asIfDense(w), tokens)
}

type unsteady struct {
	float32Ref
	calls int
}

func (b *unsteady) Scale(x kernels.Buf, factor float64) {
	b.calls++
	b.float32Ref.Scale(x, factor*(1+float64(b.calls)*0x1p-23))
}

type gateOverwrittenFirst struct{ float32Ref }

func (b *gateOverwrittenFirst) SwiGLUBackward(dgate, dup, dy, gate, up kernels.Matrix) {
	scratch := kernels.NewMatrix(b.Alloc(dup.Rows*dup.Cols), dup.Rows, dup.Cols)
	b.float32Ref.SwiGLUBackward(dgate, scratch, dy, gate, up)
	b.float32Ref.SwiGLUBackward(scratch, dup, dy, gate, up)
}

type firstColIgnored struct{ float32Ref }

func (b *firstColIgnored) Dropout(y, x kernels.Matrix, d kernels.Dropout, add bool) {
	d.FirstCol = 0
	b.float32Ref.Dropout(y, x, d, add)
}

type elsewhereLeftOut struct{ float32Ref }

func (b *elsewhereLeftOut) CrossEntropyBackward(logits kernels.Matrix, targets []int32, factors []float64,
	gradScale float64) {
	b.float32Ref.CrossEntropyBackward(logits, targets, factors, gradScale)
	for i, target := range targets {
		if row := logits.RowRange(i, i+1); target < 0 && row.Buf != nil {
			b.Clear(row.Buf)
		}
	}
}

type targetKept struct{ float32Ref }

func (b *targetKept) CrossEntropy(s kernels.SoftmaxRows, logits kernels.Matrix, targets []int32) {
	before := append([]float64(nil), s.Target...)
	b.float32Ref.CrossEntropy(s, logits, targets)
	for i, target := range targets {
		if target < 0 {
			s.Target[i] = before[i]
		}
	}
}

type bordersIgnored struct{ float32Ref }

func (b *bordersIgnored) Attention(y kernels.Matrix, lse kernels.Buf, q, k, v kernels.Matrix,
	a *kernels.AttentionShape) {
	whole := *a
	whole.Queries, whole.Keys = []int{q.Rows}, []int{k.Rows}
	b.float32Ref.Attention(y, lse, q, k, v, &whole)
}

type notANumber struct{ float32Ref }

func (b *notANumber) RMSNorm(y kernels.Matrix, inv kernels.Buf, x kernels.Matrix, gain kernels.Buf, eps float64) {
	b.float32Ref.RMSNorm(y, inv, x, gain, eps)
	if y.Rows > 0 {
		y.Buf.(kernels.F32)[0] = float32(math.NaN())
	}
}

type biasForgotten struct{ float32Ref }

func (b *biasForgotten) AdamW(param, grad, m, v kernels.Buf, step kernels.AdamW) {
	step.T += 1000
	b.float32Ref.AdamW(param, grad, m, v, step)
}

type decayCoupled struct{ float32Ref }

func (b *decayCoupled) AdamW(param, grad, m, v kernels.Buf, step kernels.AdamW) {
	g, p := b.Alloc(grad.Len()).(kernels.F32), param.(kernels.F32)
	for i := range g {
		g[i] = grad.(kernels.F32)[i] + float32(step.WeightDecay)*p[i]
	}
	step.WeightDecay = 0
	b.float32Ref.AdamW(param, g, m, v, step)
}

type allocDirty struct{ float32Ref }

func (b *allocDirty) Alloc(n int) kernels.Buf {
	buf := b.float32Ref.Alloc(n).(kernels.F32)
	for i := range buf {
		buf[i] = 1
	}
	return buf
}

type renamed struct{ float32Ref }

func (*renamed) Name() string { return "other" }

func TestSuiteFailsOnFaults(t *testing.T) {
	for _, tt := range []struct {
		check string
		be    kernels.Backend
	}{
		{"MatMul", new(addIgnored)},
		{"MatMul", new(alwaysAdded)},
		{"MatMul", new(alphaIgnored)},
		{"Linear", new(gapWritten)},
		{"LinearBackward", new(sourceWritten)},
		{"LinearAddends", new(addendMoved)},
		{"LinearBackwardAddends", new(addendForgotten)},
		{"Embed", new(rowsSwapped)},
		{"LinearOfColumns", new(gapIgnored)},
		{"EmbedOfColumns", new(gapIgnored)},
		{"Scale", new(unsteady)},
		{"SwiGLUBackwardInPlace", new(gateOverwrittenFirst)},
		{"Dropout", new(firstColIgnored)},
		{"DropoutOfParts", new(firstColIgnored)},
		{"CrossEntropy", new(targetKept)},
		{"CrossEntropyBackward", new(elsewhereLeftOut)},
		{"CrossEntropyOfParts", new(elsewhereLeftOut)},
		{"Attention", new(bordersIgnored)},
		{"TorchAttention", new(bordersIgnored)},
		{"RMSNorm", new(notANumber)},
		{"AdamW", new(biasForgotten)},
		{"AdamW", new(decayCoupled)},
		{"TorchAdamW", new(decayCoupled)},
		{"AllocIsZero", new(allocDirty)},
		{"ProductsRefuseWrongShapes", new(renamed)},
	} {
		if !fails(t, func(t testing.TB) { kernelstest.RunCheck(t, tt.check, tt.be, 1e-5) }) {
			t.Errorf("%s of %T: passed", tt.check, tt.be)
		}
		if fails(t, func(t testing.TB) { kernelstest.RunCheck(t, tt.check, new(float32Ref), 1e-5) }) {
			t.Errorf("%s of the reference: failed", tt.check)
		}
	}
}
