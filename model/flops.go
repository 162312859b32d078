package model

import (
	"bdlora/bdlora"
	"bdlora/data"
	"bdlora/kernels"
)

// StepFlops are the floating-point operations that the maths of a micro-batch needs,
// forward and backward: 2 a multiply-add of every product. What is computed again in
// the backward pass to save memory counts once, what no gradient depends on not at
// all, and element-wise work is left out.
type StepFlops struct {
	LinearForward, LinearBackward       float64 // y = x·Wᵀ and dx = dy·W of the frozen linears
	AttentionForward, AttentionBackward float64 // below the diagonal; see [kernels.AttentionShape]
	Head                                float64 // logits and their gradient, rows with a target only
	Adapters                            float64 // h = x·Aᵀ and y = h·Bᵀ; dh, dB, dA and dx
}

// Total is the sum.
func (f StepFlops) Total() float64 {
	return f.LinearForward + f.LinearBackward + f.AttentionForward + f.AttentionBackward + f.Head + f.Adapters
}

// CountFlops counts those of [Graph.Run] on a batch.
//
// Gradients flow down to the first half-layer with an adapter. Nobody wants the one in
// that half-layer's own input.
func CountFlops(c *Config, plan *bdlora.Plan, batch *data.Batch) StepFlops {
	tokens, flows := len(batch.Tokens), false
	attention := kernels.AttentionShape{
		Heads: c.Heads, KVHeads: c.KVHeads, HeadDim: c.HeadDim, Queries: batch.Lengths, Keys: batch.Lengths,
	}
	f := StepFlops{Head: 2 * kernels.Flops(batch.Trained(), c.Hidden, c.Vocab)}
	for layer := range c.Layers {
		for _, half := range []string{"self_attn", "mlp"} {
			modules, _, _ := plan.Half(layer, half)
			f.addLinears(c, half, tokens, flows, len(modules) > 0)
			f.addAdapters(modules, plan.Shards(), tokens, flows)
			if half == "self_attn" {
				f.AttentionForward += attention.Flops()
				if flows || len(modules) > 0 {
					f.AttentionBackward += attention.BackwardFlops()
				}
			}
			flows = flows || len(modules) > 0
		}
	}
	return f
}

// addLinears counts a half-layer's frozen linears. flows says whether its input's
// gradient is wanted, adapted whether it has an adapter of its own: then those of its
// linears that read its input need no gradient there, and the others do.
func (f *StepFlops) addLinears(c *Config, half string, tokens int, flows, adapted bool) {
	for _, l := range c.Linears() {
		if l.Half() != half {
			continue
		}
		flops := kernels.Flops(tokens, l.In, l.Out)
		f.LinearForward += flops
		if flows || adapted && l.Parallel == bdlora.RowParallel {
			f.LinearBackward += flops
		}
	}
}

func (f *StepFlops) addAdapters(modules []bdlora.Module, shards, tokens int, flows bool) {
	for _, m := range modules {
		a := float64(shards) * kernels.Flops(tokens, m.A.Rows, m.A.Cols)
		b := float64(shards) * kernels.Flops(tokens, m.B.Rows, m.B.Cols)
		f.Adapters += 2*a + 3*b // h, dA; y, dh, dB
		if flows || m.Linear.Parallel == bdlora.RowParallel {
			f.Adapters += a // dx
		}
	}
}
