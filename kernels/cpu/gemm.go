package cpu

import "bdlora/kernels"

// The sizes of the blocks that a product is cut into. One worker owns a block of c
// for all steps, so every element has one order of summation.
const (
	stepBlock   = 256 // steps of a panel: a tile's panels of a and b stay in level 1
	rowTiles    = 16  // tiles of rows whose panels stay in level 2
	chunkCols   = 256 // columns of c that a worker packs b for at a time
	unitsThread = 4   // units a thread, so that a late thread costs a quarter
	fewRows     = 4   // up to here products are dots: packing b costs more
	narrow      = 160 // up to here a product does not repay packing its long side
)

// product: c = alpha·x·y, or c += alpha·x·y if add. x and c are float32.
func (b *Backend) product(c, x, y operand, alpha float32, add bool) {
	switch {
	case c.rows == 0 || c.cols == 0:
	case x.cols == 0:
		if !add {
			c.clear()
		}
	case c.rows <= fewRows && x.col == 1 && y.row == 1 && c.col == 1:
		b.dots(c, x, y.t(), alpha, add)
	case b.unitFits(c, x, y):
		b.segments = append(b.segments[:0], segment{x: x, y: y, alpha: alpha})
		b.tiled(c, b.segments, add)
	case c.cols <= narrow && c.rows > c.cols && x.col == 1:
		b.tall(c, x, y, alpha, add)
	case c.cols <= narrow && c.rows > c.cols && y.format == kernels.FormatF32:
		b.wide(c.t(), y.t(), x.t(), alpha, add)
	default:
		b.wide(c, x, y, alpha, add)
	}
}

// wide packs x once for all and cuts c into chunks of columns, whose part of y each
// worker packs for itself.
func (b *Backend) wide(c, x, y operand, alpha float32, add bool) {
	r, inPlace := b.routines, c.rows <= narrow && y.format == kernels.FormatF32 && y.col == 1
	if inPlace {
		r = r.slimFor(c.cols)
	}
	b.shared.reset()
	packed := b.packLanes(x, r.mr, alpha)
	chunk := b.chunkOf(c.cols, r.nr)
	b.each(c.rows*c.cols*x.cols, ceilDiv(c.cols, chunk), func(w *worker, unit int) {
		j := unit * chunk
		cols := min(chunk, c.cols-j)
		for step := 0; step < x.cols; step += stepBlock {
			steps := min(stepBlock, x.cols-step)
			p := partial{c.part(0, c.rows, j, cols), packed.block(step, steps), panels{}, steps, add || step > 0}
			r.multiplyColumns(w, p, y.part(step, steps, j, cols), inPlace)
			w.scratch.reset()
		}
	})
}

// chunkOf is how many columns of cols go together, in tiles of nr.
func (b *Backend) chunkOf(cols, nr int) int {
	return nr * clamp(ceilDiv(ceilDiv(cols, nr), unitsThread*b.threads), 1, chunkCols/nr)
}

// multiplyColumns brings y into panels for p and computes it.
func (r *routines) multiplyColumns(w *worker, p partial, y operand, inPlace bool) {
	nr, whole := r.nr, 0
	if inPlace {
		whole = y.cols - y.cols%nr
		direct := p
		direct.c = p.c.part(0, p.c.rows, 0, whole)
		direct.b = panels{y.f32, nr, 1, y.row}
		r.multiply(w, direct)
	}
	if whole == y.cols {
		return
	}
	rest := y.cols - whole
	p.c = p.c.part(0, p.c.rows, whole, rest)
	p.b = r.packPanels(&w.scratch, y.part(0, y.rows, whole, rest).t(), nr)
	r.multiply(w, p)
}

// tall packs the few columns of y once for all and reads x, whose rows are
// contiguous, in place.
func (b *Backend) tall(c, x, y operand, alpha float32, add bool) {
	r := b.routines.slimFor(c.cols)
	b.shared.reset()
	packed := b.packLanes(y.t(), r.nr, alpha)
	tiles := clamp(ceilDiv(ceilDiv(c.rows, r.mr), unitsThread*b.threads), 1, rowTiles)
	chunk := tiles * r.mr
	b.each(c.rows*c.cols*x.cols, ceilDiv(c.rows, chunk), func(w *worker, unit int) {
		i := unit * chunk
		rows := min(chunk, c.rows-i)
		for step := 0; step < x.cols; step += stepBlock {
			steps := min(stepBlock, x.cols-step)
			p := partial{c.part(i, rows, 0, c.cols), panels{}, packed.block(step, steps), steps, add || step > 0}
			r.multiplyRows(w, p, x.part(i, rows, step, steps))
			w.scratch.reset()
		}
	})
}

// multiplyRows reads the whole panels of x in place, packs what is left of it, and
// computes p with both.
func (r *routines) multiplyRows(w *worker, p partial, x operand) {
	mr := r.mr
	whole := x.rows - x.rows%mr
	direct := p
	direct.c = p.c.part(0, whole, 0, p.c.cols)
	direct.a = panels{x.f32, mr * x.row, x.row, 1}
	r.multiply(w, direct)
	if whole == x.rows {
		return
	}
	rest := x.rows - whole
	p.c = p.c.part(whole, rest, 0, p.c.cols)
	p.a = r.packPanels(&w.scratch, x.part(whole, rest, 0, x.cols), mr)
	r.multiply(w, p)
}

// slimFor are the slim routines for cols columns: those with the widest tiles, unless
// narrower ones save a fifth of what is computed for nothing.
func (r *routines) slimFor(cols int) *routines {
	best := r
	for i, s := range r.slim {
		if i == 0 || 5*roundUp(cols, s.nr) < 4*roundUp(cols, best.nr) {
			best = s
		}
	}
	return best
}

func roundUp(n, d int) int { return ceilDiv(n, d) * d }

func ceilDiv(n, d int) int { return (n + d - 1) / d }

func clamp(n, low, high int) int { return max(low, min(n, high)) }
