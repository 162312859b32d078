package safetensors

import (
	"encoding/binary"
	"fmt"
	"math"
	"unsafe"
)

// Tensor is one tensor of a [File].
type Tensor struct {
	Name  string
	Dtype Dtype
	Shape []int // empty for a single number

	data   []byte
	mapped bool // of a file that Open has mapped
}

// Elements is the product of Shape: the count of numbers.
func (t *Tensor) Elements() int {
	elements := 1
	for _, size := range t.Shape {
		elements *= size
	}
	return elements
}

// Bytes are the numbers as they lie in the file, little-endian and row-major. Do
// not write to them: the memory is read-only. They are valid until the file is
// closed.
func (t *Tensor) Bytes() []byte { return t.data }

// F32 is a view of the numbers of an F32 tensor, under the rules of [Tensor.Bytes].
// It is a copy only where the file has them at an odd address, as some old
// writers left them, and on big-endian machines.
//
// It returns an error for any other dtype.
func (t *Tensor) F32() ([]float32, error) {
	if t.Dtype != F32 {
		return nil, fmt.Errorf("safetensors: tensor %q: dtype is %s, want F32", t.Name, t.Dtype)
	}
	return view(t.data, func(b []byte) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b)) }), nil
}

// U16 is a view of the bit patterns of a BF16 or F16 tensor, else like [Tensor.F32].
func (t *Tensor) U16() ([]uint16, error) {
	if t.Dtype != BF16 && t.Dtype != F16 {
		return nil, fmt.Errorf("safetensors: tensor %q: dtype is %s, want BF16 or F16", t.Name, t.Dtype)
	}
	return view(t.data, binary.LittleEndian.Uint16), nil
}

// I8 is a view of the numbers of an I8 tensor, under the rules of [Tensor.Bytes].
//
// It returns an error for any other dtype.
func (t *Tensor) I8() ([]int8, error) {
	if t.Dtype != I8 {
		return nil, fmt.Errorf("safetensors: tensor %q: dtype is %s, want I8", t.Name, t.Dtype)
	}
	return unsafe.Slice((*int8)(unsafe.Pointer(unsafe.SliceData(t.data))), len(t.data)), nil
}

// Release tells the system that the numbers will not be read for a while, so that they
// need not stay in memory. They can be read all the same. It does nothing where the
// system has no such call, or for a file that is not mapped.
func (t *Tensor) Release() {
	if t.mapped {
		release(t.data)
	}
}

// view reads data as numbers: in place if they are aligned and in this machine's
// byte order, by get into new memory otherwise.
func view[T float32 | uint16](data []byte, get func([]byte) T) []T {
	width := int(unsafe.Sizeof(*new(T)))
	count := len(data) / width
	if count == 0 {
		return []T{}
	}
	first := unsafe.Pointer(unsafe.SliceData(data))
	littleEndian := binary.NativeEndian.Uint16([]byte{1, 0}) == 1
	if littleEndian && uintptr(first)%uintptr(width) == 0 {
		return unsafe.Slice((*T)(first), count)
	}
	numbers := make([]T, count)
	for i := range numbers {
		numbers[i] = get(data[i*width:])
	}
	return numbers
}
