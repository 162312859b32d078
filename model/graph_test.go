package model_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"bdlora/bdlora"
	"bdlora/data"
	"bdlora/kernels"
	"bdlora/kernels/ref"
	"bdlora/model"
)

// tiny is a model small enough to take differences in every parameter.
var tiny = model.Config{
	Hidden: 6, Intermediate: 8, Layers: 2, Heads: 4, KVHeads: 2, HeadDim: 2, Vocab: 7, MaxSeqLen: 16,
	NormEps: 1e-5, RopeScaling: &model.Rope{Theta: 100},
}

// batch is three sequences, some of whose tokens have no target.
var batch = &data.Batch{
	Tokens:    []int32{1, 2, 3, 4, 5, 1, 6, 2, 0, 3, 3},
	Positions: []int32{0, 1, 2, 3, 4, 0, 1, 2, 3, 0, 1},
	Targets:   []int32{-1, 3, 4, 5, -1, -1, 2, -1, -1, 3, -1},
	Lengths:   []int{5, 4, 2},
}

const lossScale = 0.2 // one over the targets

// trainable is an adapter with random factors on c, in float64.
func trainable(t testing.TB, be kernels.Backend, c *model.Config, m *model.Model, cfg bdlora.Config) *model.Trainable {
	t.Helper()
	plan, err := bdlora.NewPlan(m.Base(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	tr := model.NewTrainable(be, bdlora.New(plan, 1))
	rng := rand.New(rand.NewPCG(2, 3))
	for _, shard := range tr.Params {
		host := make([]float32, shard.Len())
		for i := range host {
			host[i] = float32(rng.NormFloat64()) / 5
		}
		be.Upload(shard, host)
	}
	return tr
}

func TestGraphGradientsAreCentralDifferences(t *testing.T) {
	attention, mlp := []string{"q_proj", "o_proj"}, []string{"down_proj", "up_proj"}
	tests := []struct {
		name      string
		blocks    int
		targets   []string
		dropout   float64
		recompute bool
	}{
		{name: "plain", blocks: 1, targets: []string{bdlora.AllLinear}},
		{name: "blocks", blocks: 2, targets: []string{bdlora.AllLinear}},
		{name: "recompute", blocks: 2, targets: []string{bdlora.AllLinear}, recompute: true},
		{name: "dropout", blocks: 2, targets: []string{bdlora.AllLinear}, dropout: 0.3},
		{name: "dropout recompute", blocks: 1, targets: []string{bdlora.AllLinear}, dropout: 0.3, recompute: true},
		{name: "attention only", blocks: 2, targets: attention},
		{name: "mlp only", blocks: 2, targets: mlp},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			be, m := ref.New[float64](), model.NewRandom(&tiny, 5)
			cfg := bdlora.DefaultConfig()
			cfg.Rank, cfg.Blocks, cfg.Targets = 4, test.blocks, test.targets
			tr := trainable(t, be, &tiny, m, cfg)
			g, err := model.NewGraph(be, m, tr, model.GraphConfig{Tokens: 16, Dropout: test.dropout, Recompute: test.recompute})
			if err != nil {
				t.Fatal(err)
			}
			defer g.Close()
			checkDifferences(t, g, tr)
		})
	}
}

func checkDifferences(t *testing.T, g *model.Graph, tr *model.Trainable) {
	t.Helper()
	const h, rtol, atol = 2e-6, 1e-6, 1e-8
	loss := func() float64 {
		sum, err := g.Run(batch, lossScale, 77)
		if err != nil {
			t.Fatal(err)
		}
		return sum * lossScale
	}
	loss()
	var analytic []kernels.F64
	for _, grads := range tr.Grads {
		analytic = append(analytic, append(kernels.F64(nil), grads.(kernels.F64)...))
	}
	for shard := range tr.Params {
		params := tr.Params[shard].(kernels.F64)
		for i, p := range params {
			params[i] = p + h
			up := loss()
			params[i] = p - h
			down := loss()
			params[i] = p
			want := (up - down) / (2 * h)
			if got := analytic[shard][i]; !(math.Abs(got-want) <= atol+rtol*math.Abs(want)) {
				t.Fatalf("shard %d, parameter %d: gradient %g, central difference %g", shard, i, got, want)
			}
		}
	}
}

// Law: running a graph twice adds the same gradients twice.
func TestGraphAccumulatesGradients(t *testing.T) {
	be, m := ref.New[float64](), model.NewRandom(&tiny, 5)
	tr := trainable(t, be, &tiny, m, bdlora.Config{Rank: 4, Blocks: 2, Targets: []string{"all-linear"}, Init: "lora"})
	g, err := model.NewGraph(be, m, tr, model.GraphConfig{Tokens: 11})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	var once []float64
	for run := range 2 {
		if _, err := g.Run(batch, lossScale, 0); err != nil {
			t.Fatal(err)
		}
		if run == 0 {
			once = append(once, tr.Grads[1].(kernels.F64)...)
		}
	}
	for i, got := range tr.Grads[1].(kernels.F64) {
		if want := 2 * once[i]; math.Abs(got-want) > 1e-12*math.Abs(want) {
			t.Fatalf("gradient %d after two runs is %g, want %g", i, got, want)
		}
	}
}

