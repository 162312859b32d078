package cpu

import (
	"runtime"

	"bdlora/kernels"
)

// routines are the inner loops of one instruction set. Slices that a routine walks
// together have equal lengths; none of them overlaps another except where said.
type routines struct {
	path    string
	mr, nr  int // rows and columns of a tile
	keyTile int // keys of a tile of attention, a multiple of both or nearly

	// slim, if not nil, is better at products of at most slim.nr columns: half of a
	// wide tile would compute nothing.
	slim *routines

	// tile: c[i, j] = Σ_s a[i·aLane + s·aStep] · b[s·bStep + j], or c += … if add,
	// for i < mr and j < nr, summed in the order of the steps.
	tile func(steps int, a []float32, aLane, aStep int, b []float32, bStep int, c []float32, cRow int, add bool)

	f32  packing[float32]
	bf16 packing[uint16]
	f16  packing[uint16]

	dot     func(x, y []float32) float32    // Σ x·y
	dot3    func(x, y, z []float32) float32 // Σ x·y·z
	largest func(x []float32) float32       // −∞ of none

	addScaled     func(y, x []float32, factor float32)       // y += factor·x
	scale         func(y []float32, factor float32)          // y *= factor
	scaledProduct func(y, x, gain []float32, factor float32) // y = factor·x⊙gain; y may be x
	// normBackward: dx += inv·gain⊙dy − pull·x.
	normBackward func(dx, dy, x, gain []float32, inv, pull float32)
	// scoreBackward: ds = factor·p⊙(ds − shift).
	scoreBackward func(ds, p []float32, shift, factor float32)
	// rotate: (a, b) = (a⊙cos − b⊙sin, b⊙cos + a⊙sin).
	rotate func(a, b, cos, sin []float32)

	// expSum: y = exp(factor·x − shift), and returns Σ y; y may be x.
	expSum func(y, x []float32, factor, shift float32) float32
	swiGLU func(y, gate, up []float32) // y may be gate or up
	// swiGLUBackward: dgate may be gate and dup may be up.
	swiGLUBackward func(dgate, dup, dy, gate, up []float32)

	pause func() // a breath while spinning
}

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
		path: "generic", mr: 4, nr: 4, keyTile: 64, tile: tileGeneric,
		f32:            packing[float32]{decode: func(x float32) float32 { return x }},
		bf16:           packing[uint16]{decode: kernels.BF16ToFloat32},
		f16:            packing[uint16]{decode: kernels.F16ToFloat32},
		dot:            dotGeneric,
		dot3:           dot3Generic,
		largest:        largestGeneric,
		addScaled:      addScaledGeneric,
		scale:          scaleGeneric,
		scaledProduct:  scaledProductGeneric,
		normBackward:   normBackwardGeneric,
		scoreBackward:  scoreBackwardGeneric,
		rotate:         rotateGeneric,
		expSum:         expSumGeneric,
		swiGLU:         swiGLUGeneric,
		swiGLUBackward: swiGLUBackwardGeneric,
		pause:          runtime.Gosched,
	}
}
