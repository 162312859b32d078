package serving_test

import (
	"testing"

	"bdlora/bdlora"
	"bdlora/kernels/comm"
	"bdlora/model"
	"bdlora/model/serving"
)

// setup is a public model served by eight shards with a rank of 64 on all linears.
func setup(t *testing.T, shape string, way serving.Way, rank int) serving.Setup {
	t.Helper()
	c, err := model.Shape(shape)
	if err != nil {
		t.Fatal(err)
	}
	return serving.Setup{Config: c, Shards: 8, Way: way, Linears: c.Linears(), Rank: rank, Widths: serving.VLLM()}
}

// Parameters of a unit of rank in a layer, ordinary LoRA and BD-LoRA in eight blocks:
//
//	70B  2·16384 + 2·9216 + 3·36864 = 161,792    9216 + 2·8320 + 9216 + 2·11776 + 11776 = 70,400
//	8B   2·8192 + 2·5120 + 3·18432 = 81,920      4608 + 2·4224 + 4608 + 2·5888 + 5888 = 35,328
func TestParamsAreThoseOfThePaper(t *testing.T) {
	for _, claim := range serving.Claims() {
		layer := map[string][2]int64{"llama-3.1-70b": {161792, 70400}, "llama-3.1-8b": {81920, 35328}}[claim.Shape]
		plain := setup(t, claim.Shape, serving.SLoRA, 64)
		blocks := setup(t, claim.Shape, serving.BDLoRA, 64*claim.RankFactor)
		layers := int64(plain.Config.Layers)
		if got, want := plain.Params(), 64*layers*layer[0]; got != want {
			t.Errorf("%s: S-LoRA has %d params, want %d", claim.Shape, got, want)
		}
		if got, want := blocks.Params(), int64(claim.RankFactor)*64*layers*layer[1]; got != want {
			t.Errorf("%s: BD-LoRA has %d params, want %d", claim.Shape, got, want)
		}
		ratio := float64(blocks.Params()) / float64(plain.Params())
		if ratio < claim.Params-0.01 || ratio > claim.Params+0.01 {
			t.Errorf("%s, rank times %d: %.3f of S-LoRA's params, want the paper's %g",
				claim.Shape, claim.RankFactor, ratio, claim.Params)
		}
	}
}

// A shard of Llama-3.1-8B, eight of them, rank 64: all that is split is an eighth; not
// fully sharded, A of q, k, v, gate, up and B of o, down are whole.
func TestShardParamsAreTheShapesOfTheShard(t *testing.T) {
	const r, n, d, kv, f = 64, 8, 4096, 1024, 14336
	for way, layer := range map[serving.Way]int64{
		serving.None:    0,
		serving.SLoRA:   81920 * r / n,
		serving.NFSLoRA: r * (5*d + (d+2*kv+2*f)/n + (d+f)/n + 2*d),
		serving.BDLoRA:  35328 * r / n,
	} {
		if got, want := setup(t, "llama-3.1-8b", way, r).ShardParams(), 32*layer; got != want {
			t.Errorf("%s: a shard holds %d params, want %d", way, got, want)
		}
	}
}

// sum adds up the calls of a step for that purpose.
func sum(s serving.Setup, step serving.Step, why comm.Purpose) (calls int, sent float64) {
	for _, call := range s.Calls(step) {
		if call.Why == why {
			calls += call.Count
			sent += float64(call.Count) * call.WireBytes(s.Shards)
		}
	}
	return calls, sent
}

