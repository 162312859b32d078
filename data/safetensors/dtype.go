package safetensors

import (
	"fmt"
	"math/bits"
	"slices"
)

// Dtype is how one number is stored, as a header spells it.
type Dtype string

// The dtypes that have a view here. Every other one of the format is checked and
// listed, and its numbers are at hand as [Tensor.Bytes] only.
const (
	F32  Dtype = "F32"  // IEEE 754 binary32
	BF16 Dtype = "BF16" // the upper half of a binary32
	F16  Dtype = "F16"  // IEEE 754 binary16
	I8   Dtype = "I8"   // signed 8-bit integers
	U8   Dtype = "U8"   // bytes: their view is [Tensor.Bytes]
)

// dtypeBits gives the width of each dtype of the format. Its order is the one in
// which the reference implementation, version 0.8.0, ranks them when it writes.
var dtypeBits = []struct {
	dtype Dtype
	bits  uint64
}{
	{"BOOL", 8},
	{"F4", 4},
	{"F6_E2M3", 6}, {"F6_E3M2", 6},
	{U8, 8}, {I8, 8},
	{"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8},
	{"I16", 16}, {"U16", 16}, {F16, 16}, {BF16, 16},
	{"I32", 32}, {"U32", 32}, {F32, 32},
	{"C64", 64}, {"F64", 64}, {"I64", 64}, {"U64", 64},
}

// order is the place of d in dtypeBits, or -1 for what is no dtype.
func (d Dtype) order() int {
	for i := range dtypeBits {
		if dtypeBits[i].dtype == d {
			return i
		}
	}
	return -1
}

// dataBytes is the length of a tensor's numbers in the file.
func dataBytes(dtype Dtype, shape []int) (uint64, error) {
	order := dtype.order()
	if order < 0 {
		return 0, fmt.Errorf("dtype is %q, want one like F32, BF16, F16", string(dtype))
	}
	if i := slices.IndexFunc(shape, func(size int) bool { return size < 0 }); i >= 0 {
		return 0, fmt.Errorf("shape is %v, want no negative size", shape)
	}
	totalBits := dtypeBits[order].bits
	for _, size := range shape {
		high, low := bits.Mul64(totalBits, uint64(size))
		if high != 0 {
			return 0, fmt.Errorf("shape %v of %s has more than 2^64 bits", shape, dtype)
		}
		totalBits = low
	}
	if totalBits%8 != 0 {
		return 0, fmt.Errorf("shape %v of %s has %d bits, want whole bytes", shape, dtype, totalBits)
	}
	return totalBits / 8, nil
}
