package cpu

// tall is a product with few columns: y is packed once for all, as one panel of whole
// vectors, and x, whose rows are contiguous, is read in place.
type tall struct {
	r      *routines
	c, x   operand
	packed packedLanes // y
	chunk  int         // rows of a unit
	add    bool
}

// tall computes c = alpha·x·y, or c += … if add.
func (b *Backend) tall(c, x, y operand, alpha float32, add bool) {
	t := b.routines.strips
	b.shared.reset()
	b.tallProduct = tall{
		r: b.routines, c: c, x: x, add: add,
		packed: b.packLanes(y.t(), roundUp(c.cols, t.lanes), alpha),
		chunk:  b.chunkOf(c.rows, t.rows, rowTiles*t.rows),
	}
	b.run(c.rows*c.cols*x.cols, ceilDiv(c.rows, b.tallProduct.chunk), &b.tallProduct)
}

func (p *tall) unit(w *worker, unit int) {
	i := unit * p.chunk
	rows := min(p.chunk, p.c.rows-i)
	for step := 0; step < p.x.cols; step += stepBlock {
		steps := min(stepBlock, p.x.cols-step)
		b := p.packed.block(step, steps)
		b.panel = p.r.strips.lanes
		part := partial{p.r.strips, p.c.part(i, rows, 0, p.c.cols), panels{}, b, steps, p.add || step > 0}
		p.r.multiplyRows(w, part, p.x.part(i, rows, step, steps))
		w.scratch.reset()
	}
}

// multiplyRows reads the whole panels of x in place, packs what is left of it, and
// computes p with both.
func (r *routines) multiplyRows(w *worker, p partial, x operand) {
	height := p.tiles.rows
	whole := x.rows - x.rows%height
	direct := p
	direct.c = p.c.part(0, whole, 0, p.c.cols)
	direct.a = panels{x.f32, height * x.row, x.row, 1}
	r.multiply(w, direct)
	if whole == x.rows {
		return
	}
	rest := x.rows - whole
	p.c = p.c.part(whole, rest, 0, p.c.cols)
	p.a = r.packPanels(&w.scratch, x.part(whole, rest, 0, x.cols), height)
	r.multiply(w, p)
}
