package cpu

import "bdlora/kernels"

// backwardRows is how many queries of a head go through the keys together.
const backwardRows = 84

// AttentionBackward recomputes p_ij from lse and follows
//
//	ds_ij = p_ij·(dy[i]·v[j] − dy[i]·y[i])
//	dq[i] = Scale·Σ_j ds_ij·k[j]
//	dk[j] = Scale·Σ_i ds_ij·q[i]
//	dv[j] = Σ_i p_ij·dy[i]
//
// A unit is a head of a sequence, which sums dk and dv of its own. Those of the
// heads that share a key-value head are added in their order at the end.
func (b *Backend) AttentionBackward(dq, dk, dv, dy, y kernels.Matrix, lse kernels.Buf, q, k, v kernels.Matrix,
	a *kernels.AttentionShape) {
	const kernel = "AttentionBackward"
	s := newSequences(kernel, y, lse, q, k, v, a)
	g := gradients{
		sequences: s,
		dq:        rowsOf(kernel, "dq", dq, q.Rows, q.Cols),
		dy:        rowsOf(kernel, "dy", dy, y.Rows, y.Cols),
	}
	dks, dvs := rowsOf(kernel, "dk", dk, k.Rows, k.Cols), rowsOf(kernel, "dv", dv, v.Rows, v.Cols)
	b.shared.reset()
	g.dk, g.dv = b.headSums(k.Rows, a), b.headSums(k.Rows, a)
	b.eachSpanOf(s.spans(longest(a.Queries), a.Heads), a, func(w *worker, u span) {
		h := b.newHead(w, g, u)
		for from := 0; from < u.to; from += backwardRows {
			mark := w.scratch.used
			h.queries(from, min(u.to, from+backwardRows))
			w.scratch.used = mark
		}
	})
	b.eachRow(k.Rows, a.Heads*a.HeadDim, func(_ *worker, row int) {
		b.addHeads(dks.at(row), g.dk.at(row), a)
		b.addHeads(dvs.at(row), g.dv.at(row), a)
	})
}

// gradients are the operands of the backward pass.
type gradients struct {
	sequences
	dq, dy rows
	dk, dv rows // [keys, Heads·HeadDim]
}

// headSums is room for a gradient in the keys of every head.
func (b *Backend) headSums(keys int, a *kernels.AttentionShape) rows {
	cols := a.Heads * a.HeadDim
	return rows{b.shared.floats(keys * cols), cols, cols}
}

// addHeads adds the gradients of the heads that share a key-value head.
func (b *Backend) addHeads(to, heads []float32, a *kernels.AttentionShape) {
	group := a.Heads / a.KVHeads
	for head := range a.Heads {
		sum := to[head/group*a.HeadDim:][:a.HeadDim]
		part := heads[head*a.HeadDim:][:a.HeadDim]
		if head%group == 0 {
			copy(sum, part)
		} else {
			b.routines.addScaled(sum, part, 1)
		}
	}
}

func longest(lengths []int) int {
	most := 1
	for _, n := range lengths {
		most = max(most, n)
	}
	return most
}

// head is one unit of the backward pass: a sequence in one head.
type head struct {
	r     *routines
	w     *worker
	g     gradients
	u     span
	tiles []keyPanels
}

// keyPanels are a part of the keys as the products want it.
type keyPanels struct {
	key, keys int
	k, v      panels // lanes are keys
	keyRows   panels // lanes are the numbers of a key
	dk, dv    operand
}

