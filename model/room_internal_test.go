package model

import (
	"math"
	"slices"
	"testing"

	"bdlora/bdlora"
	"bdlora/data"
	"bdlora/kernels"
	"bdlora/kernels/ref"
)

// moments is a micro-batch that goes through a graph's half-layers one moment after
// another, with every gradient in parameters that comes of it.
type moments struct {
	parts  *graphParts
	arena  *arena
	params []kernels.Buf
	grads  []float64
}

func newMoments(t *testing.T, c GraphConfig) *moments {
	t.Helper()
	config := &Config{
		Hidden: 8, Intermediate: 12, Layers: 2, Heads: 4, KVHeads: 2, HeadDim: 2, Vocab: 9, MaxSeqLen: 16,
		NormEps: 1e-5, RopeScaling: &Rope{Theta: 100},
	}
	be, m := ref.New[float64](), NewRandom(config, 1)
	adapter := bdlora.Config{Rank: 4, Blocks: 2, Targets: []string{bdlora.AllLinear}, Init: bdlora.InitLoRA}
	plan, err := bdlora.NewPlan(m.Base(), adapter)
	if err != nil {
		t.Fatal(err)
	}
	s := &moments{arena: &arena{}, params: NewTrainable(be, bdlora.New(plan, 1)).Params}
	for _, shard := range s.params {
		for i := range shard.Len() {
			shard.(kernels.F64)[i] = math.Sin(float64(i)) / 4 // B begins at 0
		}
	}
	newGraphParts(be.CountMemory(), s.arena, m, plan, c)
	s.arena.memory = be.Alloc(s.arena.plan())
	s.parts = newGraphParts(be, s.arena, m, plan, c)
	return s
}

// run goes through all moments and calls after at the end of each.
func (s *moments) run(t *testing.T, batch *data.Batch, after func(moment int)) {
	t.Helper()
	g, last := s.parts, len(s.parts.halves)
	check := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	g.pass.begin(batch)
	g.head.begin(batch.Targets, 1)
	check(g.pass.embed(g.inputs[0], g.embed, batch.Tokens))
	after(-1)
	for i, h := range g.halves {
		check(h.Forward(g.inputs[i+1], g.inputs[i], h.params(s.params)))
		after(i)
	}
	check(g.head.Forward(g.head.loss, g.inputs[last], nil))
	after(last)
	one := kernels.F64{1}
	check(g.head.Backward(g.gradients[last], nil, one, g.inputs[last], nil))
	after(last + 1)
	for i := last - 1; i >= 0; i-- {
		h, dparams := g.halves[i], []kernels.Buf{}
		for _, grads := range g.dparams {
			dparams = append(dparams, grads.Slice(0, h.to-h.from))
		}
		check(h.Backward(g.gradients[i], dparams, g.gradients[i+1], g.inputs[i], h.params(s.params)))
		for _, grads := range dparams {
			s.grads = append(s.grads, grads.(kernels.F64)...)
		}
		after(2*last + 1 - i)
	}
}

// poison overwrites all numbers of the arena but those that live on after moment.
func (s *moments) poison(moment int) {
	memory := s.arena.memory.(kernels.F64)
	kept := slices.Clone(memory)
	for i := range memory {
		memory[i] = math.NaN()
	}
	for _, p := range s.arena.places {
		for _, life := range p.life {
			if life.from <= moment && moment < life.to {
				copy(memory[p.from:p.to()], kept[p.from:p.to()])
			}
		}
	}
}

// Law: nothing is wanted of a buffer outside of its lifetime.
func TestNothingOutlivesItsLifetime(t *testing.T) {
	batch := oneSequence(7)
	for i := range batch.Tokens {
		batch.Tokens[i] = int32(i)
	}
	for _, c := range []GraphConfig{
		{Tokens: 7}, {Tokens: 7, Recompute: true}, {Tokens: 9, Dropout: 0.3}, {Tokens: 9, Dropout: 0.3, Recompute: true},
	} {
		clean, poisoned := newMoments(t, c), newMoments(t, c)
		clean.run(t, batch, func(int) {})
		poisoned.run(t, batch, poisoned.poison)
		if !slices.Equal(poisoned.grads, clean.grads) || poisoned.parts.head.sum != clean.parts.head.sum {
			t.Errorf("%+v: the loss is %g, and %g, or gradients differ, with NaNs where nothing should be read",
				c, clean.parts.head.sum, poisoned.parts.head.sum)
		}
	}
}
