package cpu

import (
	"fmt"

	"bdlora/kernels"
)

// The sizes of the blocks that attention is cut into. The queries of all heads that
// share a key-value head go together, as lanes of a block.
const (
	forwardLanes  = 48  // of a block: few, as it computes all scores that any lane needs
	backwardLanes = 96  // of a block: more, as its lanes are summed into dk and dv
	spanLanes     = 192 // of a unit of the forward pass
	keyTile       = 128 // keys that a block meets at a time
)

// Attention computes y[i] = Σ_j p_ij·v[j] over j ≤ i, with
// p_ij = exp(Scale·q[i]·k[j] − lse[i]).
//
// A unit takes some queries of a sequence, block by block, through tiles of keys,
// with the running softmax of FlashAttention; a block stops at the last key that any
// of its queries sees.
func (b *Backend) Attention(y kernels.Matrix, lse kernels.Buf, q, k, v kernels.Matrix, a *kernels.AttentionShape) {
	s := newSequences("Attention", y, lse, q, k, v, a)
	b.spans = s.spans(b.spans[:0], spanLanes)
	b.eachQuerySpan(a, func(w *worker, u span) {
		b.eachBlock(w, s, u, forwardLanes, (*block).forward)
	})
}

// sequences are the operands of attention.
type sequences struct {
	*kernels.AttentionShape
	y, q, k, v rows
	lse        []float32
}

func newSequences(kernel string, y kernels.Matrix, lse kernels.Buf, q, k, v kernels.Matrix,
	a *kernels.AttentionShape) sequences {
	if a.KVHeads < 1 || a.Heads%a.KVHeads != 0 {
		panic(fmt.Sprintf("cpu: %s: %d heads do not share %d key-value heads evenly", kernel, a.Heads, a.KVHeads))
	}
	checkLen(kernel, "a.Keys", len(a.Keys), len(a.Queries))
	queries, keys := 0, 0
	for i := range a.Queries {
		if a.Keys[i] < a.Queries[i] {
			panic(fmt.Sprintf("cpu: %s: sequence %d has %d keys, want at least its %d queries",
				kernel, i, a.Keys[i], a.Queries[i]))
		}
		queries, keys = queries+a.Queries[i], keys+a.Keys[i]
	}
	checkLen(kernel, "lse", lse.Len(), queries*a.Heads)
	return sequences{
		AttentionShape: a,
		y:              rowsOf(kernel, "y", y, queries, a.Heads*a.HeadDim),
		q:              rowsOf(kernel, "q", q, queries, a.Heads*a.HeadDim),
		k:              rowsOf(kernel, "k", k, keys, a.KVHeads*a.HeadDim),
		v:              rowsOf(kernel, "v", v, keys, a.KVHeads*a.HeadDim),
		lse:            floats(lse),
	}
}

// span is a run of queries of one sequence, in the heads of one key-value head.
type span struct {
	kvHead   int
	row, key int // at which the sequence begins in q and in k
	from, to int // the queries, counted in the sequence
	keys     int // of the sequence
	offset   int // those beside the keys of its queries
	part     int // of the sequence, in the backward pass
}

func (u span) queries() int { return u.to - u.from }

// keyEnd is the number of keys that any query of the span sees.
func (u span) keyEnd() int { return u.offset + u.to }

// spans appends to list what the queries of each sequence are cut into: spans of about
// so many lanes, for each key-value head, those with the most keys first.
func (s sequences) spans(list []span, lanes int) []span {
	size := s.blockQueries(lanes)
	row, key := 0, 0
	for i, queries := range s.Queries {
		for from := (queries - 1) / size * size; from >= 0 && queries > 0; from -= size {
			for head := range s.KVHeads {
				list = append(list, span{
					kvHead: head, row: row, key: key,
					from: from, to: min(queries, from+size),
					keys: s.Keys[i], offset: s.Keys[i] - queries,
				})
			}
		}
		row, key = row+queries, key+s.Keys[i]
	}
	return list
}

// eachQuerySpan runs a unit of attention for each of b.spans.
func (b *Backend) eachQuerySpan(a *kernels.AttentionShape, run func(w *worker, u span)) {
	work := 0
	for _, u := range b.spans {
		work += u.queries() * u.keyEnd() * a.Heads / a.KVHeads * a.HeadDim
	}
	b.each(work, len(b.spans), func(w *worker, unit int) { run(w, b.spans[unit]) })
}

// keys are count keys from from on of m, which is k or v, for u: where they lie if
// they are whole tiles there, or else copied, with zeros up to whole tiles.
func (b *Backend) keys(w *worker, s sequences, m rows, u span, from, count int) operand {
	t := b.routines.strips
	x := m.operand(u.key+from, min(count, u.keys-from), u.kvHead*s.HeadDim, s.HeadDim)
	if t.wholeKeys(s, u, from, count) {
		return x
	}
	return b.routines.padded(w, x, roundUp(count, t.rows), roundUp(x.cols, t.rows))
}

// wholeKeys reports whether count keys of u from from on are whole tiles, and whole
// tiles if transposed.
func (t strips) wholeKeys(s sequences, u span, from, count int) bool {
	return count%t.rows == 0 && s.HeadDim%t.rows == 0 && from+count <= u.keys
}

// padded is a copy of x with zeros up to count rows, and anything between the rows.
func (r *routines) padded(w *worker, x operand, count, stride int) operand {
	y := operand{f32: w.scratch.floats(count * stride), rows: count, cols: x.cols, row: stride, col: 1}
	clear(y.f32[x.rows*stride:])
	r.copyRows(y, x)
	return y
}

// operand is the part of r with count rows from row on and cols columns from col on.
func (r rows) operand(row, count, col, cols int) operand {
	o := operand{rows: count, cols: cols, row: r.stride, col: 1}
	if count > 0 && cols > 0 {
		o.f32 = r.numbers[row*r.stride+col:]
	}
	return o
}

// copyRows copies x to the upper left of y.
func (r *routines) copyRows(y, x operand) {
	if x.cols == y.row {
		r.pack(y.f32, x.cols, x.t())
		return
	}
	for i := range x.rows {
		copy(y.f32[i*y.row:], x.f32[i*x.row:][:x.cols])
	}
}

// scratchMatrix is a matrix of anything.
func scratchMatrix(w *worker, count, cols int) operand {
	return operand{f32: w.scratch.floats(count * cols), rows: count, cols: cols, row: cols, col: 1}
}