func (b *Backend) newHead(w *worker, g gradients, u span) head {
	r, h := b.routines, head{r: b.routines, w: w, g: g, u: u, tiles: w.keys[:0]}
	kvCol, col := u.head*g.KVHeads/g.Heads*g.HeadDim, u.head*g.HeadDim
	for key := 0; key < u.keyEnd(); key += r.keyTile {
		keys := min(r.keyTile, u.keyEnd()-key)
		k := g.k.operand(u.key+key, keys, kvCol, g.HeadDim)
		v := g.v.operand(u.key+key, keys, kvCol, g.HeadDim)
		t := keyPanels{
			key: key, keys: keys,
			k:       r.packPanels(&w.scratch, k, r.nr),
			v:       r.packPanels(&w.scratch, v, r.nr),
			keyRows: r.packPanels(&w.scratch, k.t(), r.nr),
			dk:      g.dk.operand(u.key+key, keys, col, g.HeadDim),
			dv:      g.dv.operand(u.key+key, keys, col, g.HeadDim),
		}
		t.dk.clear()
		t.dv.clear()
		h.tiles = append(h.tiles, t)
	}
	w.keys = h.tiles
	return h
}

// queries runs the queries [from, to) of the sequence through the keys that they see.
func (h head) queries(from, to int) {
	r, g, scratch := h.r, h.g, &h.w.scratch
	u := h.u
	u.from, u.to = from, to
	col := u.head * g.HeadDim
	b := block{head: h, u: u}
	q := g.q.operand(u.row+from, to-from, col, g.HeadDim)
	dy := g.dy.operand(u.row+from, to-from, col, g.HeadDim)
	b.q, b.qRows = r.packPanels(scratch, q, r.mr), r.packPanels(scratch, q.t(), r.nr)
	b.dy, b.dyRows = r.packPanels(scratch, dy, r.mr), r.packPanels(scratch, dy.t(), r.nr)
	r.scale(b.q.data, float32(g.Scale))
	r.scale(b.qRows.data, float32(g.Scale))
	b.p, b.ds = scoreTile(h.w, r, to-from), scoreTile(h.w, r, to-from)
	b.dq = scratchMatrix(h.w, to-from, g.HeadDim)
	b.pull = scratch.floats(to - from)
	for i := range b.pull {
		b.pull[i] = r.dot(g.dy.at(u.row + from + i)[col:col+g.HeadDim], g.y.at(u.row + from + i)[col:col+g.HeadDim])
	}
	for _, t := range h.tiles {
		if t.key < u.keyEnd() {
			b.tile(t)
		}
	}
	for i := range to - from {
		dq := g.dq.at(u.row + from + i)[col : col+g.HeadDim]
		copy(dq, b.dq.f32[i*b.dq.row:])
		r.scale(dq, float32(g.Scale))
	}
}

// block is a block of queries of a head on its way through the keys.
type block struct {
	head
	u             span
	q, dy         panels // lanes are queries
	qRows, dyRows panels // lanes are the numbers of a query
	p, ds         operand
	dq            operand
	pull          []float32 // dy[i]·y[i]
}

// tile adds what the queries and the keys of t give each other.
func (b block) tile(t keyPanels) {
	r, steps, queries := b.r, b.g.HeadDim, b.u.queries()
	keys := min(t.keys, b.u.keyEnd()-t.key)
	p, ds := b.p, b.ds
	p.cols, ds.cols = keys, keys
	r.multiply(b.w, partial{p, b.q, t.k, steps, false})
	r.multiply(b.w, partial{ds, b.dy, t.v, steps, false})
	for i := range queries {
		visible := clamp(b.u.visible(i)-t.key, 0, keys)
		pi, dsi := p.f32[i*p.row:][:keys], ds.f32[i*ds.row:][:keys]
		lse := b.g.lse[(b.u.row+b.u.from+i)*b.g.Heads+b.u.head]
		r.expSum(pi[:visible], pi[:visible], 1, lse)
		r.scoreBackward(dsi[:visible], pi[:visible], b.pull[i], 1)
		clear(pi[visible:])
		clear(dsi[visible:])
	}
	dk, dv := t.dk.part(0, keys, 0, steps), t.dv.part(0, keys, 0, steps)
	r.multiply(b.w, partial{b.dq, inPlace(ds, r.mr), t.keyRows, keys, t.key > 0})
	r.multiply(b.w, partial{dv, inPlace(p.t(), r.mr), b.dyRows, queries, true})
	r.multiply(b.w, partial{dk, inPlace(ds.t(), r.mr), b.qRows, queries, true})
}
