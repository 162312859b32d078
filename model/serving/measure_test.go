package serving_test

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"bdlora/kernels/comm"
	"bdlora/kernels/cpu"
	"bdlora/model/serving"
)

// A step of each prompt and each batch behind it, all setups after one another; all
// processes get the same.
func TestMeasureTimesEveryStepOfEverySetup(t *testing.T) {
	c := serving.MeasureConfig{
		Setups:  []serving.Setup{smallSetup(serving.SLoRA, 2), smallSetup(serving.BDLoRA, 2)},
		Batches: []int{3, 1}, Prompts: []int{5, 2}, NewTokens: 4, Runs: 1,
	}
	joules := []float64{0, 0}
	results, calls := make([][]serving.Result, 2), make([][]serving.Timed[serving.Call], 2)
	together(t, 2, func(group comm.Comm) (err error) {
		c := c
		c.Energy = func() float64 { joules[group.Proc()]++; return joules[group.Proc()] }
		results[group.Proc()], calls[group.Proc()], err = serving.Measure(context.Background(), cpu.New(1), group, c)
		return err
	})
	var want []serving.Step
	for _, prompt := range c.Prompts {
		want = append(want, serving.Step{Sequences: 1, Tokens: prompt})
		for _, batch := range c.Batches {
			want = append(want, serving.Step{Sequences: batch, Tokens: 1, Past: prompt + 2})
		}
	}
	if len(results[0]) != 2*len(want) {
		t.Fatalf("got %d results, want %d", len(results[0]), 2*len(want))
	}
	for i, r := range results[0] {
		if r.Step != want[i/2] || r.Setup.Way != c.Setups[i%2].Way {
			t.Errorf("result %d: got %+v of %s, want %+v of %s", i, r.Step, r.Setup.Way, want[i/2], c.Setups[i%2].Way)
		}
		if r.Times.Compute <= 0 || r.Times.Base <= 0 || r.Alone.Base <= 0 || r.Joules != 1 ||
			r.Step.Past == 0 && math.Abs(r.Times.Total()-r.Seconds) > 1e-9 { // of a single run
			t.Errorf("result %d: got %+v, want times and the joule between two readings", i, r)
		}
		if turns := map[bool]int{true: 1, false: c.NewTokens}[r.Step.Past == 0]; len(r.Turns) != turns {
			t.Errorf("result %d: got %d turns, want %d", i, len(r.Turns), turns)
		}
		if own := r.Setup.Way == serving.SLoRA; (r.Times.Adapter > 0) != own || (r.Alone.Adapter > 0) != own {
			t.Errorf("result %d: got %+v, want calls of S-LoRA's own", i, r)
		}
		if other := results[1][i]; r.Times != other.Times || r.Alone != other.Alone {
			t.Errorf("result %d: got %+v and %+v, want the same on both", i, r.Times, other.Times)
		}
	}
	if !slices.Equal(calls[0], calls[1]) {
		t.Errorf("got collectives %v and %v, want the same on both", calls[0], calls[1])
	}
}

// Formulas for another width than crosses are found out.
func TestMeasureFailsWhereFormulasAndLedgerDiffer(t *testing.T) {
	s := smallSetup(serving.SLoRA, 2)
	s.Widths.Exchange = 2
	c := serving.MeasureConfig{Setups: []serving.Setup{s}, Batches: []int{1}, Prompts: []int{5}, NewTokens: 1, Runs: 1}
	together(t, 2, func(group comm.Comm) error {
		_, _, err := serving.Measure(context.Background(), cpu.New(1), group, c)
		if err == nil || !strings.Contains(err.Error(), "S-LoRA, {Sequences:1 Tokens:5 Past:0}: 8 calls of 2240 bytes for purpose 1, want 8 of 1120") {
			return fmt.Errorf("error is %v, want one about the adapter's bytes", err)
		}
		return nil
	})
}

// A collective that takes 3 µs and a byte a nanosecond: each kind by bytes on the wire.
func TestFitLinkTellsKindsApart(t *testing.T) {
	reduce, gather := serving.Line{Latency: 3e-6, PerByte: 1e-9}, serving.Line{Latency: 5e-6, PerByte: 2e-9}
	var calls []serving.Timed[serving.Call]
	for _, payload := range []int64{100, 10000, 1000000} {
		r, g := serving.Call{Kind: comm.AllReduce, Payload: payload}, serving.Call{Kind: comm.AllGather, Payload: payload}
		calls = append(calls, serving.Timed[serving.Call]{Of: r, Seconds: reduce.Seconds(2 * 0.75 * float64(payload))},
			serving.Timed[serving.Call]{Of: g, Seconds: gather.Seconds(0.75 * float64(payload))})
	}
	link, err := serving.FitLink("here", 4, calls)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "latency of all-reduce", link.AllReduce.Latency, reduce.Latency, 1e-6)
	near(t, "seconds a byte of all-reduce", link.AllReduce.PerByte, reduce.PerByte, 1e-6)
	near(t, "latency of all-gather", link.AllGather.Latency, gather.Latency, 1e-6)
	near(t, "seconds a byte of all-gather", link.AllGather.PerByte, gather.PerByte, 1e-6)

	if link, err = serving.FitLink("here", 4, calls[:5]); err != nil || link.AllGather == link.AllReduce {
		t.Errorf("two all-gathers: got %+v and error %v, want a line of their own", link, err)
	}
	if link, err = serving.FitLink("here", 4, []serving.Timed[serving.Call]{calls[0], calls[2], calls[1]}); err != nil ||
		link.AllGather != link.AllReduce {
		t.Errorf("one all-gather: got %+v and error %v, want the all-reduces' line", link, err)
	}
}

// What the formulas make of the paper's claims: more on the slower link, more for the
// smaller model, and less for more parameters, where all are read.
func TestClaimsArePredicted(t *testing.T) {
	most, least := map[string]float64{}, map[string]float64{}
	for _, claim := range serving.Claims() {
		for _, link := range serving.Links() {
			low, high, err := claim.UpTo(link)
			if err != nil {
				t.Fatal(err)
			}
			key := link.Name + claim.Shape[len("llama-3.1"):]
			if claim.RankFactor == 4 && (low >= least[key] || high > most[key]) {
				t.Errorf("%s: %g to %g with more parameters, want less than %g to %g", key, low, high, least[key], most[key])
			}
			least[key], most[key] = low, high
		}
	}
	if !(most["pcie-8b"] > most["nvlink-8b"] && most["nvlink-8b"] > most["nvlink-70b"] && most["nvlink-70b"] > 1) {
		t.Errorf("got at most %v, want more on PCIe than on NVLink and more for 8B than for 70B", most)
	}
}
