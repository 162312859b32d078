//go:build !purego

package cpu

import "golang.org/x/sys/cpu"

// hasAMX reports whether the processor multiplies tiles of bfloat16 and the
// operating system lets this process do so.
func hasAMX() bool {
	return cpu.X86.HasAVX512BW && cpu.X86.HasAMXTile && cpu.X86.HasAMXBF16 && allowAMX()
}

// amx is Intel's matrix unit.
func amx() *matrixUnit {
	return &matrixUnit{
		multiply11:      multiplyTiles11AMX,
		multiply21:      multiplyTiles21AMX,
		multiply22:      multiplyTiles22AMX,
		multiply31:      multiplyTiles31AMX,
		multiply33:      multiplyTiles33AMX,
		splitRows:       [mostTerms]packTerms{roundRowsAVX512, splitRows2AVX512, splitRows3AVX512},
		splitLanes:      [mostTerms]packTerms{roundLanesAVX512, splitLanes2AVX512, splitLanes3AVX512},
		interleaveWords: interleaveWordsAVX512,
		transposeWords:  transposeWordsAVX512,
	}
}

// multiplyTiles11AMX is matrixUnit.multiply11.
//
//go:noescape
func multiplyTiles11AMX(panels, rounds int, a, b, c []float32, cRow int, add bool)

// multiplyTiles21AMX is matrixUnit.multiply21.
//
//go:noescape
func multiplyTiles21AMX(panels, rounds int, a, b, c []float32, cRow int, add bool)

// multiplyTiles22AMX is matrixUnit.multiply22.
//
//go:noescape
func multiplyTiles22AMX(panels, rounds int, a, b, c []float32, cRow int, add bool)

// multiplyTiles31AMX is matrixUnit.multiply31.
//
//go:noescape
func multiplyTiles31AMX(panels, rounds int, a, b, c []float32, cRow int, add bool)

// multiplyTiles33AMX is matrixUnit.multiply33.
//
//go:noescape
func multiplyTiles33AMX(panels, rounds int, a, b, c []float32, cRow int, add bool)
