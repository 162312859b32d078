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
		if cpu.X86.HasAVX512F {
			paths = append([]*routines{avx512()}, paths...)
		}
	}
	return paths
}

func avx2() *routines {
	return &routines{
		path: "avx2", mr: 6, nr: 16, keyTile: 144, tile: tileAVX2,
		f32: packing[float32]{
			interleave8: interleave8F32AVX2,
			interleave6: interleave6F32AVX2,
			copyRows:    copyRowsF32AVX2,
			dots4:       dots4F32AVX2,
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
		dot:            dotAVX2,
		dot3:           dot3AVX2,
		largest:        largestAVX2,
		addScaled:      addScaledAVX2,
		scale:          scaleAVX2,
		scaledProduct:  scaledProductAVX2,
		normBackward:   normBackwardAVX2,
		scoreBackward:  scoreBackwardAVX2,
		rotate:         rotateAVX2,
		expSum:         expSumAVX2,
		swiGLU:         swiGLUAVX2,
		swiGLUBackward: swiGLUBackwardAVX2,
		pause:          pauseAVX2,
	}
}

// avx512 has larger tiles; memory, not arithmetic, bounds the other loops.
func avx512() *routines {
	r := avx2()
	r.path, r.mr, r.nr, r.keyTile, r.tile = "avx512", 14, 32, 224, tileAVX512
	r.slim = avx2()
	return r
}
