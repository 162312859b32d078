package model_test

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"bdlora/bdlora"
	"bdlora/kernels"
	"bdlora/kernels/comm"
	"bdlora/kernels/cpu"
	"bdlora/kernels/ref"
	"bdlora/model"
)

// split is a model that up to four processes can split; the vocabulary unevenly.
var split = model.Config{
	Hidden: 12, Intermediate: 16, Layers: 2, Heads: 8, KVHeads: 4, HeadDim: 2, Vocab: 11, MaxSeqLen: 16,
	NormEps: 1e-5, RopeScaling: &model.Rope{Theta: 100},
}

// together calls f for each process of a group at once.
func together(t *testing.T, procs int, f func(group comm.Comm) error) []comm.Comm {
	t.Helper()
	groups, errs := comm.NewLocal(procs), make([]error, procs)
	var all sync.WaitGroup
	for proc, group := range groups {
		all.Go(func() {
			if errs[proc] = f(group); errs[proc] != nil {
				group.Abort(errs[proc])
			}
		})
	}
	all.Wait()
	for proc, err := range errs {
		if err != nil {
			t.Fatalf("process %d: %v", proc, err)
		}
	}
	return groups
}

// joined is a random model that has joined a group, and its part of an adapter.
func joined(be kernels.Backend, group comm.Comm, c *model.Config, whole *model.Trainable) (*model.Model, *model.Trainable, error) {
	m := model.NewRandom(c, 5)
	if err := m.Join(group); err != nil {
		return nil, nil, err
	}
	shards := len(whole.Params) / group.Procs()
	first := group.Proc() * shards
	part := &model.Trainable{Plan: whole.Plan, First: first, Params: whole.Params[first:][:shards]}
	for _, params := range part.Params {
		part.Grads = append(part.Grads, be.Alloc(params.Len()))
	}
	return m, part, nil
}

// numbers are those of a buffer on the host.
func numbers(b kernels.Buf) []float64 {
	if wide, ok := b.(kernels.F64); ok {
		return wide
	}
	var all []float64
	for _, x := range b.(kernels.F32) {
		all = append(all, float64(x))
	}
	return all
}

func TestPartsComputeWhatTheWholeComputes(t *testing.T) {
	backends := []struct {
		name      string
		open      func() kernels.Backend
		tolerance float64 // of the largest gradient
	}{
		{"ref", func() kernels.Backend { return ref.New[float64]() }, 1e-12},
		{"cpu", func() kernels.Backend { return cpu.New(1) }, 2e-6},
	}
	tests := []struct {
		blocks, procs int
		tied          bool
		targets       string
		config        model.GraphConfig
	}{
		{blocks: 2, procs: 2, targets: bdlora.AllLinear},
		{blocks: 4, procs: 4, targets: bdlora.AllLinear, tied: true},
		{blocks: 4, procs: 2, targets: bdlora.AllLinear, config: model.GraphConfig{Dropout: 0.3}},
		{blocks: 4, procs: 4, targets: bdlora.AllLinear, config: model.GraphConfig{Dropout: 0.3, Recompute: true}},
		{blocks: 2, procs: 2, targets: "o_proj"},
		{blocks: 4, procs: 2, targets: "gate_proj", config: model.GraphConfig{Recompute: true}},
	}
	for _, backend := range backends {
		for _, test := range tests {
			name := fmt.Sprintf("%s %d blocks %d processes %s %+v", backend.name, test.blocks, test.procs, test.targets, test.config)
			t.Run(name, func(t *testing.T) {
				c := split
				c.TiedHead = test.tied
				cfg := bdlora.DefaultConfig()
				cfg.Rank, cfg.Blocks, cfg.Targets = 8, test.blocks, []string{test.targets}
				test.config.Tokens = 16
				be := backend.open()
				whole := trainable(t, be, &c, model.NewRandom(&c, 5), cfg)
				want, err := runOnce(be, comm.Alone(), &c, whole, test.config)
				if err != nil {
					t.Fatal(err)
				}

				got := make([]outcome, test.procs)
				together(t, test.procs, func(group comm.Comm) (err error) {
					got[group.Proc()], err = runOnce(backend.open(), group, &c, whole, test.config)
					return err
				})
				want.compare(t, got, backend.tolerance)
			})
		}
	}
}

// outcome is what a run of the graph gives one process.
type outcome struct {
	loss  float64
	grads [][]float64 // of its shards
}

func runOnce(be kernels.Backend, group comm.Comm, c *model.Config, whole *model.Trainable, gc model.GraphConfig) (o outcome, err error) {
	m, part, err := joined(be, group, c, whole)
	if err != nil {
		return o, err
	}
	g, err := model.NewGraph(be, m, part, gc)
	if err != nil {
		return o, err
	}
	defer g.Close()
	o.loss, err = g.Run(batch, lossScale, 77)
	for _, grads := range part.Grads {
		o.grads = append(o.grads, numbers(grads))
	}
	return o, err
}

