// Package ref is the plain-Go [kernels.Backend]: the slowest code in the module,
// the easiest to read, and the one that every other backend is checked against.
// Each kernel is its formula, one number after another. Numbers are stored as
// float32 or float64; whatever is computed from them, sums included, is float64.
package ref

import (
	"fmt"
	"unsafe"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"bdlora/kernels"
)

// Float is a type that a [Backend] stores numbers in.
type Float interface{ float32 | float64 }

// Backend is a [kernels.Backend] over [kernels.F32] or [kernels.F64] buffers. It
// holds nothing: the zero value works, and any number of goroutines may share one.
type Backend[T Float] struct{}

var (
	_ kernels.Backend = (*Backend[float32])(nil)
	_ kernels.Backend = (*Backend[float64])(nil)
)

// New returns the reference backend that stores T.
func New[T Float]() *Backend[T] { return &Backend[T]{} }

// Name is "ref".
func (*Backend[T]) Name() string { return "ref" }

// Dtype is [tensor.Float32] or [tensor.Float64].
func (*Backend[T]) Dtype() tensor.Dtype {
	if _, ok := any(T(0)).(float32); ok {
		return tensor.Float32
	}
	return tensor.Float64
}

// Alloc returns n zeros.
func (*Backend[T]) Alloc(n int) kernels.Buf { return bufOf(make([]T, n)) }

// CountMemory counts buffers; there is no other memory.
func (b *Backend[T]) CountMemory() kernels.MemoryCounter { return &kernels.Sizes{Of: b} }

// Upload copies src into dst, which has as many elements.
func (*Backend[T]) Upload(dst kernels.Buf, src []float32) {
	checkLen("Upload", "dst", dst.Len(), len(src))
	for i, d := 0, floatsOf[T](dst); i < len(src); i++ {
		d[i] = T(src[i])
	}
}

// Download copies src into dst, which has as many elements, rounded to float32.
func (*Backend[T]) Download(dst []float32, src kernels.Buf) {
	checkLen("Download", "dst", len(dst), src.Len())
	for i, x := range floatsOf[T](src) {
		dst[i] = float32(x)
	}
}

// Value is a [*tensor.Dense] of that shape over the numbers of b. Without a shape
// it is a [*G.F32] or [*G.F64], which is what Gorgonia takes for a scalar.
func (*Backend[T]) Value(b kernels.Buf, shape ...int) G.Value {
	data := floatsOf[T](b)
	checkLen("Value", "buffer", len(data), tensor.Shape(shape).TotalSize())
	if len(shape) > 0 {
		return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(data))
	}
	switch scalar := any(&data[0]).(type) {
	case *float32:
		return (*G.F32)(scalar)
	default:
		return (*G.F64)(scalar.(*float64))
	}
}

// BufOf is the numbers of a row-major [*tensor.Dense], or the one of a [*G.F32] or
// [*G.F64]. It panics on other values: the numbers of a transposed or sliced
// tensor do not lie one after another.
func (*Backend[T]) BufOf(v G.Value) kernels.Buf {
	var b kernels.Buf
	switch v := v.(type) {
	case *G.F32:
		b = kernels.F32(unsafe.Slice((*float32)(v), 1))
	case *G.F64:
		b = kernels.F64(unsafe.Slice((*float64)(v), 1))
	case *tensor.Dense:
		b = denseBuf(v)
	default:
		panic(fmt.Sprintf("ref: BufOf: value is a %T, want a *tensor.Dense or a scalar", v))
	}
	floatsOf[T](b)
	return b
}

func denseBuf(d *tensor.Dense) kernels.Buf {
	if d.RequiresIterator() || d.DataOrder().IsColMajor() {
		panic(fmt.Sprintf("ref: BufOf: value of shape %v has strides %v, want row-major", d.Shape(), d.Strides()))
	}
	switch d.Dtype() {
	case tensor.Float32:
		return kernels.F32(d.Float32s())
	case tensor.Float64:
		return kernels.F64(d.Float64s())
	}
	panic(fmt.Sprintf("ref: BufOf: value is of %v, want float32 or float64", d.Dtype()))
}
