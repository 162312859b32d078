package cpu

import (
	"fmt"
	"math"

	"bdlora/kernels"
)

// attentionRows is how many queries, times the heads that share a key-value head,
// go through the keys together.
const attentionRows = 192

// generationRows is up to how many of them packing the values costs more than it
// saves.
const generationRows = 16

// Attention computes y[i] = Σ_j p_ij·v[j] over j ≤ i, with
// p_ij = exp(Scale·q[i]·k[j] − lse[i]).
//
// A unit takes some queries of all heads that share a key-value head through tiles
// of keys, with the running maximum of FlashAttention; it stops at the last key that
// any of them sees.
func (b *Backend) Attention(y kernels.Matrix, lse kernels.Buf, q, k, v kernels.Matrix, a *kernels.AttentionShape) {
	s := newSequences("Attention", y, lse, q, k, v, a)
	b.eachSpanOf(s.spans(max(1, attentionRows*a.KVHeads/a.Heads), a.KVHeads), a, func(w *worker, u span) {
		f := b.newForward(w, s, u)
		for key := 0; key < u.keyEnd(); key += b.routines.keyTile {
			mark := w.scratch.used
			f.tile(key)
			w.scratch.used = mark
		}
		f.finish()
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

// span is a run of queries of one sequence, in one head or key-value head.
type span struct {
	head     int // or key-value head
	row, key int // at which the sequence begins in q and in k
	from, to int // the queries, counted in the sequence
	offset   int // keys that the sequence has beside those of its queries
}

func (u span) queries() int { return u.to - u.from }

// visible is the number of keys that query i of the span sees.
func (u span) visible(i int) int { return u.offset + u.from + i + 1 }

// keyEnd is the number of keys that any query of the span sees.
func (u span) keyEnd() int { return u.offset + u.to }

// spans cuts the queries of each sequence into spans of at most size, for each head,
// those with the most keys first.
func (s sequences) spans(size, heads int) []span {
	var list []span
	row, key := 0, 0
	for i, queries := range s.Queries {
		for from := (queries - 1) / size * size; from >= 0 && queries > 0; from -= size {
			for head := range heads {
				list = append(list, span{head, row, key, from, min(queries, from+size), s.Keys[i] - queries})
			}
		}
		row, key = row+queries, key+s.Keys[i]
	}
	return list
}

// eachSpanOf runs a unit of attention for each span.
func (b *Backend) eachSpanOf(spans []span, a *kernels.AttentionShape, run func(w *worker, u span)) {
	work := 0
	for _, u := range spans {
		work += u.queries() * u.keyEnd() * a.HeadDim
	}
	b.each(work, len(spans), func(w *worker, unit int) { run(w, spans[unit]) })
}

// forward is one unit on its way through the keys. Its rows are the queries of the
// first head, then those of the second, and so on.
type forward struct {
	r *routines
	w *worker
	s sequences
	u span

	group       int     // heads that share the key-value head
	queries     operand // scaled, [rows, HeadDim]
	packed      panels  // the same
	scores, out operand // [rows, keyTile], [rows, HeadDim]
	largest     []float32
	sum         []float32 // of exp(score − largest)
}

func (b *Backend) newForward(w *worker, s sequences, u span) forward {
	r, group := b.routines, s.Heads/s.KVHeads
	count := group * u.queries()
	f := forward{r: r, w: w, s: s, u: u, group: group}
	f.scores = scoreTile(w, r, count)
	f.out = scratchMatrix(w, count, s.HeadDim)
	f.largest, f.sum = w.scratch.floats(count), w.scratch.floats(count)
	clear(f.sum)
	for i := range f.largest {
		f.largest[i] = float32(math.Inf(-1))
	}
	f.queries = scratchMatrix(w, count, s.HeadDim)
	for i := range count {
		copy(f.queries.f32[i*s.HeadDim:], f.query(s.q, i))
	}
	r.scale(f.queries.f32, float32(s.Scale))
	f.packed = r.packPanels(&w.scratch, f.queries, r.mr)
	return f
}

// query is the part of m, which is q or y, that belongs to row i of the unit.
func (f *forward) query(m rows, i int) []float32 {
	head := f.u.head*f.group + i/f.u.queries()
	row := f.u.row + f.u.from + i%f.u.queries()
	return m.at(row)[head*f.s.HeadDim : (head+1)*f.s.HeadDim]
}

// tile adds the keys from key on.
func (f *forward) tile(key int) {
	r, s, u := f.r, f.s, f.u
	keys := min(r.keyTile, u.keyEnd()-key)
	k := s.k.operand(u.key+key, keys, u.head*s.HeadDim, s.HeadDim)
	v := s.v.operand(u.key+key, keys, u.head*s.HeadDim, s.HeadDim)
	scores := f.scores
	scores.cols = keys
	f.score(scores, k)
	for i := range scores.rows {
		f.softmax(i, scores.f32[i*scores.row:][:keys], clamp(u.visible(i%u.queries())-key, 0, keys))
	}
	p := partial{f.out, inPlace(scores, r.mr), panels{}, keys, key > 0}
	r.multiplyColumns(f.w, p, v, scores.rows <= generationRows)
}

// score computes the scores of the keys k. In generation, with few rows, packing the
// keys would cost more than reading them once for every row.
func (f *forward) score(scores, k operand) {
	if scores.rows > fewRows {
		packed := f.r.packPanels(&f.w.scratch, k, f.r.nr)
		f.r.multiply(f.w, partial{scores, f.packed, packed, f.s.HeadDim, false})
		return
	}
	sums := f.w.edgeTile(vectorLanes)
	for j := 0; j < k.rows; j += 4 {
		count := min(4, k.rows-j)
		four := k.part(j, count, 0, k.cols)
		for i := range scores.rows {
			f.r.dots(sums, f.queries.f32[i*f.queries.row:][:k.cols], four)
			copy(scores.f32[i*scores.row+j:][:count], sums)
		}
	}
}

// softmax makes the scores of row i, of which the first visible count, relative to
// the largest so far, and brings what has been summed before in line with that.
func (f *forward) softmax(i int, scores []float32, visible int) {
	clear(scores[visible:])
	scores = scores[:visible]
	if visible == 0 {
		return
	}
	before := f.largest[i]
	largest := max(before, f.r.largest(scores))
	f.largest[i] = largest
	if largest != before {
		shrink := float32(math.Exp(float64(before) - float64(largest)))
		f.sum[i] *= shrink
		f.r.scale(f.out.f32[i*f.out.row:][:f.out.cols], shrink)
	}
	f.sum[i] += f.r.expSum(scores, scores, 1, largest)
}

func (f *forward) finish() {
	for i := range f.out.rows {
		y := f.query(f.s.y, i)
		copy(y, f.out.f32[i*f.out.row:])
		f.r.scale(y, 1/f.sum[i])
		row, head := f.u.row+f.u.from+i%f.u.queries(), f.u.head*f.group+i/f.u.queries()
		f.s.lse[row*f.s.Heads+head] = float32(float64(f.largest[i]) + math.Log(float64(f.sum[i])))
	}
}

// operand is the part of r with count rows from row on and cols columns from col on.
func (r rows) operand(row, count, col, cols int) operand {
	o := operand{rows: count, cols: cols, row: r.stride, col: 1}
	if count > 0 && cols > 0 {
		o.f32 = r.numbers[row*r.stride+col:]
	}
	return o
}

// scratchMatrix is a matrix of anything.
func scratchMatrix(w *worker, count, cols int) operand {
	return operand{f32: w.scratch.floats(count * cols), rows: count, cols: cols, row: cols, col: 1}
}

// scoreTile is room for the scores of count queries and keyTile keys, with margins
// for tiles that read it in place, transposed or not.
func scoreTile(w *worker, r *routines, count int) operand {
	stride := r.keyTile + r.nr/2
	room := w.scratch.floats(ceilDiv(count, r.mr)*r.mr*stride + r.mr)
	return operand{f32: room, rows: count, cols: r.keyTile, row: stride, col: 1}
}

// inPlace is o, whose rows have a margin, as panels of lanes that are its rows.
func inPlace(o operand, width int) panels { return panels{o.f32, width * o.row, o.row, o.col} }
