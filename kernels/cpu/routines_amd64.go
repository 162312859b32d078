//go:build !purego

package cpu

import (
	"golang.org/x/sys/cpu"

	"bdlora/kernels"
)

// supported are the sets of routines that this processor runs, best first.
func supported() []*routines {
	paths := []*routines{generic()}
	if cpu.X86.HasAVX2 && cpu.X86.HasFMA && cpu.X86.HasF16C {
		paths = append([]*routines{avx2()}, paths...)
		if cpu.X86.HasAVX512F && cpu.X86.HasAVX512DQ && cpu.X86.HasAVX512VL {
			paths = append([]*routines{avx512()}, paths...)
			if hasAMX() {
				paths = append([]*routines{withAMX()}, paths...)
			}
		}
	}
	return paths
}

func avx2() *routines {
	return &routines{
		path:   "avx2",
		large:  strips{rows: 6, lanes: 16, tiles: []tile{tileAVX2}},
		strips: strips{rows: 4, lanes: 8, tiles: []tile{tile4x8AVX2, tile4x16AVX2, tile4x24AVX2}},
		f32: packing[float32]{
			interleave8: interleave8F32AVX2,
			interleave6: interleave6F32AVX2,
			copyRows:    copyRowsF32AVX2,
			dots4:       dots4F32AVX2,
			widen:       copyF32,
			decode:      func(x float32) float32 { return x },
		},
		bf16: packing[uint16]{
			interleave8: interleave8BF16AVX2,
			copyRows:    copyRowsBF16AVX2,
			dots4:       dots4BF16AVX2,
			widen:       widenBF16AVX2,
			decode:      kernels.BF16ToFloat32,
		},
		f16: packing[uint16]{
			interleave8: interleave8F16AVX2,
			copyRows:    copyRowsF16AVX2,
			dots4:       dots4F16AVX2,
			widen:       widenF16AVX2,
			decode:      kernels.F16ToFloat32,
		},
		int8: coding[int8]{
			interleave8: interleave8Int8AVX2,
			copyRows8:   copyRows8Int8AVX2,
			dot:         dotInt8AVX2,
		},
		nf4: coding[byte]{
			block:       kernels.NF4Block,
			packed:      1,
			interleave8: interleave8NF4AVX2,
			copyRows8:   copyRows8NF4AVX2,
			dot:         dotNF4AVX2,
		},
		dot:             dotAVX2,
		dot3:            dot3AVX2,
		largest:         largestAVX2,
		sumSquares:      sumSquaresAVX2,
		addScaled:       addScaledAVX2,
		scale:           scaleAVX2,
		scaledProduct:   scaledProductAVX2,
		normBackward:    normBackwardAVX2,
		rotate:          rotateAVX2,
		expSum:          expSumAVX2,
		swiGLU:          swiGLUAVX2,
		swiGLUBackward:  swiGLUBackwardAVX2,
		softmax:         softmaxAVX2,
		softmaxBackward: softmaxBackwardAVX2,
		scaleColumns:    scaleColumnsAVX2,
		adamW:           adamWAVX2,
		drop:            dropAVX2,
		peak:            peak{"AVX2 fused multiply-adds", peakAVX2, 2 * 24 * 8},
		read:            readAVX2,
		pause:           pauseAVX2,
	}
}

// avx512 has larger tiles and vectors; packing is AVX2's.
func avx512() *routines {
	r := avx2()
	r.path, r.large = "avx512", strips{rows: 14, lanes: 32, tiles: []tile{tileAVX512}}
	r.strips = strips{rows: 8, lanes: 16, tiles: []tile{tile8x16AVX512, tile8x32AVX512, tile8x48AVX512}}
	r.peak = peak{"AVX-512 fused multiply-adds", peakAVX512, 2 * 24 * 16}
	r.dot, r.dot3, r.largest, r.sumSquares = dotAVX512, dot3AVX512, largestAVX512, sumSquaresAVX512
	r.addScaled, r.scale, r.scaledProduct = addScaledAVX512, scaleAVX512, scaledProductAVX512
	r.normBackward, r.rotate = normBackwardAVX512, rotateAVX512
	r.expSum, r.swiGLU, r.swiGLUBackward = expSumAVX512, swiGLUAVX512, swiGLUBackwardAVX512
	r.softmax, r.softmaxBackward, r.scaleColumns = softmaxAVX512, softmaxBackwardAVX512, scaleColumnsAVX512
	r.adamW, r.drop = adamWAVX512, dropAVX512
	if cpu.X86.HasAVX512VL {
		r.nf4.interleave8, r.nf4.copyRows8, r.nf4.dot = interleave8NF4AVX512, copyRows8NF4AVX512, dotNF4AVX512
	}
	return r
}

// withAMX is avx512 with large products on the matrix unit.
func withAMX() *routines {
	r := avx512()
	r.path, r.unit = "amx", amx()
	return r
}
