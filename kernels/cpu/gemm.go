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

// way is how a product is computed.
type way int

const (
	asZeros  way = iota // c is empty, or a sum of nothing
	asDots              // row by row
	asTiles             // on the matrix unit
	asTall              // x is read in place
	asTurned            // as cᵀ = yᵀ·xᵀ, which is wide
	asWide              // y is packed chunk by chunk, or read in place
)

// wayOf chooses for c = x·y.
func (b *Backend) wayOf(c, x, y operand) way {
	tall := c.cols <= narrow && c.rows > c.cols
	switch {
	case c.rows == 0 || c.cols == 0 || x.cols == 0:
		return asZeros
	case c.rows <= fewRows && x.col == 1 && y.row == 1 && c.col == 1:
		return asDots
	case b.unitFits(c, x, y):
		return asTiles
	case tall && x.col == 1:
		return asTall
	case tall && y.format == kernels.FormatF32:
		return asTurned
	}
	return asWide
}

// product: c = alpha·x·y, or c += alpha·x·y if add. x and c are float32.
func (b *Backend) product(c, x, y operand, alpha float32, add bool) {
	switch b.wayOf(c, x, y) {
	case asZeros:
		if !add {
			c.clear()
		}
	case asDots:
		b.dots(c, x, y.t(), alpha, add)
	case asTiles:
		b.segments = append(b.segments[:0], segment{x: x, y: y, alpha: alpha})
		b.tiled(c, b.segments, add)
	case asTall:
		b.tall(c, x, y, alpha, add)
	case asTurned:
		b.wide(c.t(), y.t(), x.t(), alpha, add)
	case asWide:
		b.wide(c, x, y, alpha, add)
	}
}

// chunkOf is how many of count lanes go together, in groups of step and at most most.
func (b *Backend) chunkOf(count, step, most int) int {
	return step * clamp(ceilDiv(ceilDiv(count, step), unitsThread*b.threads), 1, most/step)
}

func roundUp(n, d int) int { return ceilDiv(n, d) * d }

func ceilDiv(n, d int) int { return (n + d - 1) / d }

func clamp(n, low, high int) int { return max(low, min(n, high)) }
