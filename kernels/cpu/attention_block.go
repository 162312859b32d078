package cpu

import "math"

// block is a few queries of all heads that share a key-value head, on their way
// through the keys. Lane query·group + head is one query in one of group heads.
// Matrices of a block have lanes as columns, up to whole vectors; the lanes beyond
// count are zeros of q, and nobody reads what becomes of them.
type block struct {
	b            *Backend
	r            *routines
	w            *worker
	s            sequences
	u            span
	group        int
	count, lanes int
	cols         int       // HeadDim, up to whole vectors
	hidden       []float32 // −∞, lanes of them
}

// eachBlock runs the blocks of a span, of about so many lanes.
func (b *Backend) eachBlock(w *worker, s sequences, u span, lanes int, run func(bl *block)) {
	t, size, to := b.routines.strips, s.blockQueries(lanes), u.to
	for u.from < to {
		u.to = min(to, u.from+size)
		mark := w.scratch.used
		bl := &w.block
		*bl = block{b: b, r: b.routines, w: w, s: s, u: u, group: s.Heads / s.KVHeads, cols: roundUp(s.HeadDim, t.lanes)}
		bl.count = bl.u.queries() * bl.group
		bl.lanes = roundUp(bl.count, t.lanes)
		bl.hidden = bl.each(float32(math.Inf(-1)))
		run(bl)
		w.scratch.used = mark
		u.from = u.to
	}
}

// blockQueries is how many queries a block of about so many lanes has.
func (s sequences) blockQueries(lanes int) int { return max(1, lanes*s.KVHeads/s.Heads) }

// each is a value for each lane.
func (bl *block) each(value float32) []float32 {
	x := bl.w.scratch.floats(bl.lanes)
	for i := range x {
		x[i] = value
	}
	return x
}

// at is the part of m, which has the shape of q, that belongs to a lane.
func (bl *block) at(m rows, lane int) []float32 {
	head := bl.u.kvHead*bl.group + lane%bl.group
	return m.at(bl.u.row + bl.u.from + lane/bl.group)[head*bl.s.HeadDim:][:bl.s.HeadDim]
}

// lse is the index of a lane in the sums of exponentials.
func (bl *block) lse(lane int) int {
	return (bl.u.row+bl.u.from+lane/bl.group)*bl.s.Heads + bl.u.kvHead*bl.group + lane%bl.group
}

// operand is the part of m, which has the shape of q, that belongs to the block: a
// row for each query, the numbers of one head after those of the other.
func (bl *block) operand(m rows) operand {
	cols := bl.group * bl.s.HeadDim
	return m.operand(bl.u.row+bl.u.from, bl.u.queries(), bl.u.kvHead*cols, cols)
}

// gather copies m, which has the shape of q, lane by lane. What is between the rows
// is anything.
func (bl *block) gather(m rows) operand {
	x := scratchMatrix(bl.w, bl.lanes, bl.cols)
	clear(x.f32[bl.count*bl.cols:])
	if bl.cols == bl.s.HeadDim {
		from := bl.operand(m)
		bl.r.copyRows(operand{f32: x.f32, row: from.cols}, from)
		return x
	}
	for lane := range bl.count {
		copy(x.f32[lane*bl.cols:], bl.at(m, lane))
	}
	return x
}

// scatter is the inverse of gather, from a matrix with lanes as columns.
func (bl *block) scatter(m rows, x operand) {
	lanes := bl.turn(x)
	if lanes.row == bl.s.HeadDim {
		to := bl.operand(m)
		for i := range to.rows {
			copy(to.f32[i*to.row:][:to.cols], lanes.f32[i*to.cols:])
		}
		return
	}
	for lane := range bl.count {
		copy(bl.at(m, lane), lanes.f32[lane*lanes.row:])
	}
}

// turn is the transpose of x, in memory too.
func (bl *block) turn(x operand) operand {
	y := scratchMatrix(bl.w, x.cols, x.rows)
	bl.r.pack(y.f32, y.cols, x)
	return y
}

// scores: to = keys·lanes, for the keys from key on. What the queries of a lane do
// not see becomes −∞.
func (bl *block) scores(to, keys, lanes operand, key int) {
	bl.r.strips.product(to, keys, lanes, false)
	first := bl.u.offset + bl.u.from - key // the last key that all queries see
	for j := max(0, first+1); j < to.rows; j++ {
		blind := min(j-first, bl.u.queries())
		copy(to.f32[j*to.row:], bl.hidden[:blind*bl.group])
	}
}

// eachTile runs over the keys that the block sees, in whole tiles.
func (bl *block) eachTile(run func(key, keys int)) {
	t := bl.r.strips
	size, end := roundUp(keyTile, t.rows), roundUp(bl.u.keyEnd(), t.rows)
	for key := 0; key < end; key += size {
		run(key, min(size, end-key))
	}
}

// scratch is a matrix with lanes as columns and at least count rows, in whole tiles.
func (bl *block) scratch(count int) operand {
	return scratchMatrix(bl.w, roundUp(count, bl.r.strips.rows), bl.lanes)
}

// forward computes y and lse of the block.
func (bl *block) forward() {
	r, s := bl.r, bl.s
	q := bl.gather(s.q)
	r.scale(q.f32, float32(s.Scale))
	q = bl.turn(q)
	out, scores := bl.scratch(s.HeadDim), bl.scratch(keyTile)
	largest, sum, shrink := bl.each(float32(math.Inf(-1))), bl.each(0), bl.each(0)
	bl.eachTile(func(key, keys int) {
		mark := bl.w.scratch.used
		p := scores.part(0, keys, 0, bl.lanes)
		bl.scores(p, bl.b.keys(bl.w, s, s.k, bl.u, key, keys), q, key)
		bl.softmax(p, largest, sum, shrink)
		if key > 0 {
			r.scaleEach(out, shrink)
		}
		r.strips.product(out, bl.b.keys(bl.w, s, s.v, bl.u, key, keys).t(), p, key > 0)
		bl.w.scratch.used = mark
	})
	for lane := range bl.count {
		s.lse[bl.lse(lane)] = float32(float64(largest[lane]) + math.Log(float64(sum[lane])))
	}
	for lane := range sum {
		sum[lane] = 1 / sum[lane]
	}
	r.scaleEach(out, sum)
	bl.scatter(s.y, out)
}