// compare checks the outcomes of all processes, whose shards follow one another.
func (o outcome) compare(t *testing.T, parts []outcome, tolerance float64) {
	t.Helper()
	largest := 0.0
	for _, grads := range o.grads {
		for _, g := range grads {
			largest = max(largest, math.Abs(g))
		}
	}
	shard := 0
	for proc, part := range parts {
		if math.Abs(part.loss-o.loss) > tolerance*o.loss {
			t.Errorf("process %d: loss is %.12g, want %.12g", proc, part.loss, o.loss)
		}
		if part.loss != parts[0].loss {
			t.Errorf("process %d: loss is %g, want the very %g of process 0", proc, part.loss, parts[0].loss)
		}
		for _, grads := range part.grads {
			for i, got := range grads {
				if want := o.grads[shard][i]; !(math.Abs(got-want) <= tolerance*largest) {
					t.Fatalf("process %d: shard %d: gradient %d is %g, want %g", proc, shard, i, got, want)
				}
			}
			shard++
		}
	}
	if shard != len(o.grads) {
		t.Errorf("got gradients of %d shards, want %d", shard, len(o.grads))
	}
}

func TestPartsAnswerAsTheWhole(t *testing.T) {
	be := ref.New[float64]()
	cfg := bdlora.DefaultConfig()
	cfg.Rank, cfg.Blocks = 8, 4
	m := model.NewRandom(&split, 5)
	whole := trainable(t, be, &split, m, cfg)
	want, err := model.NewInference(be, m, whole, 11).Logits(batch)
	if err != nil {
		t.Fatal(err)
	}
	generate := func(be kernels.Backend, m *model.Model, tr *model.Trainable) (answer []int32, err error) {
		prompt, c := []int32{1, 2, 3, 4, 5}, model.GenerateConfig{MaxNewTokens: 6}
		err = model.NewGenerator(be, m, tr, 11).Generate(context.Background(), prompt, c, func(token int32) error {
			answer = append(answer, token)
			return nil
		})
		return answer, err
	}
	wantAnswer, err := generate(be, m, whole)
	if err != nil {
		t.Fatal(err)
	}
	for _, procs := range []int{2, 4} {
		together(t, procs, func(group comm.Comm) error {
			be := ref.New[float64]()
			m, part, err := joined(be, group, &split, whole)
			if err != nil {
				return err
			}
			got, err := model.NewInference(be, m, part, 11).Logits(batch)
			if err != nil {
				return err
			}
			for i := range want {
				if math.Abs(float64(got[i]-want[i])) > 1e-6 {
					return fmt.Errorf("logit %d is %g, want %g", i, got[i], want[i])
				}
			}
			if answer, err := generate(be, m, part); err != nil || !slices.Equal(answer, wantAnswer) {
				return fmt.Errorf("answer is %v and error %v, want %v", answer, err, wantAnswer)
			}
			return nil
		})
	}
}

// TestAdaptersCrossNothing: what processes exchange is the base model's, two sums a
// layer and their mirror.
func TestAdaptersCrossNothing(t *testing.T) {
	const procs = 2
	be := ref.New[float64]()
	cfg := bdlora.DefaultConfig()
	cfg.Rank, cfg.Blocks = 8, procs
	whole := trainable(t, be, &split, model.NewRandom(&split, 5), cfg)
	groups := together(t, procs, func(group comm.Comm) error {
		be := ref.New[float64]()
		m, part, err := joined(be, group, &split, whole)
		if err != nil {
			return err
		}
		g, err := model.NewGraph(be, m, part, model.GraphConfig{Tokens: 16})
		if err != nil {
			return err
		}
		defer g.Close()
		_, err = g.Run(batch, lossScale, 77)
		return err
	})
	const embedding, statistics, head = 1, 2, 1
	halves := 2 * split.Layers
	activations := (embedding + halves + halves - 1) * len(batch.Tokens) * split.Hidden // the first half-layer's input is frozen
	targets := 5
	for _, group := range groups {
		got := group.Ledger().Of(comm.Base, comm.AllReduce)
		if want := embedding + halves + statistics + head + halves - 1; got.Calls != want {
			t.Errorf("process %d: %d sums, want %d", group.Proc(), got.Calls, want)
		}
		if want := int64(8 * (activations + targets*split.Hidden + 3*targets)); got.Payload != want {
			t.Errorf("process %d: sums of %d bytes, want %d", group.Proc(), got.Payload, want)
		}
		if adapter := group.Ledger().Total(comm.Adapter); adapter.Calls != 0 {
			t.Errorf("process %d: %d calls for the adapter, want none", group.Proc(), adapter.Calls)
		}
	}
}

func TestJoinRefusesWhatCannotBeSplit(t *testing.T) {
	m := model.NewRandom(&split, 5)
	err := m.Join(comm.Silent(0, 8))
	if err == nil || !strings.Contains(err.Error(), "8 does not divide num_key_value_heads 4") {
		t.Errorf("error is %v, want one about 4 key-value heads", err)
	}
	be := ref.New[float64]()
	cfg := bdlora.DefaultConfig()
	cfg.Rank, cfg.Blocks = 8, 2
	whole := trainable(t, be, &split, m, cfg)
	if err := m.Join(comm.Silent(0, 2)); err != nil {
		t.Fatal(err)
	}
	_, err = model.NewGraph(be, m, whole, model.GraphConfig{Tokens: 16})
	if err == nil || !strings.Contains(err.Error(), "got 2 shards of the adapter from 0 on, want the 1 from 0 on, of process 0 of 2") {
		t.Errorf("error is %v, want one about the shards", err)
	}
	neighbours := &model.Trainable{Plan: whole.Plan, First: 1, Params: whole.Params[1:], Grads: whole.Grads[1:]}
	_, err = model.NewGraph(be, m, neighbours, model.GraphConfig{Tokens: 16})
	if err == nil || !strings.Contains(err.Error(), "1 shards of the adapter from 1 on, want the 1 from 0 on") {
		t.Errorf("error is %v, want one about the neighbour's shard", err)
	}
}
