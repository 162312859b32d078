package cpu

import "bdlora/kernels"

// matrixUnit are the inner loops of a processor that multiplies whole tiles of
// bfloat16 and sums in float32, as Intel's AMX does, at several times the speed of
// its float32 units.
//
// A float32 is the sum of three bfloat16 terms, exactly: the upper, middle and lower
// 8 bits of its significand, x = x₀ + x₁ + x₂. Of the nine products of the terms of
// two numbers the three smallest are below what float32 keeps, and six remain:
//
//	x·y = x₀y₀ + x₀y₁ + x₁y₀ + x₀y₂ + x₁y₁ + x₂y₀
//
// and only three, x₀y + x₁y + x₂y, where y is a bfloat16 weight. So products keep
// float32's precision. With two terms, rounded to nearest, three products keep 16
// bits; with one, one keeps 8.
//
// Operands come as panels of 32 lanes (rows of a, columns of b), whose steps are cut
// into rounds of 32. For each round and term a panel holds two tiles of 16×16 words,
// one for each half of its lanes. A word is two steps of a lane, the first one in its
// lower half; tiles of a have a line a lane, tiles of b a line a pair of steps.
type matrixUnit struct {
	// multiply computes c = a·b, or c += a·b if add, for one panel of a and panels
	// panels of b, which lie one after another as 32 columns of c each do. The digits
	// are the terms of a and of b.
	multiply11, multiply21, multiply22, multiply31, multiply33 tileProduct

	// splitRows writes terms of factor·x for 16 lanes whose steps are contiguous into
	// tiles of a: lane i begins at src[i·stride]. Entry n makes n+1 terms.
	splitRows [mostTerms]packTerms
	// splitLanes does the same for steps whose 16 lanes are contiguous, into tiles of
	// b: step s begins at src[s·stride].
	splitLanes [mostTerms]packTerms

	// interleaveWords writes tiles of b for 32 lanes of bfloat16 that are contiguous.
	interleaveWords func(dst []float32, src []uint16, step, rounds int)
	// transposeWords writes tiles of b for 16 lanes of bfloat16 whose steps are
	// contiguous.
	transposeWords func(dst []float32, src []uint16, lane, rounds int)
}

type (
	tileProduct func(panels, rounds int, a, b, c []float32, cRow int, add bool)
	packTerms   func(dst, src []float32, stride, rounds int, factor float32)
)

const (
	unitLanes   = 32                    // of a panel
	roundSteps  = 32                    // of a tile
	tileWords   = unitLanes / 2 * 16    // of a tile
	roundWords  = 2 * tileWords         // of a panel in a round, for each term
	unitBlock   = unitLanes * unitLanes // numbers of c that one panel each of a and b make
	mostTerms   = 3                     // of a float32
	slabRows    = 256                   // rows of c whose panels of a exist at a time
	slabSteps   = 4096                  // steps of those panels: a few MB
	chunkPanels = 16                    // panels of b, at most, that a thread packs at a time
)

// terms are how many terms the operands of a product have.
type terms struct{ a, b int }

// product is the routine for operands of so many terms.
func (u *matrixUnit) product(t terms) tileProduct {
	switch t {
	case terms{1, 1}:
		return u.multiply11
	case terms{2, 1}:
		return u.multiply21
	case terms{2, 2}:
		return u.multiply22
	case terms{3, 1}:
		return u.multiply31
	}
	return u.multiply33
}

// rounds is how many rounds a panel of a may have so that it stays in level 1 or
// nearly, and c's way to memory and back is rare.
func (t terms) rounds() int { return 24 / (t.a + t.b - 1) }

// packRows writes the panel of a for x, whose steps are contiguous and which has at
// most 32 rows; what is missing to whole tiles is zero.
func (u *matrixUnit) packRows(dst []float32, x operand, terms int, factor float32, scratch *arena) {
	rounds, mark := ceilDiv(x.cols, roundSteps), scratch.used
	if x.rows < unitLanes || x.cols < rounds*roundSteps {
		x = x.padded(scratch, unitLanes, rounds*roundSteps)
	}
	for half := range 2 {
		u.splitRows[terms-1](dst[half*tileWords:], x.f32[half*unitLanes/2*x.row:], x.row, rounds, factor)
	}
	scratch.used = mark
}

// padded is a copy of x, a float32 operand with contiguous rows, with zeros around.
func (o operand) padded(scratch *arena, rows, cols int) operand {
	p := operand{f32: scratch.floats(rows * cols), rows: rows, cols: cols, row: cols, col: 1}
	for i := range rows {
		row, filled := p.f32[i*cols:][:cols], 0
		if i < o.rows {
			filled = copy(row, o.f32[i*o.row:][:o.cols])
		}
		clear(row[filled:])
	}
	return p
}

// packColumns writes the panel of b for y [lanes, steps], at most 32 lanes.
func (r *routines) packColumns(dst []float32, y operand, terms int, scratch *arena) {
	u, rounds := r.unit, ceilDiv(y.cols, roundSteps)
	whole := y.rows == unitLanes && y.cols == rounds*roundSteps
	switch {
	case whole && y.format == kernels.FormatBF16 && y.row == 1:
		u.interleaveWords(dst, y.u16, y.col, rounds)
	case whole && y.format == kernels.FormatBF16:
		for half := range 2 {
			u.transposeWords(dst[half*tileWords:], y.u16[half*unitLanes/2*y.row:], y.row, rounds)
		}
	case whole && y.format == kernels.FormatF32 && y.row == 1:
		u.packLanes(dst, y.f32, y.col, rounds, terms)
	default:
		mark := scratch.used
		panel := scratch.floats(rounds * roundSteps * unitLanes)
		r.pack(panel, unitLanes, y)
		clear(panel[y.cols*unitLanes:])
		u.packLanes(dst, panel, unitLanes, rounds, terms)
		scratch.used = mark
	}
}

// packLanes writes the panel of b for numbers of which 32 lanes are contiguous.
func (u *matrixUnit) packLanes(dst, src []float32, step, rounds, terms int) {
	for half := range 2 {
		u.splitLanes[terms-1](dst[half*tileWords:], src[half*unitLanes/2:], step, rounds, 1)
	}
}
