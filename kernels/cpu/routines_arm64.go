//go:build !purego

package cpu

import "bdlora/kernels"

// supported are the sets of routines that this processor runs, best first: every
// arm64 has NEON.
func supported() []*routines { return []*routines{neon(), generic()} }

func neon() *routines {
	return &routines{
		path:   "neon",
		large:  strips{rows: 6, lanes: 16, tiles: []tile{tileNEON}},
		strips: strips{rows: 6, lanes: 16, tiles: []tile{tileNEON}},
		f32: packing[float32]{
			interleave8: interleave8F32NEON,
			interleave6: interleave6F32NEON,
			copyRows:    copyRowsF32NEON,
			dots4:       dots4F32NEON,
			widen:       copyF32,
			decode:      func(x float32) float32 { return x },
		},
		bf16: packing[uint16]{
			interleave8: interleave8BF16NEON,
			copyRows:    copyRowsBF16NEON,
			dots4:       dots4BF16NEON,
			widen:       widenBF16NEON,
			decode:      kernels.BF16ToFloat32,
		},
		f16: packing[uint16]{
			interleave8: interleave8F16NEON,
			copyRows:    copyRowsF16NEON,
			dots4:       dots4F16NEON,
			widen:       widenF16NEON,
			decode:      kernels.F16ToFloat32,
		},
		int8: coding[int8]{
			interleave8: interleave8Int8NEON,
			copyRows8:   copyRows8Int8NEON,
			dot:         dotInt8NEON,
		},
		nf4: coding[byte]{
			block:       kernels.NF4Block,
			packed:      1,
			interleave8: interleave8NF4NEON,
			copyRows8:   copyRows8NF4NEON,
			dot:         dotNF4NEON,
		},
		dot:             dotNEON,
		dot3:            dot3NEON,
		largest:         largestNEON,
		sumSquares:      sumSquaresNEON,
		addScaled:       addScaledNEON,
		scale:           scaleNEON,
		scaledProduct:   scaledProductNEON,
		normBackward:    normBackwardNEON,
		rotate:          rotateNEON,
		expSum:          expSumNEON,
		swiGLU:          swiGLUNEON,
		swiGLUBackward:  swiGLUBackwardNEON,
		softmax:         softmaxNEON,
		softmaxBackward: softmaxBackwardNEON,
		scaleColumns:    scaleColumnsNEON,
		adamW:           adamWNEON,
		drop:            dropGeneric, // NEON does not multiply 64-bit integers
		peak:            peak{"NEON fused multiply-adds", peakNEON, 2 * 24 * 4},
		read:            readNEON,
		pause:           pauseNEON,
	}
}
