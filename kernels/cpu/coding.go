package cpu

import "bdlora/kernels"

// coding are the loops that read weights of 8 or 4 bits: codes that a scale turns
// into numbers. A nil loop is one that the instruction set has not:
// [kernels.Weight.Decode] does it.
type coding[T int8 | byte] struct {
	block  int // numbers that share a scale; 0 is a row
	packed int // log2 of the codes in a T

	// interleave8 packs 8 lanes, each with one scale: dst[s·dstStep + i] =
	// scales[i]·code(s of src[i·lane:]) for s < steps, a multiple of 8.
	interleave8 func(dst []float32, dstStep int, src []T, lane, steps int, scales [8]float32)
	// copyRows8 packs 8 steps, each with one scale, of lanes that lie side by side:
	// dst[s·dstStep + i] = scales[s]·code(i of src[s·srcStep:]) for i < lanes, a
	// multiple of 8.
	copyRows8 func(dst []float32, dstStep int, src []T, srcStep, lanes int, scales [8]float32)
	// dot is Σ x·scale·code, in which len(x)/len(scales) numbers, a multiple of 8,
	// share a scale.
	dot func(x []float32, src []T, scales []float32) float32
}

// pack writes a panel; see routines.pack. src are all codes of x's weight.
func (c *coding[T]) pack(dst []float32, width int, src []T, x operand) {
	first := x.at
	if x.format == kernels.FormatNF4 {
		first += x.weight.NF4.First
	}
	if x.col == 1 {
		c.interleave(dst, width, src, x, first)
		return
	}
	c.copyRows(dst, width, src, x, first)
}

// aligned reports whether lanes that are stride numbers apart change their scales
// together, and begin and end with whole Ts.
func (c *coding[T]) aligned(first, stride int) bool {
	return c.block == 0 || first%8 == 0 && stride%c.block == 0
}

// interleave packs lanes that are contiguous along the steps. first is x's first
// number among the codes.
func (c *coding[T]) interleave(dst []float32, width int, src []T, x operand, first int) {
	lanes := 0
	if c.interleave8 != nil && c.aligned(first, x.row) {
		lanes = x.rows - x.rows%8
	}
	steps := 0
	for steps < x.cols && lanes > 0 {
		n := x.cols - steps
		if c.block > 0 {
			n = min(n, c.block-(first+steps)%c.block)
		}
		n -= n % 8
		if n == 0 {
			break
		}
		for lane := 0; lane < lanes; lane += 8 {
			from := lane*x.row + steps
			c.interleave8(dst[steps*width+lane:], width, src[(first+from)>>c.packed:], x.row>>c.packed, n,
				x.scales(from, x.row))
		}
		steps += n
	}
	for i := range x.rows {
		if i < lanes {
			x.scatter(dst[i:], width, i, steps)
		} else {
			x.scatter(dst[i:], width, i, 0)
		}
	}
}

// scales are the eight of the numbers from, from+stride and so on.
func (o operand) scales(from, stride int) (scales [8]float32) {
	o.weight.Scales(scales[:], o.at+from, stride)
	return scales
}

// scatter writes row i of o from its column start on, width numbers apart.
func (o operand) scatter(dst []float32, width, i, start int) {
	var room [64]float32
	for ; start < o.cols; start += len(room) {
		numbers := room[:min(len(room), o.cols-start)]
		o.weight.Decode(numbers, o.at+i*o.row+start)
		for s, v := range numbers {
			dst[(start+s)*width] = v
		}
	}
}

// copyRows packs lanes that lie side by side.
func (c *coding[T]) copyRows(dst []float32, width int, src []T, x operand, first int) {
	steps := 0
	inBlock := c.block == 0 || first%c.block+x.rows <= c.block
	if c.copyRows8 != nil && x.rows%8 == 0 && inBlock && c.aligned(first, x.col) {
		for ; steps+8 <= x.cols; steps += 8 {
			from := steps * x.col
			c.copyRows8(dst[steps*width:], width, src[(first+from)>>c.packed:], x.col>>c.packed, x.rows,
				x.scales(from, x.col))
		}
	}
	for ; steps < x.cols; steps++ {
		x.weight.Decode(dst[steps*width:][:x.rows], x.at+steps*x.col)
	}
}

// codedDots: c[i, j] = alpha·x[i]·y[j], in which the rows of x are contiguous and y is
// a weight of few bits.
func (b *Backend) codedDots(c, x, y operand, alpha float32, add bool) {
	chunk := clamp(ceilDiv(c.cols, unitsThread*b.threads), 1, 64)
	b.each(c.rows*c.cols*x.cols, ceilDiv(c.cols, chunk), func(w *worker, unit int) {
		for j := unit * chunk; j < min(c.cols, (unit+1)*chunk); j++ {
			row := y.part(j, 1, 0, y.cols)
			for i := range c.rows {
				dot := alpha * b.routines.codedDot(w, x.f32[i*x.row:][:x.cols], row)
				if add {
					dot += c.f32[i*c.row+j]
				}
				c.f32[i*c.row+j] = dot
			}
			w.scratch.reset()
		}
	})
}

// codedDot is x·y of one row y.
func (r *routines) codedDot(w *worker, x []float32, y operand) float32 {
	if y.format == kernels.FormatInt8 {
		return r.int8.dotRow(r, w, x, y.weight.Int8.Codes, y, y.at)
	}
	return r.nf4.dotRow(r, w, x, y.weight.NF4.Codes, y, y.at+y.weight.NF4.First)
}

// dotRow takes the loop for the whole blocks of y, or for eights if its row is one, and
// decodes what is left.
func (c *coding[T]) dotRow(r *routines, w *worker, x []float32, src []T, y operand, first int) float32 {
	block := c.block
	if block == 0 {
		block = max(8, len(x)-len(x)%8)
	}
	sum, done := float32(0), 0
	oneScale := len(x) <= y.weight.Stride() // a weight of one column is a row as well, of as many scales
	if c.dot != nil && (c.block == 0 && oneScale || c.block > 0 && first%c.block == 0) {
		done = len(x) - len(x)%block
	}
	if done > 0 {
		scales := w.scratch.floats(done / block)
		y.weight.Scales(scales, y.at, block)
		sum = c.dot(x[:done], src[first>>c.packed:], scales)
	}
	if done < len(x) {
		rest := w.scratch.floats(len(x) - done)
		y.weight.Decode(rest, y.at+done)
		sum += r.dot(x[done:], rest)
	}
	return sum
}
