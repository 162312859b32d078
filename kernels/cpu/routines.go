package cpu

import (
	"runtime"

	"bdlora/kernels"
)

// routines are the inner loops of one instruction set. Slices that a routine walks
// together have equal lengths; none of them overlaps another except where said.
type routines struct {
	path string

	large strips // the tile of products that pack both of their sides
	// strips are the tiles of attention and of products with a short side, which read
	// matrices in place. Their rows fit into the ways of the level 1 cache, however far
	// apart those of a matrix are.
	strips strips

	f32  packing[float32]
	bf16 packing[uint16]
	f16  packing[uint16]
	int8 coding[int8]
	nf4  coding[byte]

	dot     func(x, y []float32) float32    // Σ x·y
	dot3    func(x, y, z []float32) float32 // Σ x·y·z
	largest func(x []float32) float32       // −∞ of none
	// sumSquares: Σ x² in float64.
	sumSquares func(x []float32) float64

	addScaled     func(y, x []float32, factor float32)       // y += factor·x
	scale         func(y []float32, factor float32)          // y *= factor
	scaledProduct func(y, x, gain []float32, factor float32) // y = factor·x⊙gain; y may be x
	// normBackward: dx += inv·gain⊙dy − pull·x.
	normBackward func(dx, dy, x, gain []float32, inv, pull float32)
	// rotate: (a, b) = (a⊙cos − b⊙sin, b⊙cos + a⊙sin).
	rotate func(a, b, cos, sin []float32)

	// expSum: y = exp(factor·x − shift), and returns Σ y; y may be x.
	expSum func(y, x []float32, factor, shift float32) float32
	swiGLU func(y, gate, up []float32) // y may be gate or up
	// swiGLUBackward: dgate may be gate and dup may be up.
	swiGLUBackward func(dgate, dup, dy, gate, up []float32)

	// What lies between the products of attention. Matrices have rows rows, as many
	// as whole tiles of strips, row numbers apart, and as many columns as their last
	// operand is long: whole vectors. A nil loop is one that the instruction set has
	// not: the others make it up, row by row.
	//
	// softmax takes the columns of scores one step on in the running softmax of
	// FlashAttention: shrink = exp(largest − the new largest), largest becomes that,
	// scores = exp(scores − largest), and sum = shrink·sum + the sums of scores.
	softmax func(scores []float32, row, rows int, largest, sum, shrink []float32)
	// softmaxBackward: p = exp(p − lse), ds = p⊙(ds − pull).
	softmaxBackward func(p, ds []float32, row, rows int, lse, pull []float32)
	// scaleColumns: y = y⊙factors.
	scaleColumns func(y []float32, row, rows int, factors []float32)

	// adamW: a step with the factors of adamWFactors.
	adamW func(param, grad, m, v []float32, factors *[9]float32)
	// drop: y = x where the hash of place + i·dropColumn has its upper 53 bits at or
	// above those of threshold, 0 elsewhere. The lower bits of threshold are zeros.
	drop func(y, x []float32, place, threshold uint64)

	unit *matrixUnit // nil if the processor has none

	peak peak                      // what PeakRate measures
	read func(x []float32) float32 // what ReadRate measures: reads x, whose length is a multiple of 64

	pause func() // a breath while spinning
}

// tile is the inner loop of a product: c[i, j] = Σ_s a[i·aLane + s·aStep] · b[s·bStep + j],
// or c += … if add, for its rows i and columns j, summed in the order of the steps.
type tile func(steps int, a []float32, aLane, aStep int, b []float32, bStep int, c []float32, cRow int, add bool)

// packing are the loops that read numbers of one storage format. A nil loop is one
// that the instruction set has not: decode does it, number by number.
type packing[T float32 | uint16] struct {
	// interleave8 packs 8 lanes: dst[s·dstStep + i] = src[i·lane + s] for s < steps.
	interleave8 func(dst []float32, dstStep int, src []T, lane, steps int)
	// interleave6 is the same for 6 lanes.
	interleave6 func(dst []float32, dstStep int, src []T, lane, steps int)
	// copyRows packs lanes that lie side by side: dst[s·lanes + i] =
	// src[s·srcStep + i] for s < steps. lanes is a multiple of 8.
	copyRows func(dst []float32, lanes int, src []T, srcStep, steps int)
	// dots4: dst[i] = Σ_s x[s]·src[i·lane + s] for i < 4.
	dots4 func(dst, x []float32, src []T, lane int)
	// widen: dst = src.
	widen func(dst []float32, src []T)

	decode func(T) float32
}

// vectorLanes is the number of steps that interleave8, interleave6, dots4 and widen
// take at a time; what is left over is decode's.
const vectorLanes = 8

// generic are the routines in plain Go.
func generic() *routines {
	return &routines{
		path:           "generic",
		large:          strips{rows: 4, lanes: 4, tiles: []tile{tileGeneric}},
		strips:         strips{rows: 4, lanes: 4, tiles: []tile{tileGeneric}},
		f32:            packing[float32]{widen: copyF32, decode: func(x float32) float32 { return x }},
		bf16:           packing[uint16]{decode: kernels.BF16ToFloat32},
		f16:            packing[uint16]{decode: kernels.F16ToFloat32},
		int8:           coding[int8]{},
		nf4:            coding[byte]{block: kernels.NF4Block, packed: 1},
		dot:            dotGeneric,
		dot3:           dot3Generic,
		largest:        largestGeneric,
		sumSquares:     sumSquaresGeneric,
		addScaled:      addScaledGeneric,
		scale:          scaleGeneric,
		scaledProduct:  scaledProductGeneric,
		normBackward:   normBackwardGeneric,
		rotate:         rotateGeneric,
		expSum:         expSumGeneric,
		swiGLU:         swiGLUGeneric,
		swiGLUBackward: swiGLUBackwardGeneric,
		adamW:          adamWGeneric,
		drop:           dropGeneric,
		peak:           peak{"plain Go multiply-adds", peakGeneric, 2 * 8},
		read:           readGeneric,
		pause:          runtime.Gosched,
	}
}
