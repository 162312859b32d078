package model

import (
	"bdlora/bdlora"
	"bdlora/kernels"
)

// Memory is what training takes, in bytes.
type Memory struct {
	Weights     int64 // mapped from their files: taken as they are read, and given back under pressure
	Adapter     int64 // parameters, gradients and the two moments of AdamW, of all shards
	Activations int64 // all else that the graph holds
}

// Total is the sum.
func (m Memory) Total() int64 { return m.Weights + m.Adapter + m.Activations }

// MeasureMemory says what a graph would take, by allocating one in sizes alone.
func MeasureMemory(be kernels.Backend, m *Model, plan *bdlora.Plan, c GraphConfig) Memory {
	sizes := &sizes{Backend: be}
	allocateGraph(sizes, m, plan, c)
	const perParameter = 4 // itself, its gradient and its moments
	width := int64(be.Dtype().Size())
	return Memory{
		Weights: m.WeightBytes(), Adapter: perParameter * plan.Params() * width, Activations: sizes.elements * width,
	}
}

// sizes is a Backend that counts what it is asked for and holds nothing.
type sizes struct {
	kernels.Backend
	elements int64
}

func (s *sizes) Alloc(n int) kernels.Buf {
	s.elements += int64(n)
	return length(n)
}

func (s *sizes) Upload(kernels.Buf, []float32) {}

// length is a Buf that is nothing but that long.
type length int

func (l length) Len() int                       { return int(l) }
func (l length) Slice(from, to int) kernels.Buf { return length(to - from) }
