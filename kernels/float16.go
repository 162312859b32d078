package kernels

import "math"

// BF16ToFloat32 decodes a bfloat16, which is the upper half of a float32. It is
// exact, NaN payloads included.
func BF16ToFloat32(bits uint16) float32 {
	return math.Float32frombits(uint32(bits) << 16)
}

// Float32ToBF16 rounds f to the nearest bfloat16, ties to even. What lies beyond
// the largest one becomes an infinity, and a NaN stays a (quiet) NaN.
func Float32ToBF16(f float32) uint16 {
	bits := math.Float32bits(f)
	if f != f {
		return uint16(bits>>16) | 0x0040
	}
	return uint16((bits + 0x7fff + bits>>16&1) >> 16)
}

// F16ToFloat32 decodes an IEEE 754 binary16. It is exact, subnormals and NaN
// payloads included.
func F16ToFloat32(bits uint16) float32 {
	sign, magnitude := uint32(bits&0x8000)<<16, uint32(bits&0x7fff)
	switch {
	case magnitude >= 0x7c00: // infinities and NaNs keep an exponent of all ones
		return math.Float32frombits(sign | magnitude<<13 | 0x7f800000)
	case magnitude < 0x0400: // subnormals count steps of 2⁻²⁴
		return math.Float32frombits(sign | math.Float32bits(float32(magnitude)*0x1p-24))
	default: // the bias of the exponent grows from 15 to 127
		return math.Float32frombits(sign | (magnitude<<13 + 112<<23))
	}
}

// Float32ToF16 rounds f to the nearest IEEE 754 binary16, ties to even. What lies
// beyond the largest one becomes an infinity, and a NaN stays a (quiet) NaN.
func Float32ToF16(f float32) uint16 {
	bits := math.Float32bits(f)
	sign, magnitude := uint16(bits>>16)&0x8000, bits&0x7fffffff
	switch {
	case magnitude > 0x7f800000:
		return sign | 0x7e00 | uint16(magnitude>>13)&0x03ff
	case magnitude >= 0x47800000: // from 2¹⁶ on; what rounds up to it carries into the exponent
		return sign | 0x7c00
	case magnitude < 0x38800000: // below 2⁻¹⁴: RoundToEven counts the steps of 2⁻²⁴
		return sign | uint16(math.RoundToEven(math.Abs(float64(f))*0x1p24))
	default:
		magnitude -= 112 << 23
		return sign | uint16((magnitude+0x0fff+magnitude>>13&1)>>13)
	}
}
