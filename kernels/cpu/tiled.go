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

// tiled is a sum of products on the matrix unit. A unit is some rows and columns of c,
// for which a thread packs all that it needs: to fetch what another one has packed
// takes longer.
type tiled struct {
	b          *Backend
	c          operand
	segments   []segment
	add        bool
	rows, cols int // of a unit
}

// tiled computes c = Σ segments, or c += … if add, with the matrix unit. The first
// segment covers all columns of c, whose rows are contiguous, and so are those of
// every x.
func (b *Backend) tiled(c operand, segments []segment, add bool) {
	p := &b.tiledProduct
	*p = tiled{b: b, c: c, segments: segments, add: add}
	p.rows, p.cols = b.unitShape(c)
	b.run(c.rows*c.cols*segments[0].x.cols, ceilDiv(c.rows, p.rows)*ceilDiv(c.cols, p.cols), p)
}

func (p *tiled) unit(w *worker, unit int) {
	across := ceilDiv(p.c.cols, p.cols)
	top, from := unit/across*p.rows, unit%across*p.cols
	part := p.c.part(top, min(p.rows, p.c.rows-top), 0, p.c.cols)
	for i, s := range p.segments {
		left, right := max(from, s.col), min(from+p.cols, p.c.cols, s.col+s.y.cols)
		if left < right {
			p.segment(w, part, s, top, left, right, p.add || i > 0)
		}
	}
}

// segment adds s to columns [from, to) of the unit's rows c, or overwrites them with it,
// some steps at a time.
func (p *tiled) segment(w *worker, c operand, s segment, top, from, to int, add bool) {
	for step := 0; step < s.x.cols; step += slabSteps {
		steps := min(slabSteps, s.x.cols-step)
		some := segment{s.x.part(0, s.x.rows, step, steps), s.y.part(step, steps, 0, s.y.cols), s.alpha, s.col}
		w.scratch.reset()
		p.b.segmentColumns(w, c, p.b.packSegment(w, some, top, c.rows), from, to, add || step > 0)
	}
}

// unitShape is how many rows and columns of c a unit has: at most slabRows rows, and
// as many columns as give every thread as many units.
func (b *Backend) unitShape(c operand) (rows, cols int) {
	slabs := ceilDiv(c.rows, slabRows)
	across := b.threads / commonDivisor(slabs, b.threads)
	rows = ceilDiv(ceilDiv(c.rows, slabs), unitLanes) * unitLanes
	cols = ceilDiv(ceilDiv(c.cols, across), unitLanes) * unitLanes
	return rows, cols
}

// commonDivisor is the greatest of two positive numbers.
func commonDivisor(a, b int) int {
	for b > 0 {
		a, b = b, a%b
	}
	return a
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

// packSegment packs rows [top, top+rows) of x into scratch.
func (b *Backend) packSegment(w *worker, s segment, top, rows int) packedSegment {
	p := packedSegment{segment: s, terms: b.termsOf(s.y), count: ceilDiv(rows, unitLanes)}
	p.x = s.x.part(top, rows, 0, s.x.cols)
	p.panels = w.scratch.floats(panelWords(rows, s.x.cols, p.terms.a))
	steps := p.blockSteps()
	for from := 0; from < p.x.cols; from += steps {
		for i := range p.count {
			row := i * unitLanes
			x := p.x.part(row, min(unitLanes, rows-row), from, min(steps, p.x.cols-from))
			b.routines.unit.packRows(p.panel(i, from), x, p.terms.a, p.alpha, &w.scratch)
		}
	}
	return p
}

// panelWords is the length of the panels of so many rows.
func panelWords(rows, steps, terms int) int {
	return ceilDiv(rows, unitLanes) * ceilDiv(steps, roundSteps) * terms * roundWords
}

// blockSteps is the length of the blocks that the steps of a product are cut into, as
// equal as whole rounds allow. The last one may be shorter.
func (p packedSegment) blockSteps() int {
	rounds := ceilDiv(p.x.cols, roundSteps)
	blocks := ceilDiv(rounds, p.terms.rounds())
	return ceilDiv(rounds, blocks) * roundSteps
}

// panel is the i-th panel of x in the block of steps that begins at from.
func (p packedSegment) panel(i, from int) []float32 {
	words := p.terms.a * roundWords
	rounds := ceilDiv(min(p.blockSteps(), p.x.cols-from), roundSteps)
	return p.panels[(from/roundSteps*p.count+i*rounds)*words:][:rounds*words]
}

// segmentColumns adds s to columns [from, to) of c, or overwrites them with it.
func (b *Backend) segmentColumns(w *worker, c operand, s packedSegment, from, to int, add bool) {
	for j := from; j < to; j += chunkPanels * unitLanes {
		cols := min(chunkPanels*unitLanes, to-j)
		b.columns(w, c.part(0, c.rows, j, cols), s, s.y.part(0, s.y.rows, j-s.col, cols), add)
	}
}

// columns computes the part c of the columns that s, with the part y of its own, goes
// to. c and the panels of y stay in level 2, and those of x go by.
func (b *Backend) columns(w *worker, c operand, s packedSegment, y operand, add bool) {
	block, mark := s.blockSteps(), w.scratch.used
	for step := 0; step < y.rows; step += block {
		steps := min(block, y.rows-step)
		panels := b.routines.packChunk(w, y.part(step, steps, 0, y.cols), s.terms.b)
		for i := range s.count {
			rows := c.part(i*unitLanes, min(unitLanes, c.rows-i*unitLanes), 0, c.cols)
			b.rowPanel(w, rows, s, s.panel(i, step), panels, ceilDiv(steps, roundSteps), add || step > 0)
		}
		w.scratch.used = mark
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
