package cpu

// partial is one block of steps of c = Σ a⊗b, or c += ….
type partial struct {
	c     operand
	a, b  panels
	steps int
	add   bool
}

// multiply computes p tile by tile.
func (r *routines) multiply(w *worker, p partial) {
	for top := 0; top < p.c.rows; top += rowTiles * r.mr {
		bottom := min(top+rowTiles*r.mr, p.c.rows)
		for j := 0; j < p.c.cols; j += r.nr {
			b := p.b.data[j/r.nr*p.b.panel:]
			for i := top; i < bottom; i += r.mr {
				a := p.a.data[i/r.mr*p.a.panel:]
				if p.c.col == 1 && i+r.mr <= p.c.rows && j+r.nr <= p.c.cols {
					r.tile(p.steps, a, p.a.lane, p.a.step, b, p.b.step, p.c.f32[i*p.c.row+j:], p.c.row, p.add)
					continue
				}
				r.edge(w, p, i, j, a, b)
			}
		}
	}
}

// edge computes the tile at (i, j) aside and moves the part that c has.
func (r *routines) edge(w *worker, p partial, i, j int, a, b []float32) {
	tile := w.edgeTile(r.mr * r.nr)
	r.tile(p.steps, a, p.a.lane, p.a.step, b, p.b.step, tile, r.nr, false)
	c := p.c.part(i, min(r.mr, p.c.rows-i), j, min(r.nr, p.c.cols-j))
	if c.col == 1 {
		r.moveRows(c, tile, p.add)
	} else {
		moveCols(c, tile, r.nr, p.add)
	}
}

// moveRows sets c, whose rows are contiguous, to its part of a tile, or adds that.
func (r *routines) moveRows(c operand, tile []float32, add bool) {
	for x := range c.rows {
		to, from := c.f32[x*c.row:][:c.cols], tile[x*r.nr:][:c.cols]
		if add {
			r.addScaled(to, from, 1)
		} else {
			copy(to, from)
		}
	}
}

// moveCols is moveRows for a c whose columns are contiguous.
func moveCols(c operand, tile []float32, nr int, add bool) {
	for y := range c.cols {
		to := c.f32[y*c.col:][:c.rows]
		for x := range to {
			if add {
				to[x] += tile[x*nr+y]
			} else {
				to[x] = tile[x*nr+y]
			}
		}
	}
}
