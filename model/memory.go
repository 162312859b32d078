package model

import "bdlora/kernels"

// Memory is what training allocates in a Backend's memory, in bytes. The weights,
// which stay in their files, come on top.
type Memory struct {
	Adapter     int64 // parameters, gradients and the two moments of AdamW, of all shards
	Activations int64 // all else that the graph holds
}

// MeasureMemory builds the graph and counts what it allocates; nothing is computed,
// so that most of it is never really taken from the system.
func MeasureMemory(be kernels.Backend, m *Model, t *Trainable, c GraphConfig) (Memory, error) {
	counter := &allocCounter{Backend: be}
	g, err := NewGraph(counter, m, t, c)
	if err != nil {
		return Memory{}, err
	}
	const perParameter = 4 // itself, its gradient and its moments
	width := int64(be.Dtype().Size())
	return Memory{
		Adapter:     perParameter * t.Plan.Params() * width,
		Activations: counter.elements * width,
	}, g.Close()
}

// allocCounter counts the elements that go through Alloc.
type allocCounter struct {
	kernels.Backend
	elements int64
}

func (c *allocCounter) Alloc(n int) kernels.Buf {
	c.elements += int64(n)
	return c.Backend.Alloc(n)
}
