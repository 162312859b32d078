package cpu

import "bdlora/kernels"

// wide is a product whose x is packed once for all. Each worker packs chunks of the
// columns of y, or reads them in place if x has few rows and the rows of y are
// contiguous.
type wide struct {
	r       *routines
	tiles   strips
	c, y    operand
	packed  packedLanes // x
	chunk   int         // columns of a unit
	inPlace bool
	add     bool
}

// wide computes c = alpha·x·y, or c += … if add.
func (b *Backend) wide(c, x, y operand, alpha float32, add bool) {
	p := &b.wideProduct
	*p = wide{r: b.routines, c: c, y: y, add: add}
	p.tiles, p.inPlace = b.wideTiles(c, y)
	p.chunk = b.chunkOf(c.cols, p.tiles.widest(), chunkCols)
	b.shared.reset()
	p.packed = b.packLanes(x, p.tiles.rows, alpha)
	b.run(c.rows*c.cols*x.cols, ceilDiv(c.cols, p.chunk), p)
}

// wideTiles are the tiles of a wide product, and whether it reads y in place.
func (b *Backend) wideTiles(c, y operand) (tiles strips, inPlace bool) {
	if c.rows <= narrow && y.format == kernels.FormatF32 && y.col == 1 {
		return b.routines.strips, true
	}
	return b.routines.large, false
}

func (p *wide) unit(w *worker, unit int) {
	j := unit * p.chunk
	cols := min(p.chunk, p.c.cols-j)
	c, add, turned := p.c.part(0, p.c.rows, j, cols), p.add, p.c.col != 1
	if turned {
		c, add = scratchMatrix(w, c.rows, cols), false
	}
	mark := w.scratch.used
	for step := 0; step < p.y.rows; step += stepBlock {
		steps := min(stepBlock, p.y.rows-step)
		part := partial{p.tiles, c, p.packed.block(step, steps), panels{}, steps, add || step > 0}
		p.r.multiplyColumns(w, part, p.y.part(step, steps, j, cols), p.inPlace)
		w.scratch.used = mark
	}
	if turned {
		p.r.turn(w, p.c.part(0, p.c.rows, j, cols).t(), c, p.add)
	}
}

// multiplyColumns brings y into panels for p and computes it.
func (r *routines) multiplyColumns(w *worker, p partial, y operand, inPlace bool) {
	lanes, whole := p.tiles.lanes, 0
	if inPlace {
		whole = y.cols - y.cols%lanes
		direct := p
		direct.c = p.c.part(0, p.c.rows, 0, whole)
		direct.b = panels{y.f32, lanes, 1, y.row}
		r.multiply(w, direct)
	}
	if whole == y.cols {
		return
	}
	rest := y.cols - whole
	p.c = p.c.part(0, p.c.rows, whole, rest)
	p.b = r.packPanels(&w.scratch, y.part(0, y.rows, whole, rest).t(), lanes)
	r.multiply(w, p)
}

// turn: y = xᵀ, or y += xᵀ if add. The rows of both are contiguous.
func (r *routines) turn(w *worker, y, x operand, add bool) {
	if !add {
		r.f32.interleave(y.f32, y.row, x.f32, x)
		return
	}
	aside := scratchMatrix(w, y.rows, y.cols)
	r.f32.interleave(aside.f32, aside.row, x.f32, x)
	for i := range y.rows {
		r.addScaled(y.f32[i*y.row:][:y.cols], aside.f32[i*aside.row:][:y.cols], 1)
	}
}
