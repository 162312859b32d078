package kernelstest

import (
	"math"
	"testing"

	"bdlora/kernels"
	"bdlora/kernels/ref"
)

var attentionChecks = []check{
	{"Attention", checkAttention},
	{"AttentionBackward", checkAttentionBackward},
	{"AttentionLargeScores", checkAttentionLargeScores},
}

// attentionShapes are packed sequences, then decoding with a key-value cache; they
// surround tiles of 16 queries and of 64 keys.
var attentionShapes = []*kernels.AttentionShape{
	newAttention(1, 1, 1, []int{1}, []int{1}),
	newAttention(2, 1, 4, []int{3}, []int{3}),
	newAttention(4, 2, 8, []int{5, 1, 7}, []int{5, 1, 7}),
	newAttention(3, 3, 6, []int{20}, []int{20}),
	newAttention(9, 3, 16, []int{17, 33}, []int{17, 33}),
	newAttention(4, 2, 32, []int{70, 3, 65}, []int{70, 3, 65}),
	newAttention(2, 1, 64, []int{130}, []int{130}),
	newAttention(4, 1, 10, []int{1}, []int{12}),
	newAttention(2, 2, 7, []int{3, 1}, []int{9, 4}),
	newAttention(2, 1, 16, []int{1, 1, 20}, []int{67, 1, 90}),
}

func newAttention(heads, kvHeads, headDim int, queries, keys []int) *kernels.AttentionShape {
	return &kernels.AttentionShape{
		Heads: heads, KVHeads: kvHeads, HeadDim: headDim,
		Scale:   1 / math.Sqrt(float64(headDim)),
		Queries: queries, Keys: keys,
	}
}

// attentionSize are the rows and columns of q and of k.
func attentionSize(a *kernels.AttentionShape) (rows, cols, kvRows, kvCols int) {
	for s := range a.Queries {
		rows += a.Queries[s]
		kvRows += a.Keys[s]
	}
	return rows, a.Heads * a.HeadDim, kvRows, a.KVHeads * a.HeadDim
}

func newQKV(a *kernels.AttentionShape, lay layout) (q, k, v operand) {
	rows, cols, kvRows, kvCols := attentionSize(a)
	return newOperand("q", source, rows, cols, lay),
		newOperand("k", source, kvRows, kvCols, lay),
		newOperand("v", source, kvRows, kvCols, lay)
}

func checkAttention(t testing.TB, l lab) {
	for _, a := range attentionShapes {
		for _, lay := range []layout{packed, strided} {
			q, k, v := newQKV(a, lay)
			l.tryAttention(t, a, q, k, v, lay)
		}
	}
}

func (l lab) tryAttention(t testing.TB, a *kernels.AttentionShape, q, k, v operand, lay layout) {
	t.Helper()
	rows, cols, _, _ := attentionSize(a)
	operands := []operand{
		newOperand("y", overwrote, rows, cols, lay),
		vector("lse", overwrote, rows*a.Heads),
		q, k, v,
	}
	l.try(t, operands, func(be kernels.Backend, m []kernels.Matrix) float64 {
		be.Attention(m[0], m[1].Buf, m[2], m[3], m[4], a)
		return 0
	})
}

// The exponentials of these scores overflow float32 unless the largest is taken
// out. The tolerance is wider for what float32 has no say in: a score of 200 is
// off by 2⁻¹⁷ after rounding, and so is its exponential.
func checkAttentionLargeScores(t testing.TB, l lab) {
	l.tolerance *= 20
	for _, a := range attentionShapes {
		q, k, v := newQKV(a, packed)
		first := func(_ int, old float32) float32 { return old + 200/float32(a.HeadDim) }
		one := func(_ int, old float32) float32 { return old + 1 }
		large := *a
		large.Scale = 1
		l.tryAttention(t, &large, q.fill(first), k.fill(one), v, packed)
	}
}

func checkAttentionBackward(t testing.TB, l lab) {
	for _, a := range attentionShapes {
		for _, lay := range []layout{packed, strided} {
			l.tryAttentionBackward(t, a, lay)
		}
	}
}

func (l lab) tryAttentionBackward(t testing.TB, a *kernels.AttentionShape, lay layout) {
	t.Helper()
	rows, cols, kvRows, kvCols := attentionSize(a)
	q, k, v := newQKV(a, lay)
	y, lse := attend(a, q, k, v)
	operands := []operand{
		newOperand("dq", overwrote, rows, cols, lay),
		newOperand("dk", overwrote, kvRows, kvCols, lay),
		newOperand("dv", overwrote, kvRows, kvCols, lay),
		newOperand("dy", source, rows, cols, lay),
		newOperand("y", source, rows, cols, lay).with(y),
		vector("lse", source, rows*a.Heads).with(lse),
		q, k, v,
	}
	l.try(t, operands, func(be kernels.Backend, m []kernels.Matrix) float64 {
		be.AttentionBackward(m[0], m[1], m[2], m[3], m[4], m[5].Buf, m[6], m[7], m[8], a)
		return 0
	})
}

// attend is the reference's forward pass.
func attend(a *kernels.AttentionShape, q, k, v operand) (y, lse []float64) {
	be := ref.New[float32]()
	rows, cols, _, _ := attentionSize(a)
	out, sums := make(kernels.F32, rows*cols), make(kernels.F32, rows*a.Heads)
	view := func(o operand) kernels.Matrix { return o.view(kernels.F32(o.host)) }
	be.Attention(kernels.NewMatrix(out, rows, cols), sums, view(q), view(k), view(v), a)
	return numbers(be, out), numbers(be, sums)
}
