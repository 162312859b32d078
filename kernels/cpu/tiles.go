package cpu

// partial is one block of steps of c = Σ a⊗b, or c += …. The rows of c are contiguous.
type partial struct {
	tiles strips
	c     operand
	a, b  panels
	steps int
	add   bool
}

// multiply computes p tile by tile.
func (r *routines) multiply(w *worker, p partial) {
	t := p.tiles
	for top := 0; top < p.c.rows; top += rowTiles * t.rows {
		bottom := min(top+rowTiles*t.rows, p.c.rows)
		for j, vectors := 0, ceilDiv(p.c.cols, t.lanes); vectors > 0; {
			count := t.together(vectors)
			run, cols, b := t.tiles[count-1], count*t.lanes, p.b.data[j/t.lanes*p.b.panel:]
			for i := top; i < bottom; i += t.rows {
				a := p.a.data[i/t.rows*p.a.panel:]
				if i+t.rows <= p.c.rows && j+cols <= p.c.cols {
					run(p.steps, a, p.a.lane, p.a.step, b, p.b.step, p.c.f32[i*p.c.row+j:], p.c.row, p.add)
					continue
				}
				tile := w.edgeTile(t.rows * cols)
				run(p.steps, a, p.a.lane, p.a.step, b, p.b.step, tile, cols, false)
				r.edge(p.c.part(i, min(t.rows, p.c.rows-i), j, min(cols, p.c.cols-j)), tile, cols, p.add)
			}
			j, vectors = j+cols, vectors-count
		}
	}
}

// edge sets c to its part of a tile whose rows are row apart, or adds that.
func (r *routines) edge(c operand, tile []float32, row int, add bool) {
	for i := range c.rows {
		to, from := c.f32[i*c.row:][:c.cols], tile[i*row:][:c.cols]
		if add {
			r.addScaled(to, from, 1)
		} else {
			copy(to, from)
		}
	}
}
