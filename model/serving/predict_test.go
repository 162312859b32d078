package serving_test

import (
	"testing"

	"bdlora/model/serving"
)

// Llama-3.1-8B on eight shards, S-LoRA of rank 64: with a link that costs nothing but
// 10 µs a collective, 66 of the base model and 128 of the adapter.
func TestPredictCountsTheLatencyOfEachCollective(t *testing.T) {
	line := serving.Line{Latency: 10e-6}
	link := serving.Link{Name: "latency", AllReduce: line, AllGather: line}
	step := serving.Step{Sequences: 1, Tokens: 1, Past: 100}
	got := serving.Predict(setup(t, "llama-3.1-8b", serving.SLoRA, 64), step, serving.A100(), link)
	near(t, "base", got.Base, 66*10e-6, 1e-9)
	near(t, "adapter", got.Adapter, 128*10e-6, 1e-9)
	near(t, "total", got.Total(), got.Compute+194*10e-6, 1e-9)
}

// A token is bound by the memory, a long prompt by arithmetic.
func TestPredictTakesTheLongerOfReadingAndComputing(t *testing.T) {
	s, m := setup(t, "llama-3.1-8b", serving.None, 0), serving.A100()
	token, prompt := serving.Step{Sequences: 1, Tokens: 1}, serving.Step{Sequences: 1, Tokens: 4096}
	near(t, "token", m.Seconds(s.Work(token)), s.Work(token).Bytes/m.ReadRate, 1e-9)
	near(t, "prompt", m.Seconds(s.Work(prompt)), s.Work(prompt).Flops/m.FlopRate, 1e-9)
}

// A request of n new tokens is its prompts and n−1 steps of a token each.
func TestPredictRequestIsAPromptAndTokens(t *testing.T) {
	s, m, link := setup(t, "llama-3.1-8b", serving.BDLoRA, 64), serving.A100(), serving.Links()[0]
	got := serving.PredictRequest(s, serving.Request{Sequences: 2, PromptTokens: 100, NewTokens: 11}, m, link)
	prompt := serving.Predict(s, serving.Step{Sequences: 2, Tokens: 100}, m, link)
	token := serving.Predict(s, serving.Step{Sequences: 2, Tokens: 1, Past: 105}, m, link)
	near(t, "total", got.Total(), prompt.Total()+10*token.Total(), 1e-9)
}

// With every link, the adapter's collectives slow a token of S-LoRA down, those of the
// other two ways do not, and BD-LoRA of the same rank reads least.
func TestBDLoRAIsPredictedToBeTheFastestAdapter(t *testing.T) {
	step := serving.Step{Sequences: 8, Tokens: 1, Past: 512}
	for _, link := range serving.Links() {
		times := map[serving.Way]serving.Times{}
		for _, way := range serving.Ways() {
			times[way] = serving.Predict(setup(t, "llama-3.1-70b", way, 16), step, serving.A100(), link)
		}
		bd := times[serving.BDLoRA]
		for _, way := range []serving.Way{serving.SLoRA, serving.NFSLoRA} {
			if got := times[way]; got.Total() <= bd.Total() || got.Base != bd.Base {
				t.Errorf("%s, %s: got %+v, want more than BD-LoRA's %+v", link.Name, way, got, bd)
			}
		}
		if times[serving.NFSLoRA].Adapter != 0 || bd.Adapter != 0 || times[serving.SLoRA].Adapter == 0 {
			t.Errorf("%s: got %+v, want only S-LoRA to exchange anything of its own", link.Name, times)
		}
	}
}
