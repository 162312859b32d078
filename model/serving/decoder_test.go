package serving_test

import (
	"context"
	"fmt"
	"math"
	"sync"
	"testing"

	"bdlora/bdlora"
	"bdlora/kernels"
	"bdlora/kernels/comm"
	"bdlora/kernels/cpu"
	"bdlora/kernels/ref"
	"bdlora/model"
	"bdlora/model/serving"
)

// small is a model that two and four processes can split.
var small = model.Config{
	Hidden: 16, Intermediate: 24, Layers: 2, Heads: 8, KVHeads: 4, HeadDim: 2, Vocab: 20, MaxSeqLen: 32,
	NormEps: 1e-5, RopeScaling: &model.Rope{Theta: 100},
}

const rank, sequences = 8, 3

var prompt = []int32{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}

func smallSetup(way serving.Way, shards int, linears ...bdlora.Linear) serving.Setup {
	if len(linears) == 0 {
		linears = small.Linears()
	}
	return serving.Setup{Config: &small, Shards: shards, Way: way, Linears: linears, Rank: rank, Widths: serving.Ours()}
}

// answer is the logits of a prompt and of two tokens behind it in each sequence.
func answer(be kernels.Backend, group comm.Comm, s serving.Setup) ([][]float32, error) {
	m := model.NewRandom(&small, 5)
	if err := m.Join(group); err != nil {
		return nil, err
	}
	d := serving.NewDecoder(be, m, s, model.DecoderConfig{Sequences: sequences, Tokens: 16, PassTokens: 16}, 7)
	logits, err := d.Begin(context.Background(), prompt)
	all := [][]float32{logits}
	if err == nil {
		err = d.Fork(sequences, len(prompt))
	}
	for _, tokens := range [][]int32{{3, 14, 15}, {9, 2, 6}} {
		if err == nil {
			logits, err = d.Step(tokens)
			all = append(all, logits)
		}
	}
	return all, err
}

// together calls f for each process of a group at once and returns the groups' ends.
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

// Law: however an adapter is cut, the processes together answer as one that has all of
// it. The one has ordinary LoRA whole, and every block of BD-LoRA.
func TestEveryWayAnswersAsTheWhole(t *testing.T) {
	all := small.Linears()
	for _, linears := range [][]bdlora.Linear{all, {all[1], all[6]}, {all[3]}} {
		for _, procs := range []int{2, 4} {
			for _, way := range serving.Ways() {
				t.Run(fmt.Sprintf("%s/procs=%d/linears=%d", way, procs, len(linears)), func(t *testing.T) {
					one := smallSetup(way, 1, linears...)
					if way == serving.BDLoRA {
						one.Shards = procs
					}
					want, err := answer(ref.New[float64](), comm.Alone(), one)
					if err != nil {
						t.Fatal(err)
					}
					together(t, procs, func(group comm.Comm) error {
						got, err := answer(ref.New[float64](), group, smallSetup(way, procs, linears...))
						return equal(got, want, err)
					})
				})
			}
		}
	}
}

// equal reports the first logit that differs by more than float32 rounds off.
func equal(got, want [][]float32, err error) error {
	if err != nil {
		return err
	}
	for step := range want {
		for i, w := range want[step] {
			if !(math.Abs(float64(got[step][i]-w)) <= 1e-6) {
				return fmt.Errorf("step %d: logit %d is %g, want %g", step, i, got[step][i], w)
			}
		}
	}
	return nil
}

// The ways differ in more than their names: the adapter changes the answer, and BD-LoRA
// of the same rank is another adapter.
func TestAdaptersChangeTheAnswer(t *testing.T) {
	answers := map[serving.Way][][]float32{}
	for _, way := range serving.Ways() {
		shards := 1
		if way == serving.BDLoRA {
			shards = 4
		}
		var err error
		if answers[way], err = answer(ref.New[float64](), comm.Alone(), smallSetup(way, shards)); err != nil {
			t.Fatal(err)
		}
	}
	if err := equal(answers[serving.SLoRA], answers[serving.NFSLoRA], nil); err != nil {
		t.Errorf("S-LoRA and NFS-LoRA whole: %v", err)
	}
	for _, pair := range [][2]serving.Way{{serving.None, serving.SLoRA}, {serving.SLoRA, serving.BDLoRA}, {serving.None, serving.BDLoRA}} {
		if equal(answers[pair[0]], answers[pair[1]], nil) == nil {
			t.Errorf("%s and %s answer alike, want another answer", pair[0], pair[1])
		}
	}
}

// Law: what crosses is what Setup.Calls says, call by call and byte by byte, and nothing
// of it is BD-LoRA's own, nor NFS-LoRA's.
func TestLedgerIsWhatTheFormulasSay(t *testing.T) {
	for _, procs := range []int{2, 4} {
		for _, way := range serving.Ways() {
			s := smallSetup(way, procs)
			groups := together(t, procs, func(group comm.Comm) error {
				_, err := answer(cpu.New(1), group, s)
				return err
			})
			want := map[comm.Purpose]map[comm.Collective]comm.Entry{comm.Base: {}, comm.Adapter: {}}
			steps := []serving.Step{{Sequences: 1, Tokens: len(prompt)}, {Sequences: sequences, Tokens: 1}, {Sequences: sequences, Tokens: 1}}
			for _, step := range steps {
				for _, call := range s.Calls(step) {
					e := want[call.Why][call.Kind]
					e.Calls, e.Payload = e.Calls+call.Count, e.Payload+int64(call.Count)*call.Payload
					want[call.Why][call.Kind] = e
				}
			}
			for why, kinds := range want {
				for _, kind := range []comm.Collective{comm.AllReduce, comm.AllGather, comm.ReduceScatter, comm.Broadcast} {
					got := groups[0].Ledger().Of(why, kind)
					if got.Calls != kinds[kind].Calls || got.Payload != kinds[kind].Payload {
						t.Errorf("%s, %d processes, purpose %v: %d %v of %d bytes, want %d of %d", way, procs, why,
							got.Calls, kind, got.Payload, kinds[kind].Calls, kinds[kind].Payload)
					}
				}
			}
		}
	}
}

// S-LoRA of rank 8 on 2 layers, 11 + 3 + 3 rows of float32: q, k, v and gate, up
// gather 5·8 numbers a row, o and down sum 2·8.
func TestSLoRAExchangesRanks(t *testing.T) {
	groups := together(t, 2, func(group comm.Comm) error {
		_, err := answer(cpu.New(1), group, smallSetup(serving.SLoRA, 2))
		return err
	})
	ledger := groups[1].Ledger()
	gather, sum := ledger.Of(comm.Adapter, comm.AllGather), ledger.Of(comm.Adapter, comm.AllReduce)
	if gather.Calls != 3*2*2 || gather.Payload != 4*2*17*5*8 {
		t.Errorf("%d all-gathers of %d bytes, want 12 of %d", gather.Calls, gather.Payload, 4*2*17*5*8)
	}
	if sum.Calls != 3*2*2 || sum.Payload != 4*2*17*2*8 {
		t.Errorf("%d all-reduces of %d bytes, want 12 of %d", sum.Calls, sum.Payload, 4*2*17*2*8)
	}
}
