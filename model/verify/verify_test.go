package verify_test

import (
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"bdlora/bdlora"
	"bdlora/kernels/comm"
	"bdlora/kernels/cpu"
	"bdlora/model"
	"bdlora/model/verify"
)

// small is a model that up to four processes can share.
func small() *model.Config {
	return &model.Config{
		Hidden: 16, Intermediate: 24, Layers: 2, Heads: 8, KVHeads: 4, HeadDim: 2, Vocab: 13, MaxSeqLen: 16,
		NormEps: 1e-5, RopeScaling: &model.Rope{Theta: 100},
	}
}

// adapter is a random one of rank 8.
func adapter(t *testing.T, blocks int) *bdlora.Adapter {
	t.Helper()
	cfg := bdlora.DefaultConfig()
	cfg.Rank, cfg.Blocks = 8, blocks
	plan, err := bdlora.NewPlan(small().Base("small"), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return verify.Random(plan)
}

// pass runs a part of the model, with a's shards that belong to it.
func pass(t *testing.T, group comm.Comm, a *bdlora.Adapter, train bool) *verify.Outcome {
	t.Helper()
	m := model.NewRandom(small(), 5)
	if err := m.Join(group); err != nil {
		t.Error(err)
	}
	count := len(a.Shards) / group.Procs()
	part := a.Part(group.Proc()*count, (group.Proc()+1)*count)
	o, err := verify.Pass(cpu.New(1), m, part, verify.Batch(9, small().Vocab), train)
	if err != nil {
		t.Error(err)
	}
	return o
}

// compare sets the passes of so many processes with a against that of one with whole.
func compare(t *testing.T, whole, a *bdlora.Adapter, procs int, train bool) (*verify.Differences, []comm.Comm) {
	t.Helper()
	want := pass(t, comm.Alone(), whole, train)
	groups, found := comm.NewLocal(procs), make([]*verify.Differences, procs)
	var all sync.WaitGroup
	for proc, group := range groups {
		all.Go(func() {
			d, err := want.Compare(pass(t, group, a, train))
			if err == nil {
				err = d.Agree(group)
			}
			if err != nil {
				t.Error(err)
			}
			found[proc] = d
		})
	}
	all.Wait()
	for proc := range found {
		if got, _ := found[proc].Largest(); got != must(found[0].Largest()) {
			t.Errorf("processes 0 and %d do not agree on what differs most", proc)
		}
	}
	return found[0], groups
}

func must(far float64, _ string) float64 { return far }

// Law: parts compute what the whole computes, for nothing that the adapter exchanges.
func TestPartsAreTheWhole(t *testing.T) {
	for _, procs := range []int{2, 4} {
		for _, train := range []bool{false, true} {
			a := adapter(t, 4)
			d, groups := compare(t, a, a, procs, train)
			if far, where := d.Largest(); !(far < 1e-5) {
				t.Errorf("%d processes: %s differs by %g", procs, where, far)
			}
			if len(d.Outs) != 4 || d.Halves[3] != "model.layers.1.mlp" || (len(d.Grads) == 14) != train {
				t.Errorf("got %d half-layers %q and %d gradients", len(d.Outs), d.Halves, len(d.Grads))
			}
			for _, group := range groups {
				if own := group.Ledger().Total(comm.Adapter); own.Calls != 0 {
					t.Errorf("got %d collectives of the adapter, want none", own.Calls)
				}
				if base := group.Ledger().Total(comm.Base); base.Calls == 0 {
					t.Error("got no collectives of the base")
				}
			}
		}
	}
}

// Damage shows where it is: no half-layer before it differs.
func TestDamageShowsFromItsHalfLayerOn(t *testing.T) {
	whole, broken := adapter(t, 4), adapter(t, 4)
	up := broken.Plan.Modules[5]
	if up.Path() != "model.layers.0.mlp.up_proj" {
		t.Fatalf("got module %s", up.Path())
	}
	swapped := slices.Clone(up.B.Of(broken.Shards[0]))
	copy(up.B.Of(broken.Shards[0]), up.B.Of(broken.Shards[1]))
	copy(up.B.Of(broken.Shards[1]), swapped)
	d, _ := compare(t, whole, broken, 4, true)
	for i, far := range d.Outs {
		if (far > 1e-3) != (i >= 1) {
			t.Errorf("%s differs by %g", d.Halves[i], far)
		}
	}
}

// With B zero, as at the start of a training, only gradients tell shards apart.
func TestGradientsTellUntrainedShardsApart(t *testing.T) {
	whole := bdlora.New(adapter(t, 2).Plan, 1)
	broken := bdlora.New(whole.Plan, 1)
	broken.Shards[0], broken.Shards[1] = broken.Shards[1], broken.Shards[0]
	if d, _ := compare(t, whole, broken, 2, false); !(must(d.Largest()) < 1e-5) {
		t.Error("got a difference of adapters that add nothing")
	}
	d, _ := compare(t, whole, broken, 2, true)
	if far, where := d.Largest(); !(far > 0.1) || !strings.HasPrefix(where, "the gradient in B of") {
		t.Errorf("got a largest difference of %g, %s; want one in the gradient of a B", far, where)
	}
}

func TestNotANumberIsInfinitelyFar(t *testing.T) {
	whole := pass(t, comm.Alone(), adapter(t, 1), true)
	for name, damage := range map[string]func(o *verify.Outcome){
		"output":   func(o *verify.Outcome) { o.Outs[2].Y[1] = float32(math.NaN()) },
		"gradient": func(o *verify.Outcome) { o.Grads[0][3] = float32(math.NaN()) },
		"loss":     func(o *verify.Outcome) { o.Loss = math.NaN() },
	} {
		part := pass(t, comm.Alone(), adapter(t, 1), true)
		damage(part)
		d, err := whole.Compare(part)
		if err != nil {
			t.Fatal(err)
		}
		if far, where := d.Largest(); !math.IsInf(far, 1) || !strings.Contains(where, name) {
			t.Errorf("%s: got a largest difference of %g, %s", name, far, where)
		}
	}
}

func TestCompareRefusesOtherShapes(t *testing.T) {
	whole := pass(t, comm.Alone(), adapter(t, 2), false)
	for name, change := range map[string]func(m *bdlora.Module){
		"A":     func(m *bdlora.Module) { m.A.Cols /= 2 },
		"B":     func(m *bdlora.Module) { m.B.Rows /= 2 },
		"layer": func(m *bdlora.Module) { m.Layer = 1 },
	} {
		part, plan := *whole, *whole.Plan
		plan.Modules = slices.Clone(plan.Modules)
		change(&plan.Modules[3])
		part.Plan = &plan
		_, err := whole.Compare(&part)
		if err == nil || !strings.Contains(err.Error(), "want the adapter's model.layers.0.self_attn.o_proj with") {
			t.Errorf("%s: got error %v, want that o_proj is another", name, err)
		}
	}
	_, err := whole.Compare(&verify.Outcome{Plan: &bdlora.Plan{}})
	if want := "verify: got shards of 0 linears, want the adapter's 14"; err == nil || err.Error() != want {
		t.Errorf("got error %v, want %q", err, want)
	}
}