// Law: sequences side by side in one micro-batch have the loss and the gradients of
// the sequences alone.
func TestPackedSequencesEqualTheSequencesAlone(t *testing.T) {
	be, m := ref.New[float64](), model.NewRandom(&tiny, 5)
	cfg := bdlora.Config{Rank: 4, Blocks: 2, Targets: []string{"all-linear"}, Init: "lora"}
	run := func(batches ...*data.Batch) (loss float64, grads []float64) {
		tr := trainable(t, be, &tiny, m, cfg)
		g, err := model.NewGraph(be, m, tr, model.GraphConfig{Tokens: 11})
		if err != nil {
			t.Fatal(err)
		}
		defer g.Close()
		for _, b := range batches {
			sum, err := g.Run(b, lossScale, 0)
			if err != nil {
				t.Fatal(err)
			}
			loss += sum
		}
		for _, shard := range tr.Grads {
			grads = append(grads, shard.(kernels.F64)...)
		}
		return loss, grads
	}
	packedLoss, packed := run(batch)
	aloneLoss, alone := run(sequences(batch)...)
	if math.Abs(packedLoss-aloneLoss) > 1e-12*aloneLoss {
		t.Errorf("packed loss %.15g, alone %.15g", packedLoss, aloneLoss)
	}
	for i := range packed {
		if math.Abs(packed[i]-alone[i]) > 1e-12 {
			t.Fatalf("gradient %d packed is %g, alone %g", i, packed[i], alone[i])
		}
	}
}

// sequences cuts a micro-batch into one for each of its sequences.
func sequences(b *data.Batch) []*data.Batch {
	var all []*data.Batch
	from := 0
	for _, length := range b.Lengths {
		to := from + length
		all = append(all, &data.Batch{
			Tokens: b.Tokens[from:to], Positions: b.Positions[from:to], Targets: b.Targets[from:to], Lengths: []int{length},
		})
		from = to
	}
	return all
}

// Law: with B = 0, as every adapter starts, the output is the base model's, bit for
// bit.
func TestNewAdapterChangesNothing(t *testing.T) {
	be, m := ref.New[float32](), model.NewRandom(&tiny, 5)
	plan, err := bdlora.NewPlan(m.Base(), bdlora.Config{Rank: 4, Blocks: 2, Targets: []string{"all-linear"}, Init: "lora"})
	if err != nil {
		t.Fatal(err)
	}
	logits := func(tr *model.Trainable) []float32 {
		l, err := model.NewInference(be, m, tr, 11).Logits(batch)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	base, adapted := logits(nil), logits(model.NewTrainable(be, bdlora.New(plan, 1)))
	for i := range base {
		if base[i] != adapted[i] {
			t.Fatalf("logit %d is %g with a new adapter, want the base's %g", i, adapted[i], base[i])
		}
	}
}

// Law: dropout depends on its key, and on nothing else.
func TestDropoutFollowsItsKey(t *testing.T) {
	be, m := ref.New[float64](), model.NewRandom(&tiny, 5)
	cfg := bdlora.Config{Rank: 4, Blocks: 2, Targets: []string{"all-linear"}, Init: "lora"}
	g, err := model.NewGraph(be, m, trainable(t, be, &tiny, m, cfg), model.GraphConfig{Tokens: 11, Dropout: 0.5})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	var losses []float64
	for _, key := range []uint64{1, 2, 1} {
		sum, err := g.Run(batch, lossScale, key)
		if err != nil {
			t.Fatal(err)
		}
		losses = append(losses, sum)
	}
	if losses[0] == losses[1] || losses[0] != losses[2] {
		t.Errorf("got losses %v for keys 1, 2 and 1", losses)
	}
}

// Law: what a row loses to dropout does not depend on the rows behind it. The short
// batch has its factors apart, the long one joined.
func TestDropoutIgnoresWhatFollows(t *testing.T) {
	be, m := ref.New[float64](), model.NewRandom(&tiny, 5)
	cfg := bdlora.Config{Rank: 4, Blocks: 2, Targets: []string{"all-linear"}, Init: "lora"}
	g, err := model.NewGraph(be, m, trainable(t, be, &tiny, m, cfg), model.GraphConfig{Tokens: 11, Dropout: 0.5})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	first, long := sequences(batch)[0], *batch
	long.Targets = append(slices.Clone(first.Targets), -1, -1, -1, -1, -1, -1)
	alone, err := g.Run(first, lossScale, 7)
	if err != nil {
		t.Fatal(err)
	}
	followed, err := g.Run(&long, lossScale, 7)
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(followed-alone) > 1e-12*alone {
		t.Errorf("loss is %.15g before other sequences, alone %.15g", followed, alone)
	}
}

func TestGraphRefusesBatches(t *testing.T) {
	be, m := ref.New[float64](), model.NewRandom(&tiny, 5)
	tr := trainable(t, be, &tiny, m, bdlora.Config{Rank: 4, Blocks: 1, Targets: []string{"q_proj"}, Init: "lora"})
	g, err := model.NewGraph(be, m, tr, model.GraphConfig{Tokens: 10})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	untrained := &data.Batch{Tokens: []int32{1}, Positions: []int32{0}, Targets: []int32{-1}, Lengths: []int{1}}
	for want, b := range map[string]*data.Batch{
		"model: micro-batch of 11 tokens, want at most 10":        batch,
		"model: micro-batch of 1 tokens, want 1 trained at least": untrained,
	} {
		if _, err := g.Run(b, 1, 0); fmt.Sprint(err) != want {
			t.Errorf("got error %v, want %s", err, want)
		}
	}
}
