package model

import (
	"errors"
	"fmt"
	"slices"

	"bdlora/bdlora"
	"bdlora/data"
	"bdlora/kernels"
	"bdlora/kernels/comm"
)

// Memory is what a model in training takes, in bytes.
type Memory struct {
	Weights     int64 // mapped from their files: taken as they are read, and given back under pressure
	Adapter     int64 // parameters, gradients and the two moments of AdamW, of this process's shards
	Activations int64 // all else that the graph holds, and evaluation in the same place
	Scratch     int64 // what the Backend's kernels hold for themselves
}

// Total is the sum.
func (m Memory) Total() int64 { return m.Weights + m.Adapter + m.Activations + m.Scratch }

// ReadBytes is the part of WeightBytes that is read with so many different tokens:
// all but the rows of an untied embedding that none of them asks for. Systems map
// files in pieces of up to 64 KiB.
func (m *Model) ReadBytes(differentTokens int) int64 {
	all := m.WeightBytes()
	if m.head == m.embed || m.files == nil {
		return all
	}
	const piece = 64 << 10
	embedding := int64(0)
	if t, ok := m.files.Tensor(m.embed.Name); ok {
		embedding = int64(len(t.Bytes())) / int64(m.Group().Procs())
	}
	return all - embedding + min(embedding, piece*int64(differentTokens))
}

// MeasureMemory says what a graph would take, by running one in sizes alone, on a
// micro-batch of GraphConfig.Tokens tokens in one sequence, all of them trained.
func MeasureMemory(be kernels.Backend, m *Model, plan *bdlora.Plan, c GraphConfig) Memory {
	counter := be.CountMemory()
	rehearse(counter, m, plan, c)
	const perParameter = 4 // itself, its gradient and its moments
	params := plan.Params() / int64(m.Group().Procs())
	return Memory{
		Weights: m.WeightBytes(), Adapter: perParameter * params * int64(be.Dtype().Size()),
		Activations: counter.Allocated(), Scratch: counter.Scratch(),
	}
}

// MeasureFlops is the number of floating-point operations that a graph would spend on
// the products and the attention of such a micro-batch, what it computes again
// included.
func MeasureFlops(be kernels.Backend, m *Model, plan *bdlora.Plan, c GraphConfig) float64 {
	flops := 0.0
	c.EvalTokens = 0
	rehearse(kernels.NewTimed(be.CountMemory(), func(c kernels.Call) { flops += c.Flops + c.AddendFlops }), m, plan, c)
	return flops
}

// rehearse runs a graph, and its Inference if there is one, on a Backend that
// computes nothing.
func rehearse(be kernels.Backend, whole *Model, plan *bdlora.Plan, c GraphConfig) {
	m := *whole
	m.group = comm.Silent(whole.Group().Proc(), whole.Group().Procs())
	parts := allocateGraph(be, &m, plan, c)
	params := make([]kernels.Buf, plan.Shards()/m.Group().Procs())
	for i := range params {
		params[i] = kernels.Length(plan.ShardLen)
	}
	err := parts.rehearse(oneSequence(c.Tokens), params)
	if inf := parts.inference; inf != nil {
		inf.shards = params
		err = errors.Join(err, inf.loss(oneSequence(c.EvalTokens)))
	}
	if err != nil {
		panic(fmt.Sprintf("model: rehearsal: %v", err))
	}
}

// rehearse calls what the graph's nodes call, in their order.
func (g *graphParts) rehearse(batch *data.Batch, shards []kernels.Buf) error {
	g.pass.begin(batch)
	g.head.begin(batch.Targets, 1)
	errs := []error{g.pass.embed(g.inputs[0], g.embed, batch.Tokens)}
	last := len(g.halves)
	for i, h := range g.halves {
		errs = append(errs, h.Forward(g.inputs[i+1], g.inputs[i], h.params(shards)))
	}
	errs = append(errs, g.head.Forward(g.head.loss, g.inputs[last], nil),
		g.head.Backward(g.gradients[last], nil, g.head.loss, g.inputs[last], nil))
	for i := last - 1; i >= g.first(); i-- {
		h, dx := g.halves[i], g.gradients[i]
		if i == g.first() {
			dx = nil
		}
		errs = append(errs, h.Backward(dx, h.params(shards), g.gradients[i+1], g.inputs[i], h.params(shards)))
	}
	return errors.Join(errs...)
}

// first is the first half-layer with an adapter: no gradient goes further down.
func (g *graphParts) first() int {
	return slices.IndexFunc(g.halves, func(h half) bool { return h.to > h.from })
}

// oneSequence is a micro-batch of that many tokens, all trained but the first.
func oneSequence(tokens int) *data.Batch {
	e := data.Example{Tokens: make([]int32, tokens), Trained: make([]bool, tokens)}
	for i := 1; i < tokens; i++ {
		e.Trained[i] = true
	}
	return data.NewBatch(e)
}
