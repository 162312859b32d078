package cpu

import (
	"math"

	"bdlora/kernels"
)

// emulated is a matrix unit in plain Go, with which tests run on any processor. It is
// slow: nothing else uses it.
func emulated() *routines {
	r := generic()
	r.path, r.unit = "emulated", &matrixUnit{
		multiply11: multiplyEmulated(terms{1, 1}),
		multiply21: multiplyEmulated(terms{2, 1}),
		multiply22: multiplyEmulated(terms{2, 2}),
		multiply31: multiplyEmulated(terms{3, 1}),
		multiply33: multiplyEmulated(terms{3, 3}),
		interleaveWords: func(dst []float32, src []uint16, step, rounds int) {
			packWords(dst, rounds, unitLanes, func(lane, s int) uint16 { return src[s*step+lane] })
		},
		transposeWords: func(dst []float32, src []uint16, lane, rounds int) {
			packWords(dst, rounds, unitLanes/2, func(i, s int) uint16 { return src[i*lane+s] })
		},
	}
	for i := range mostTerms {
		r.unit.splitRows[i], r.unit.splitLanes[i] = splitRowsEmulated(i+1), splitLanesEmulated(i+1)
	}
	return r
}

// multiplyEmulated sums as the hardware does, in float32 and pair by pair.
func multiplyEmulated(t terms) tileProduct {
	return func(panels, rounds int, a, b, c []float32, cRow int, add bool) {
		for panel := range panels {
			for i := range unitLanes {
				for j := range unitLanes {
					at, sum := i*cRow+panel*unitLanes+j, float32(0)
					if add {
						sum = c[at]
					}
					for round := range rounds {
						sum = t.round(sum, a[round*t.a*roundWords:], b[(panel*rounds+round)*t.b*roundWords:], i, j)
					}
					c[at] = sum
				}
			}
		}
	}
}

// round adds the products of row i of a and column j of b in one round.
func (t terms) round(sum float32, a, b []float32, i, j int) float32 {
	for x := t.a - 1; x >= 0; x-- {
		for y := range min(t.b, max(t.a, t.b)-x) {
			for pair := range roundSteps / 2 {
				a := math.Float32bits(a[x*roundWords+i/16*tileWords+i%16*16+pair])
				b := math.Float32bits(b[y*roundWords+j/16*tileWords+pair*16+j%16])
				sum += math.Float32frombits(a<<16) * math.Float32frombits(b<<16)
				sum += math.Float32frombits(a&^0xffff) * math.Float32frombits(b&^0xffff)
			}
		}
	}
	return sum
}

// packWords writes tiles of b for so many lanes.
func packWords(dst []float32, rounds, lanes int, number func(lane, step int) uint16) {
	for round := range rounds {
		for lane := range lanes {
			for pair := range roundSteps / 2 {
				s := round*roundSteps + 2*pair
				word := uint32(number(lane, s)) | uint32(number(lane, s+1))<<16
				dst[round*roundWords+lane/16*tileWords+pair*16+lane%16] = math.Float32frombits(word)
			}
		}
	}
}

func splitRowsEmulated(terms int) packTerms {
	return func(dst, src []float32, stride, rounds int, factor float32) {
		for lane := range unitLanes / 2 {
			for pair := range rounds * roundSteps / 2 {
				first := splitTerms(factor*src[lane*stride+2*pair], terms)
				second := splitTerms(factor*src[lane*stride+2*pair+1], terms)
				for t := range terms {
					at := (pair/16*terms+t)*roundWords + lane*16 + pair%16
					dst[at] = math.Float32frombits(uint32(first[t]) | uint32(second[t])<<16)
				}
			}
		}
	}
}

func splitLanesEmulated(terms int) packTerms {
	return func(dst, src []float32, stride, rounds int, factor float32) {
		for lane := range unitLanes / 2 {
			for pair := range rounds * roundSteps / 2 {
				first := splitTerms(factor*src[2*pair*stride+lane], terms)
				second := splitTerms(factor*src[(2*pair+1)*stride+lane], terms)
				for t := range terms {
					at := (pair/16*terms+t)*roundWords + pair%16*16 + lane
					dst[at] = math.Float32frombits(uint32(first[t]) | uint32(second[t])<<16)
				}
			}
		}
	}
}

// splitTerms cuts x into bfloat16 terms: three by truncation, fewer by rounding.
func splitTerms(x float32, terms int) (parts [mostTerms]uint16) {
	for t := range terms {
		parts[t] = uint16(math.Float32bits(x) >> 16)
		if terms < mostTerms {
			parts[t] = kernels.Float32ToBF16(x)
		}
		x -= kernels.BF16ToFloat32(parts[t])
	}
	return parts
}
