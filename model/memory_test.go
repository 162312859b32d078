package model_test

import (
	"math"
	"slices"
	"testing"

	"bdlora/bdlora"
	"bdlora/data"
	"bdlora/kernels"
	"bdlora/kernels/ref"
	"bdlora/model"
)

// dirty is a Backend whose new buffers hold no zeros, but NaNs.
type dirty struct{ kernels.Backend }

func (d dirty) Alloc(n int) kernels.Buf {
	b := make(kernels.F64, n)
	for i := range b {
		b[i] = math.NaN()
	}
	return b
}

// Law: neither what the memory of a graph held before nor an evaluation in the same
// place between two micro-batches changes anything.
func TestNothingIsReadThatWasNotWritten(t *testing.T) {
	cfg := bdlora.Config{Rank: 4, Blocks: 2, Targets: []string{bdlora.AllLinear}, Init: bdlora.InitLoRA}
	for _, c := range []model.GraphConfig{
		{Tokens: 11}, {Tokens: 11, Recompute: true}, {Tokens: 16, Dropout: 0.3}, {Tokens: 11, Dropout: 0.3, Recompute: true},
	} {
		be, m := ref.New[float64](), model.NewRandom(&tiny, 5)
		alone, shared := trainable(t, be, &tiny, m, cfg), trainable(t, be, &tiny, m, cfg)
		clean := mustGraph(t, be, m, alone, c)
		c.EvalTokens = 20
		soiled := mustGraph(t, dirty{be}, m, shared, c)
		for micro := range uint64(3) {
			want, err := clean.Run(batch, lossScale, micro)
			got, errShared := soiled.Run(batch, lossScale, micro)
			if err != nil || errShared != nil || got != want {
				t.Fatalf("%+v: loss %g (%v), want %g (%v)", c, got, errShared, want, err)
			}
			want, _, err = model.NewInference(be, m, alone, 11).Loss(batch)
			got, _, errShared = soiled.Inference().Loss(batch)
			if err != nil || errShared != nil || got != want {
				t.Fatalf("%+v: loss in evaluation %g (%v), want %g (%v)", c, got, errShared, want, err)
			}
		}
		for shard := range alone.Grads {
			if !slices.Equal(shared.Grads[shard].(kernels.F64), alone.Grads[shard].(kernels.F64)) {
				t.Errorf("%+v: gradients of shard %d differ", c, shard)
			}
		}
	}
}

func mustGraph(t *testing.T, be kernels.Backend, m *model.Model, tr *model.Trainable, c model.GraphConfig) *model.Graph {
	t.Helper()
	g, err := model.NewGraph(be, m, tr, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close() })
	return g
}

// counting is a Backend that counts what it is asked for.
type counting struct {
	kernels.Backend
	elements int
}

func (c *counting) Alloc(n int) kernels.Buf {
	c.elements += n
	return c.Backend.Alloc(n)
}

// Law: what a rehearsal says, a graph does: it takes that memory, but for a number a
// node, and spends those operations.
func TestRehearsalIsLikeTheRun(t *testing.T) {
	sequence := &data.Batch{
		Tokens: []int32{1, 2, 3, 4, 5, 6, 0, 1}, Positions: []int32{0, 1, 2, 3, 4, 5, 6, 7},
		Targets: []int32{2, 3, 4, 5, 6, 0, 1, -1}, Lengths: []int{8},
	}
	for _, targets := range [][]string{{bdlora.AllLinear}, {"model.layers.1.mlp.down_proj"}} {
		for _, c := range []model.GraphConfig{
			{Tokens: 8}, {Tokens: 8, Recompute: true}, {Tokens: 8, Dropout: 0.3, EvalTokens: 60},
		} {
			m := model.NewRandom(&tiny, 5)
			tr := trainable(t, ref.New[float64](), &tiny, m, bdlora.Config{Rank: 4, Blocks: 2, Targets: targets, Init: bdlora.InitLoRA})
			flops := 0.0
			be := &counting{Backend: kernels.NewTimed(ref.New[float64](), func(c kernels.Call) { flops += c.Flops + c.AddendFlops })}
			g := mustGraph(t, be, m, tr, c)
			memory := model.MeasureMemory(be, m, tr.Plan, c)
			if beside, nodes := int64(8*be.elements)-memory.Activations, 2*tiny.Layers+1; beside < 0 || beside > 8*int64(nodes) {
				t.Errorf("%v, %+v: the graph takes %d bytes, measured are %d", targets, c, 8*be.elements, memory.Activations)
			}
			if _, err := g.Run(sequence, 1, 0); err != nil {
				t.Fatal(err)
			}
			if got := model.MeasureFlops(be, m, tr.Plan, c); got != flops {
				t.Errorf("%v, %+v: measured %g operations, the run makes %g", targets, c, got, flops)
			}
		}
	}
}
