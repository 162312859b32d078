package cpu

import "bdlora/kernels"

// segment is one product of a sum: alpha·x·y, which goes to the columns of c from
// col on.
type segment struct {
	x, y  operand
	alpha float32
	col   int
}

// unitFits reports whether the matrix unit can and should compute c = x·y. With a y
// of float32 and few columns, cutting x into terms costs more than it saves.
func (b *Backend) unitFits(c, x, y operand) bool {
	leastCols := unitLanes / 2
	if y.format == kernels.FormatF32 {
		leastCols = 4 * unitLanes
	}
	return b.routines.unit != nil && c.col == 1 && x.col == 1 &&
		c.rows >= unitLanes/2 && c.cols >= leastCols && x.cols >= roundSteps/2
}

// tiled computes c = Σ segments, or c += … if add, with the matrix unit. The first
// segment covers all columns of c, whose rows are contiguous, and so are those of
// every x.
func (b *Backend) tiled(c operand, segments []segment, add bool) {
	for top := 0; top < c.rows; top += slabRows {
		rows := min(slabRows, c.rows-top)
		b.slab(c.part(top, rows, 0, c.cols), b.packSegments(segments, top, rows), add)
	}
}

// packedSegment is a segment for the rows of a slab.
type packedSegment struct {
	segment
	terms  terms
	panels []float32 // of x: block of rounds after block, in them panel after panel
	count  int       // panels
}

// termsOf says how many terms the product of activations and y needs.
func (b *Backend) termsOf(y operand) terms {
	if y.format == kernels.FormatBF16 {
		return terms{b.terms, 1}
	}
	return terms{b.terms, b.terms}
}

// packSegments packs rows [top, top+rows) of each x into shared scratch.
func (b *Backend) packSegments(segments []segment, top, rows int) []packedSegment {
	b.shared.reset()
	b.packed = b.packed[:0]
	for _, s := range segments {
		p := packedSegment{segment: s, terms: b.termsOf(s.y), count: ceilDiv(rows, unitLanes)}
		p.x = s.x.part(top, rows, 0, s.x.cols)
		p.panels = b.shared.floats(panelWords(rows, s.x.cols, p.terms.a))
		b.packPanelsOf(p)
		b.packed = append(b.packed, p)
	}
	return b.packed
}

// panelWords is the length of the panels of so many rows.
func panelWords(rows, steps, terms int) int {
	return ceilDiv(rows, unitLanes) * ceilDiv(steps, roundSteps) * terms * roundWords
}

func (b *Backend) packPanelsOf(p packedSegment) {
	u, blocks := b.routines.unit, p.blocks()
	b.each(p.x.rows*p.x.cols, p.count*blocks.count, func(w *worker, unit int) {
		i, from := unit/blocks.count*unitLanes, unit%blocks.count*blocks.steps
		x := p.x.part(i, min(unitLanes, p.x.rows-i), from, min(blocks.steps, p.x.cols-from))
		u.packRows(p.panel(unit/blocks.count, from), x, p.terms.a, p.alpha, &w.scratch)
	})
}

// stepBlocks are the blocks that the steps of a product are cut into.
type stepBlocks struct{ count, steps int }

// blocks are as equal as whole rounds allow.
func (p packedSegment) blocks() stepBlocks {
	rounds := ceilDiv(p.x.cols, roundSteps)
	count := ceilDiv(rounds, p.terms.rounds())
	each := ceilDiv(rounds, count)
	return stepBlocks{ceilDiv(rounds, each), each * roundSteps}
}

// panel is the i-th panel of x in the block of steps that begins at from.
func (p packedSegment) panel(i, from int) []float32 {
	words := p.terms.a * roundWords
	rounds := ceilDiv(min(p.blocks().steps, p.x.cols-from), roundSteps)
	return p.panels[(from/roundSteps*p.count+i*rounds)*words:][:rounds*words]
}

// slab computes the columns of c, which are as many rows as have been packed.
func (b *Backend) slab(c operand, segments []packedSegment, add bool) {
	panels := ceilDiv(c.cols, unitLanes)
	chunk := clamp(ceilDiv(panels, unitsThread*b.threads), 1, chunkPanels) * unitLanes
	b.each(c.rows*c.cols*segments[0].x.cols, ceilDiv(c.cols, chunk), func(w *worker, unit int) {
		from := unit * chunk
		to := min(c.cols, from+chunk)
		for i, s := range segments {
			from, to := max(from, s.col), min(to, s.col+s.y.cols)
			if from < to {
				b.columns(w, c.part(0, c.rows, from, to-from), s, s.y.part(0, s.y.rows, from-s.col, to-from), add || i > 0)
			}
		}
	})
}

// columns computes the part c of the columns that s, with the part y of its own, goes
// to. c and the panels of y stay in level 2, and those of x go by.
func (b *Backend) columns(w *worker, c operand, s packedSegment, y operand, add bool) {
	blocks := s.blocks()
	for step := 0; step < y.rows; step += blocks.steps {
		steps := min(blocks.steps, y.rows-step)
		panels := b.routines.packChunk(w, y.part(step, steps, 0, y.cols), s.terms.b)
		for i := range s.count {
			rows := c.part(i*unitLanes, min(unitLanes, c.rows-i*unitLanes), 0, c.cols)
			b.rowPanel(w, rows, s, s.panel(i, step), panels, ceilDiv(steps, roundSteps), add || step > 0)
		}
		w.scratch.reset()
	}
}

// packChunk packs all columns of y into scratch, panel after panel.
func (r *routines) packChunk(w *worker, y operand, terms int) []float32 {
	words := ceilDiv(y.rows, roundSteps) * terms * roundWords
	count := ceilDiv(y.cols, unitLanes)
	panels := w.scratch.floats(count * words)
	for i := range count {
		lanes := y.part(0, y.rows, i*unitLanes, min(unitLanes, y.cols-i*unitLanes)).t()
		r.packColumns(panels[i*words:][:words], lanes, terms, &w.scratch)
	}
	return panels
}

// rowPanel computes up to 32 rows c: whole blocks in place, what is left aside.
func (b *Backend) rowPanel(w *worker, c operand, s packedSegment, a, panels []float32, rounds int, add bool) {
	multiply, words := b.routines.unit.product(s.terms), rounds*s.terms.b*roundWords
	whole := 0
	if c.rows == unitLanes {
		whole = c.cols / unitLanes
	}
	if whole > 0 {
		multiply(whole, rounds, a, panels, c.f32, c.row, add)
	}
	for j := whole; j*unitLanes < c.cols; j++ {
		part := c.part(0, c.rows, j*unitLanes, min(unitLanes, c.cols-j*unitLanes))
		block := operand{f32: w.edgeTile(unitBlock), rows: c.rows, cols: part.cols, row: unitLanes, col: 1}
		if add {
			block.take(part)
		}
		multiply(1, rounds, a, panels[j*words:], block.f32, unitLanes, add)
		part.take(block)
	}
}

// take copies the numbers of x, of one shape with o. The rows of both are contiguous.
func (o operand) take(x operand) {
	for i := range o.rows {
		copy(o.f32[i*o.row:][:o.cols], x.f32[i*x.row:])
	}
}
