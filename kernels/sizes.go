package kernels

import (
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Sizes is a [Backend] that computes nothing, over buffers that are lengths and
// nothing else: what goes through it costs no time and no memory, but is counted.
// Backends that take memory of their own embed it and count that as well.
type Sizes struct {
	Of       Backend // which it stands for
	Elements int64   // that Alloc was asked for
}

var _ MemoryCounter = (*Sizes)(nil)

// MemoryCounter is what [Backend.CountMemory] returns: it adds up memory, in bytes.
type MemoryCounter interface {
	Backend
	// Allocated is what Alloc was asked for so far.
	Allocated() int64
	// Scratch is what the calls so far make the Backend hold beside it: operands in
	// its own order, sums of its threads.
	Scratch() int64
}

// Allocated is the size of all elements.
func (s *Sizes) Allocated() int64 { return s.Elements * int64(s.Of.Dtype().Size()) }

// Scratch is 0.
func (s *Sizes) Scratch() int64 { return 0 }

// Name is that of the Backend it stands for.
func (s *Sizes) Name() string { return s.Of.Name() }

// Dtype is that of the Backend it stands for.
func (s *Sizes) Dtype() tensor.Dtype { return s.Of.Dtype() }

// CountMemory begins at zero again.
func (s *Sizes) CountMemory() MemoryCounter { return s.Of.CountMemory() }

// Alloc counts n elements and returns their number.
func (s *Sizes) Alloc(n int) Buf {
	s.Elements += int64(n)
	return Length(n)
}

// Length is a [Buf] that is nothing but that long.
type Length int

// Len is the length.
func (l Length) Len() int { return int(l) }

// Slice is the length of the part [from, to).
func (l Length) Slice(from, to int) Buf { return Length(to - from) }

// Value panics: there are no numbers that Gorgonia could see.
func (s *Sizes) Value(Buf, ...int) G.Value { panic("kernels: Sizes: Value of a length") }

// BufOf panics: there are no values of a [Sizes].
func (s *Sizes) BufOf(G.Value) Buf { panic("kernels: Sizes: BufOf a value") }

// The kernels do nothing.

func (s *Sizes) Upload(Buf, []float32)                               {}
func (s *Sizes) Download([]float32, Buf)                             {}
func (s *Sizes) Linear(_, _ Matrix, _ *Weight, _ ...Addend)          {}
func (s *Sizes) MatMul(_ Matrix, _ float64, _, _ Matrix, _ bool)     {}
func (s *Sizes) Copy(_, _ Matrix)                                    {}
func (s *Sizes) Add(_, _ Matrix)                                     {}
func (s *Sizes) Clear(Buf)                                           {}
func (s *Sizes) Scale(Buf, float64)                                  {}
func (s *Sizes) Embed(Matrix, *Weight, []int32)                      {}
func (s *Sizes) RMSNorm(_ Matrix, _ Buf, _ Matrix, _ Buf, _ float64) {}
func (s *Sizes) RMSNormBackward(_, _, _ Matrix, _, _ Buf)            {}
func (s *Sizes) RoPE(Matrix, []int32, *Rotary, bool)                 {}
func (s *Sizes) SwiGLU(_, _, _ Matrix)                               {}
func (s *Sizes) SwiGLUBackward(_, _, _, _, _ Matrix)                 {}
func (s *Sizes) Dropout(_, _ Matrix, _ Dropout, _ bool)              {}
func (s *Sizes) CrossEntropy(SoftmaxRows, Matrix, []int32)           {}
func (s *Sizes) SumSquares(Buf) float64                              { return 0 }
func (s *Sizes) AdamW(_, _, _, _ Buf, _ AdamW)                       {}

func (s *Sizes) CrossEntropyBackward(Matrix, []int32, []float64, float64)                         {}
func (s *Sizes) LinearBackward(_, _ Matrix, _ *Weight, _ bool, _ ...Addend)                       {}
func (s *Sizes) Attention(_ Matrix, _ Buf, _, _, _ Matrix, _ *AttentionShape)                     {}
func (s *Sizes) AttentionBackward(_, _, _, _, _ Matrix, _ Buf, _, _, _ Matrix, _ *AttentionShape) {}
