package model_test

import (
	"math"
	"testing"

	"bdlora/bdlora"
	"bdlora/data"
	"bdlora/kernels"
	"bdlora/kernels/ref"
	"bdlora/model"
)

// allTrained is sequences of which every token but the first is to be predicted.
func allTrained(lengths ...int) *data.Batch {
	var examples []data.Example
	for _, n := range lengths {
		e := data.Example{Tokens: make([]int32, n), Trained: make([]bool, n)}
		for i := 1; i < n; i++ {
			e.Trained[i] = true
		}
		examples = append(examples, e)
	}
	return data.NewBatch(examples...)
}

func newPlan(t *testing.T, base bdlora.Base, rank, blocks int, targets ...string) *bdlora.Plan {
	t.Helper()
	cfg := bdlora.DefaultConfig()
	cfg.Rank, cfg.Blocks, cfg.Targets = rank, blocks, targets
	plan, err := bdlora.NewPlan(base, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// Llama-3.2-1B, 16 layers, rank 16 on all seven linears, a sequence of 2,048 tokens:
//
//	q, o  2048·2048     k, v  512·2048     gate, up, down  8192·2048
//	a layer: 2·4,194,304 + 2·1,048,576 + 3·16,777,216 = 60,817,408
//	all 16:  973,078,528
//
// The gradient in the normed input of layer 0's q, k and v is not wanted.
func TestFlopsOfAOneBillionModel(t *testing.T) {
	c, err := model.Shape("llama-3.2-1b")
	if err != nil {
		t.Fatal(err)
	}
	got := model.CountFlops(c, newPlan(t, c.Base(""), 16, 1, bdlora.AllLinear), allTrained(2048))
	const (
		tokens   = 2048
		linears  = 973_078_528
		firstQKV = 2048*2048 + 2*512*2048
		// A [16, in] of all: 16·(6·2048 + 8192) a layer
		// B [out, 16]:       16·(3·2048 + 2·512 + 2·8192)
		a, b   = 16 * 16 * (6*2048 + 8192), 16 * 16 * (3*2048 + 2*512 + 2*8192)
		firstA = 3 * 16 * 2048
		// query i sees i+1 keys: 2048·2049/2 scores a head, of 64 products, twice
		attention = 16 * 4 * 32 * 64 * (2048 * 2049 / 2)
	)
	want := model.StepFlops{
		LinearForward:     2 * tokens * linears,
		LinearBackward:    2 * tokens * (linears - firstQKV),
		AttentionForward:  attention,
		AttentionBackward: 2.5 * attention,
		Head:              2 * 2 * 2047 * 128256 * 2048, // the last token has nothing to predict
		Adapters:          2 * tokens * (3*a - firstA + 3*b),
	}
	if got != want {
		t.Errorf("got  %+v,\nwant %+v", got, want)
	}
	if tera := got.Total() / 1e12; math.Abs(tera-11.20) > 0.005 {
		t.Errorf("got %.3f TFLOP in all, want 11.20", tera)
	}
}

// Law: a graph that keeps all activations does those operations and no others.
func TestFlopsAreThoseOfTheGraph(t *testing.T) {
	m := model.NewRandom(&tiny, 5)
	some := []string{"model.layers.1.mlp.down_proj", "model.layers.1.mlp.up_proj"}
	for _, targets := range [][]string{{bdlora.AllLinear}, some} {
		for _, blocks := range []int{1, 2} {
			plan, batch := newPlan(t, m.Base(), 4, blocks, targets...), allTrained(5, 3)
			var linears, head, attention, adapters float64
			be := kernels.NewTimed(ref.New[float32](), func(c kernels.Call) {
				switch c.Kernel {
				case "Linear", "LinearBackward":
					if c.Weight.Name == m.Head().Name {
						head += c.Flops
					} else {
						linears += c.Flops
					}
				case "Attention", "AttentionBackward":
					attention += c.Flops
				case "MatMul":
					adapters += c.Flops
				}
				adapters += c.AddendFlops
			})
			g, err := model.NewGraph(be, m, model.NewTrainable(be, bdlora.New(plan, 1)), model.GraphConfig{Tokens: 8})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := g.Run(batch, lossScale, 0); err != nil {
				t.Fatal(err)
			}
			want := model.CountFlops(&tiny, plan, batch)
			for name, pair := range map[string][2]float64{
				"linears":   {linears, want.LinearForward + want.LinearBackward},
				"head":      {head, want.Head},
				"attention": {attention, want.AttentionForward + want.AttentionBackward},
				"adapters":  {adapters, want.Adapters},
			} {
				if pair[0] != pair[1] {
					t.Errorf("%v, %d blocks: %s: the graph does %g flops, counted are %g",
						targets, blocks, name, pair[0], pair[1])
				}
			}
			g.Close()
		}
	}
}
