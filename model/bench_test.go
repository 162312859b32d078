package model_test

import (
	"fmt"
	"testing"

	"bdlora/bdlora"
	"bdlora/data"
	"bdlora/kernels/cpu"
	"bdlora/model"
)

// BenchmarkGraph is a micro-batch forward and backward through two layers of the
// width of SmolLM2-135M: 3 key-value heads, so 3 blocks.
func BenchmarkGraph(b *testing.B) {
	c := model.Config{
		Hidden: 576, Intermediate: 1536, Layers: 2, Heads: 9, KVHeads: 3, HeadDim: 64, Vocab: 8192, MaxSeqLen: 2048,
		NormEps: 1e-5, TiedHead: true, RopeScaling: &model.Rope{Theta: 1e5},
	}
	m, be := model.NewRandom(&c, 1), cpu.New(0)
	const tokens, rows = 512, 4
	var examples []data.Example
	for range rows {
		e := data.Example{Tokens: make([]int32, tokens/rows), Trained: make([]bool, tokens/rows)}
		for i := range e.Tokens {
			e.Tokens[i], e.Trained[i] = int32(i*37%c.Vocab), i > tokens/rows/2
		}
		examples = append(examples, e)
	}
	batch := data.NewBatch(examples...)
	for _, blocks := range []int{1, 3} {
		for _, recompute := range []bool{false, true} {
			b.Run(fmt.Sprintf("impl=cpu/tokens=%d/blocks=%d/recompute=%t", tokens, blocks, recompute), func(b *testing.B) {
				plan, err := bdlora.NewPlan(m.Base(), bdlora.Config{Rank: 24, Blocks: blocks, Targets: []string{"all-linear"}, Init: "lora"})
				if err != nil {
					b.Fatal(err)
				}
				g, err := model.NewGraph(be, m, model.NewTrainable(be, bdlora.New(plan, 1)), model.GraphConfig{Tokens: tokens, Recompute: recompute})
				if err != nil {
					b.Fatal(err)
				}
				defer g.Close()
				b.ReportAllocs()
				for b.Loop() {
					if _, err := g.Run(batch, 1/float64(batch.Trained()), 0); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(tokens*float64(b.N)/b.Elapsed().Seconds(), "tokens/s")
			})
		}
	}
}
