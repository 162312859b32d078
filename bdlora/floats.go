package bdlora

import (
	"fmt"

	"bdlora/data/safetensors"
	"bdlora/kernels"
)

// floats is the numbers of an F32, BF16 or F16 tensor. Those of an F32 one are a
// view into its file.
func floats(t *safetensors.Tensor) ([]float32, error) {
	if t.Dtype == safetensors.F32 {
		return t.F32()
	}
	bits, err := t.U16()
	if err != nil {
		return nil, fmt.Errorf("tensor %q: dtype is %s, want F32, BF16 or F16", t.Name, t.Dtype)
	}
	values := make([]float32, len(bits))
	for i, b := range bits {
		values[i] = decode16(t.Dtype, b)
	}
	return values, nil
}

// decode16 is the number that 16 bits of a BF16 or F16 tensor stand for.
func decode16(dtype safetensors.Dtype, bits uint16) float32 {
	if dtype == safetensors.F16 {
		return kernels.F16ToFloat32(bits)
	}
	return kernels.BF16ToFloat32(bits)
}

// encode16 rounds v to the nearest BF16 or F16.
func encode16(dtype safetensors.Dtype, v float32) uint16 {
	if dtype == safetensors.F16 {
		return kernels.Float32ToF16(v)
	}
	return kernels.Float32ToBF16(v)
}
