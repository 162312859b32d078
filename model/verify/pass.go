package verify

import (
	"math/rand/v2"
	"slices"

	"bdlora/bdlora"
	"bdlora/data"
	"bdlora/kernels"
	"bdlora/model"
)

// Outcome is what a process got from one pass.
type Outcome struct {
	Plan  *bdlora.Plan
	First int         // of the adapter's shards, the first that this process has
	Outs  []Out       // of every half-layer, in order
	Loss  float64     // sum over the tokens
	Grads [][]float32 // of this process's shards, laid out as Plan says; none if only forward
}

// Out is what a half-layer made.
type Out struct {
	Half  string // "model.layers.0.mlp"
	Width int
	Y     []float32 // [tokens, Width]
}

// Pass sends a batch through m with its adapter, forward and, if train is set, backward.
// Of a model that has joined a group, all processes of the group call it alike, each
// with its own part of the adapter.
func Pass(be kernels.Backend, m *model.Model, a *bdlora.Adapter, batch *data.Batch, train bool) (*Outcome, error) {
	o := &Outcome{Plan: a.Plan, First: a.First}
	t := model.NewTrainable(be, a)
	watch := func(half string, y kernels.Matrix) {
		out := Out{half, y.Cols, make([]float32, y.Rows*y.Cols)}
		be.Download(out.Y, y.Buf.Slice(0, len(out.Y)))
		o.Outs = append(o.Outs, out)
	}
	if !train {
		inference := model.NewInference(be, m, t, len(batch.Tokens))
		inference.Watch(watch)
		var err error
		o.Loss, _, err = inference.Loss(batch)
		return o, err
	}
	graph, err := model.NewGraph(be, m, t, model.GraphConfig{Tokens: len(batch.Tokens), Watch: watch})
	if err != nil {
		return nil, err
	}
	defer graph.Close()
	if o.Loss, err = graph.Run(batch, 1/float64(batch.Trained()), 0); err != nil {
		return nil, err
	}
	for _, grads := range t.Grads {
		host := make([]float32, a.Plan.ShardLen)
		be.Download(host, grads)
		o.Grads = append(o.Grads, host)
	}
	return o, nil
}

// Batch is one sequence of so many random tokens, each but the first to be predicted.
func Batch(tokens, vocab int) *data.Batch {
	random := rand.New(rand.NewPCG(1, 0))
	e := data.Example{Tokens: make([]int32, tokens), Trained: slices.Repeat([]bool{true}, tokens)}
	e.Trained[0] = false
	for i := range e.Tokens {
		e.Tokens[i] = int32(random.IntN(vocab))
	}
	return data.NewBatch(e)
}

// Random is an adapter none of whose numbers is zero: A as for training, and B like it.
func Random(plan *bdlora.Plan) *bdlora.Adapter {
	a, random := bdlora.New(plan, 1), rand.New(rand.NewPCG(1, 0))
	for _, m := range plan.Modules {
		for _, shard := range a.Shards {
			for i := range m.B.Of(shard) {
				m.B.Of(shard)[i] = 0.05 * float32(random.NormFloat64())
			}
		}
	}
	return a
}
