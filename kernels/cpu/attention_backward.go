package cpu

import (
	"math"

	"bdlora/kernels"
)

// backwardUnits is how many units the backward pass has at least, for long sequences.
const backwardUnits = 16

// AttentionBackward recomputes p_ij from lse and follows
//
//	ds_ij = p_ij·(dy[i]·v[j] − dy[i]·y[i])
//	dq[i] = Scale·Σ_j ds_ij·k[j]
//	dk[j] = Scale·Σ_i ds_ij·q[i]
//	dv[j] = Σ_i p_ij·dy[i]
//
// A unit is a part of the queries of a sequence, which sums dk and dv of its own:
// those of the first part are where they belong, and the others are added in order
// at the end. How many parts there are depends on the shape alone.
func (b *Backend) AttentionBackward(dq, dk, dv, dy, y kernels.Matrix, lse kernels.Buf, q, k, v kernels.Matrix,
	a *kernels.AttentionShape) {
	const kernel = "AttentionBackward"
	s := newSequences(kernel, y, lse, q, k, v, a)
	g := gradients{
		sequences: s,
		dq:        rowsOf(kernel, "dq", dq, q.Rows, q.Cols),
		dy:        rowsOf(kernel, "dy", dy, y.Rows, y.Cols),
		dk:        []rows{rowsOf(kernel, "dk", dk, k.Rows, k.Cols)},
		dv:        []rows{rowsOf(kernel, "dv", dv, v.Rows, v.Cols)},
	}
	b.shared.reset()
	parts := s.parts()
	for range parts - 1 {
		g.dk = append(g.dk, rows{b.shared.floats(k.Rows * k.Cols), k.Cols, k.Cols})
		g.dv = append(g.dv, rows{b.shared.floats(v.Rows * v.Cols), v.Cols, v.Cols})
	}
	b.spans = s.partSpans(b.spans[:0], parts)
	b.eachQuerySpan(a, func(w *worker, u span) { b.backward(w, g, u) })
	if parts > 1 {
		b.addParts(g, k.Rows)
	}
}

// addParts adds the sums of all parts to those of the first.
func (b *Backend) addParts(g gradients, keys int) {
	b.eachRow(keys, len(g.dk)*g.dk[0].cols, func(_ *worker, row int) {
		for part := 1; part < len(g.dk); part++ {
			b.routines.addScaled(g.dk[0].at(row), g.dk[part].at(row), 1)
			b.routines.addScaled(g.dv[0].at(row), g.dv[part].at(row), 1)
		}
	})
}

// gradients are the operands of the backward pass.
type gradients struct {
	sequences
	dq, dy rows
	dk, dv []rows // of each part
}

// parts is into how many parts each sequence is cut, so that there are
// backwardUnits, but no more than a few, as each of them has its own sums.
func (s sequences) parts() int {
	return clamp(ceilDiv(backwardUnits, max(1, s.KVHeads*len(s.Queries))), 1, 4)
}

// partSpans appends to list what the queries of each sequence are cut into: parts of
// about equal work, which grows with the square of the last query. The last part, which
// sees all keys, is 0.
func (s sequences) partSpans(list []span, parts int) []span {
	row, key := 0, 0
	for i, queries := range s.Queries {
		for part := range parts {
			before := func(part int) int {
				share := math.Sqrt(float64(parts-part) / float64(parts))
				return min(queries, roundUp(int(share*float64(queries)), s.blockQueries(backwardLanes)))
			}
			for head := range s.KVHeads {
				list = append(list, span{
					kvHead: head, row: row, key: key, from: before(part + 1), to: before(part),
					keys: s.Keys[i], offset: s.Keys[i] - queries, part: part,
				})
			}
		}
		row, key = row+queries, key+s.Keys[i]
	}
	return list
}

// backward is one unit.
func (b *Backend) backward(w *worker, g gradients, u span) {
	s, t := g.sequences, b.routines.strips
	rows, cols := roundUp(u.keyEnd(), t.rows), roundUp(s.HeadDim, t.lanes)
	k, v := b.keys(w, s, s.k, u, 0, u.keyEnd()), b.keys(w, s, s.v, u, 0, u.keyEnd())
	dk, dv := scratchMatrix(w, rows, cols), scratchMatrix(w, rows, cols)
	dk.clear()
	dv.clear()
	b.eachBlock(w, s, u, backwardLanes, func(bl *block) { bl.backward(g, k, v, dk, dv) })
	u.store(g.dk[u.part], dk, s.HeadDim)
	u.store(g.dv[u.part], dv, s.HeadDim)
}

// store writes the sums of the keys that u sees, and zeros for the others.
func (u span) store(to rows, sums operand, headDim int) {
	for j := range u.keys {
		row := to.at(u.key + j)[u.kvHead*headDim:][:headDim]
		if j < u.keyEnd() {
			copy(row, sums.f32[j*sums.row:])
		} else {
			clear(row)
		}
	}
}

// backward computes dq of the block, and adds what it gives to dk and dv.
func (bl *block) backward(g gradients, k, v, dk, dv operand) {
	r, s := bl.r, bl.s
	product := r.strips.product
	q, dy := bl.gather(s.q), bl.gather(g.dy)
	r.scale(q.f32, float32(s.Scale))
	lse, pull := bl.each(0), bl.each(0)
	for lane := range bl.count {
		lse[lane] = s.lse[bl.lse(lane)]
		pull[lane] = r.dot(bl.at(g.dy, lane), bl.at(s.y, lane))
	}
	qLanes, dyLanes := bl.turn(q), bl.turn(dy)
	dq, allP, allDS := bl.scratch(s.HeadDim), bl.scratch(keyTile), bl.scratch(keyTile)
	bl.eachTile(func(key, keys int) {
		p, ds := allP.part(0, keys, 0, bl.lanes), allDS.part(0, keys, 0, bl.lanes)
		kTile, vTile := k.part(key, keys, 0, s.HeadDim), v.part(key, keys, 0, s.HeadDim)
		bl.scores(p, kTile, qLanes, key)
		product(ds, vTile, dyLanes, false)
		r.softmaxGradient(p, ds, lse, pull)
		product(dq, kTile.t(), ds, key > 0)
		product(dv.part(key, keys, 0, bl.cols), p, dy, true)
		product(dk.part(key, keys, 0, bl.cols), ds, q, true)
	})
	r.scale(dq.f32, float32(s.Scale))
	bl.scatter(g.dq, dq)
}
