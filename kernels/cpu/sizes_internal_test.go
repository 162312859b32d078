package cpu

import (
	"fmt"
	"math"
	"testing"

	"bdlora/kernels"
)

// Law: what a Backend counts is what its arenas come to hold, on every path: scratch
// that a kernel takes and nobody counts would make predictions of memory wrong.
func TestCountedScratchIsWhatArenasHold(t *testing.T) {
	const tolerance = 0.1
	for _, r := range append(supported(), emulated()) {
		for _, threads := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s/threads=%d", r.path, threads), func(t *testing.T) {
				b := newBackend(threads, r)
				counter := b.CountMemory()
				callKernels(b)
				callKernels(counter)
				most := 0 // of a worker: one that comes late may not have had any
				for _, w := range b.pool.workers {
					most = max(most, len(w.scratch.slab))
				}
				got, want := float64(counter.Scratch()), 4*float64(len(b.shared.slab)+threads*most)
				if math.Abs(got-want) > tolerance*want {
					t.Errorf("counted %.0f bytes on %d threads, want the %.0f of the arenas", got, threads, want)
				}
			})
		}
	}
}

// callKernels calls the kernels that take scratch, as training does: 200 tokens of a
// model of 192 and a vocabulary of 700.
func callKernels(be kernels.Backend) {
	const tokens, hidden, vocab, rank = 200, 192, 700, 24
	matrix := func(rows, cols int) kernels.Matrix { return kernels.NewMatrix(be.Alloc(rows*cols), rows, cols) }
	x, logits, head := matrix(tokens, hidden), matrix(tokens, vocab), &kernels.Weight{
		Name: "head", Rows: vocab, Cols: hidden, F32: make([]float32, vocab*hidden),
	}
	h, a, b := matrix(tokens, rank), matrix(rank, hidden), matrix(vocab, rank)
	be.MatMul(h, 1, x, a.T(), false)
	be.Linear(logits, x, head, kernels.Addend{Alpha: 1, A: h, B: b.T()})
	be.LinearBackward(x, logits, head, false)
	be.MatMul(b, 1, logits.T(), h, false)

	shape := &kernels.AttentionShape{
		Heads: 6, KVHeads: 2, HeadDim: hidden / 6, Scale: 1, Queries: []int{tokens}, Keys: []int{tokens},
	}
	q, y, k, v, lse := matrix(tokens, hidden), matrix(tokens, hidden), matrix(tokens, hidden/3), matrix(tokens, hidden/3), be.Alloc(6*tokens)
	be.Attention(y, lse, q, k, v, shape)
	dq, dk, dv, dy := matrix(tokens, hidden), matrix(tokens, hidden/3), matrix(tokens, hidden/3), matrix(tokens, hidden)
	be.AttentionBackward(dq, dk, dv, dy, y, lse, q, k, v, shape)
}
