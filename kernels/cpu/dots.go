package cpu

import "bdlora/kernels"

// dots: c[i, j] = alpha · x[i] · y[j], in which the rows of x and y are contiguous.
func (b *Backend) dots(c, x, y operand, alpha float32, add bool) {
	if y.format > kernels.FormatF16 {
		b.codedDots(c, x, y, alpha, add)
		return
	}
	chunk := clamp(ceilDiv(c.cols, 4*unitsThread*b.threads)*4, 4, 128)
	b.each(c.rows*c.cols*x.cols, ceilDiv(c.cols, chunk), func(w *worker, unit int) {
		sums := w.edgeTile(vectorLanes)
		for j := unit * chunk; j < min(c.cols, (unit+1)*chunk); j += 4 {
			rows := min(4, c.cols-j)
			for i := range c.rows {
				b.routines.dots(sums, x.f32[i*x.row:][:x.cols], y.part(j, rows, 0, y.cols))
				to := c.f32[i*c.row+j:][:rows]
				for o := range to {
					if add {
						to[o] += alpha * sums[o]
					} else {
						to[o] = alpha * sums[o]
					}
				}
			}
		}
	})
}

// dots: sums[i] = x · y[i] for the rows of y, at most four.
func (r *routines) dots(sums, x []float32, y operand) {
	switch y.format {
	case kernels.FormatF32:
		r.f32.dots(sums, x, y.f32, y)
	case kernels.FormatBF16:
		r.bf16.dots(sums, x, y.u16, y)
	case kernels.FormatF16:
		r.f16.dots(sums, x, y.u16, y)
	}
}

func (p *packing[T]) dots(sums, x []float32, src []T, y operand) {
	done := 0
	clear(sums[:y.rows])
	if p.dots4 != nil && y.rows == 4 {
		p.dots4(sums, x, src, y.row)
		done = len(x) - len(x)%vectorLanes
	}
	for i := range y.rows {
		row := src[i*y.row:][:len(x)]
		for s := done; s < len(x); s++ {
			sums[i] += x[s] * p.decode(row[s])
		}
	}
}