// A token of Llama-3.1-8B, rank 64, eight shards: S-LoRA's h in float32 is (5+4) ranks
// in 4 collectives a layer, and only it has any.
func TestOnlySLoRAExchangesAnythingOfItsOwn(t *testing.T) {
	step := serving.Step{Sequences: 3, Tokens: 5}
	for _, way := range serving.Ways() {
		calls, sent := sum(setup(t, "llama-3.1-8b", way, 64), step, comm.Adapter)
		wantCalls, wantSent := 0, 0.
		if way == serving.SLoRA {
			wantCalls, wantSent = 4*32, 32*(5+4)*7./8*15*64*4
		}
		if calls != wantCalls || sent != wantSent {
			t.Errorf("%s: %d calls that send %g bytes, want %d and %g", way, calls, sent, wantCalls, wantSent)
		}
	}
}

// Two all-reduces a layer and that of the embedding, of rows·4096 numbers in bfloat16,
// and the logits of the last token of each sequence.
func TestBaseCallsAreOfEveryWay(t *testing.T) {
	step := serving.Step{Sequences: 3, Tokens: 5}
	for _, way := range serving.Ways() {
		calls, sent := sum(setup(t, "llama-3.1-8b", way, 64), step, comm.Base)
		if want := 65*2*7./8*15*4096*2 + 7./8*3*128256*2; calls != 66 || sent != want {
			t.Errorf("%s: %d calls that send %g bytes, want 66 and %g", way, calls, sent, want)
		}
	}
	alone := setup(t, "llama-3.1-8b", serving.SLoRA, 64)
	alone.Shards = 1
	if calls := alone.Calls(step); len(calls) != 0 {
		t.Errorf("one shard: got %v, want no calls", calls)
	}
}

// An adapter on q_proj and down_proj only: q alone is gathered, and nothing else is.
func TestCallsAreThoseOfAdaptedLinears(t *testing.T) {
	s := setup(t, "llama-3.1-8b", serving.SLoRA, 64)
	s.Linears = []bdlora.Linear{s.Linears[0], s.Linears[6]}
	calls, sent := sum(s, serving.Step{Sequences: 1, Tokens: 1}, comm.Adapter)
	if want := 32 * (1 + 2) * 7. / 8 * 64 * 4; calls != 2*32 || sent != want {
		t.Errorf("%d calls that send %g bytes, want 64 and %g", calls, sent, want)
	}
}

// A decoded token reads every weight of a shard once, and one prompt computes on it
// for every token.
func TestWorkIsWeightsReadAndOperations(t *testing.T) {
	s := setup(t, "llama-3.1-8b", serving.None, 0)
	linears := 32. * (2*4096*4096 + 2*1024*4096 + 3*14336*4096) / 8
	head, cache := 4096*128256./8, 32*2*1024./8
	token := s.Work(serving.Step{Sequences: 2, Tokens: 1, Past: 99})
	if want := 2*(linears+head) + 2*200*cache; token.Bytes != want {
		t.Errorf("a token reads %g bytes, want %g", token.Bytes, want)
	}
	seen := 32 * 2 * 2 * (4. * 5 / 2) * 4096 / 8 // below the diagonal
	prompt := s.Work(serving.Step{Sequences: 1, Tokens: 4})
	if want := 2*4*linears + 2*head + seen; prompt.Flops != want {
		t.Errorf("a prompt of 4 takes %g operations, want %g", prompt.Flops, want)
	}
	if token.Products != 0 {
		t.Errorf("no adapter: %d products, want none", token.Products)
	}
}

// Adapters that differ are each read, but compute as one.
func TestEveryAdapterIsRead(t *testing.T) {
	one := setup(t, "llama-3.1-8b", serving.BDLoRA, 64)
	many := one
	many.Adapters = 5
	step := serving.Step{Sequences: 5, Tokens: 1}
	if got, want := many.Work(step).Bytes-one.Work(step).Bytes, 4*2*float64(one.ShardParams()); got != want {
		t.Errorf("four more adapters are %g more bytes, want %g", got, want)
	}
	if a, b := many.Work(step), one.Work(step); a.Flops != b.Flops || a.Products != 2*4*32 {
		t.Errorf("got %g operations in %d products, want %g in 256", a.Flops, a.Products, b.Flops)
	}
}
