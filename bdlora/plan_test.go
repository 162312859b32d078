package bdlora_test

import (
	"math"
	"testing"

	"bdlora/bdlora"
)

// A unit of rank costs, a layer: q d+d/N, k and v d+d_kv/N, o d/N+d, gate and up
// d+f/N, down f/N+d.
func TestParamsAreThoseOfTheFormula(t *testing.T) {
	for _, tc := range []struct {
		name    string
		model   shape
		rank, n int
		targets []string
		want    int64
	}{
		{"tiny, plain", tiny, 8, 1, all, 2 * 8 * (2*(16+16) + 2*(16+8) + 3*(16+24))},
		{"tiny, 2 blocks", tiny, 8, 2, all, 2 * 8 * ((16 + 8) + 2*(16+4) + (8 + 16) + 2*(16+12) + (12 + 16))},
		{"tiny, 4 blocks", tiny, 8, 4, all, 2 * 8 * ((16 + 4) + 2*(16+2) + (4 + 16) + 2*(16+6) + (6 + 16))},
		{"Llama-3.2-1B, plain, as PEFT's notebook prints it", llama1B, 64, 1, all, 45_088_768},
		{"Llama-3.2-1B, 2 blocks, as PEFT's notebook prints it", llama1B, 96, 2, all, 44_826_624},
		{"Llama-3.2-3B, MLP, plain, as in PEFT's benchmark", llama3B, 10, 1, mlp, 9_461_760},
		{"Llama-3.2-3B, MLP, 2 blocks, as in PEFT's benchmark", llama3B, 14, 2, mlp, 8_429_568},
		{"Llama-3.1-8B, plain", llama8B, 1, 1, all, 32 * (2*2*4096 + 2*(4096+1024) + 3*(4096+14336))},
		{"Llama-3.1-8B, 8 blocks", llama8B, 8, 8, all, 32 * 8 * 35_328},
		{"Llama-3.1-70B, 8 blocks", llama70B, 8, 8, all, 80 * 8 * 70_400},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := config(tc.rank, tc.n)
			c.Targets = tc.targets
			plan := mustPlan(t, tc.model.base(), c)
			if got := plan.Params(); got != tc.want {
				t.Errorf("got %d parameters, want %d", got, tc.want)
			}
			var sum int64
			for _, row := range plan.Table() {
				sum += int64(row.Layers) * row.Params
			}
			if sum != tc.want {
				t.Errorf("the table's rows sum to %d parameters, want %d", sum, tc.want)
			}
		})
	}
}

// all is every linear of a Llama.
var all = []string{bdlora.AllLinear}

func TestRatiosAreThoseOfThePaper(t *testing.T) {
	for _, tc := range []struct {
		name  string
		model shape
		times int // BD-LoRA's rank over LoRA's
		want  float64
	}{
		{"70B, twice the rank", llama70B, 2, 0.87},
		{"70B, four times the rank", llama70B, 4, 1.74},
		{"8B, twice the rank", llama8B, 2, 0.86},
		{"8B, four times the rank", llama8B, 4, 1.73},
	} {
		t.Run(tc.name, func(t *testing.T) {
			plain := mustPlan(t, tc.model.base(), config(8, 1)).Params()
			blocked := mustPlan(t, tc.model.base(), config(8*tc.times, 8)).Params()
			got := float64(blocked) / float64(plain)
			if math.Abs(got-tc.want) > 0.00501 { // the abstract gives two digits
				t.Errorf("got a ratio of %.4f, want %.2f", got, tc.want)
			}
		})
	}
}

func TestModulesTileTheShard(t *testing.T) {
	for _, n := range []int{1, 2, 4} {
		plan := mustPlan(t, tiny.base(), config(8, n))
		at := 0
		for _, m := range plan.Modules {
			if m.A.Offset != at || m.B.Offset != at+m.A.Len() {
				t.Errorf("blocks=%d: %s: got A at %d and B at %d, want %d and %d",
					n, m.Path(), m.A.Offset, m.B.Offset, at, at+m.A.Len())
			}
			at = m.B.Offset + m.B.Len()
		}
		if plan.ShardLen != at {
			t.Errorf("blocks=%d: got a shard of %d elements, want %d", n, plan.ShardLen, at)
		}
	}
}

func TestFactorShapesFollowTheParallelism(t *testing.T) {
	plan := mustPlan(t, tiny.base(), config(8, 4))
	want := map[string][4]int{ // A rows, A cols, B rows, B cols
		"self_attn.q_proj": {8 / 4, 16, 16 / 4, 8 / 4},
		"self_attn.k_proj": {8 / 4, 16, 8 / 4, 8 / 4},
		"self_attn.v_proj": {8 / 4, 16, 8 / 4, 8 / 4},
		"self_attn.o_proj": {8 / 4, 16 / 4, 16, 8 / 4},
		"mlp.gate_proj":    {8 / 4, 16, 24 / 4, 8 / 4},
		"mlp.up_proj":      {8 / 4, 16, 24 / 4, 8 / 4},
		"mlp.down_proj":    {8 / 4, 24 / 4, 16, 8 / 4},
	}
	for _, m := range plan.Modules {
		got := [4]int{m.A.Rows, m.A.Cols, m.B.Rows, m.B.Cols}
		if got != want[m.Linear.Name] {
			t.Errorf("%s: got A and B of %v, want %v", m.Path(), got, want[m.Linear.Name])
		}
	}
}

func TestHalvesTileTheShard(t *testing.T) {
	plan := mustPlan(t, tiny.base(), config(4, 2))
	at, modules := 0, 0
	for layer := range tiny.layers {
		for _, half := range []string{"self_attn", "mlp"} {
			part, from, to := plan.Half(layer, half)
			if from != at || to <= from {
				t.Errorf("layer %d %s: got [%d, %d), want it to begin at %d", layer, half, from, to, at)
			}
			for _, m := range part {
				if m.Layer != layer || m.Linear.Half() != half {
					t.Errorf("layer %d %s: got module %s", layer, half, m.Path())
				}
			}
			at, modules = to, modules+len(part)
		}
	}
	if at != plan.ShardLen || modules != len(plan.Modules) {
		t.Errorf("halves have %d elements and %d modules, want %d and %d", at, modules, plan.ShardLen, len(plan.Modules))
	}
}

func TestHalfWithoutTargetsIsEmpty(t *testing.T) {
	c := config(4, 2)
	c.Targets = mlp
	modules, from, to := mustPlan(t, tiny.base(), c).Half(1, "self_attn")
	if len(modules) != 0 || from != to {
		t.Errorf("got %d modules in [%d, %d), want none", len(modules), from, to)
	}
}

// The order of a model's table must not tear a half-layer apart.
func TestHalfLayersStayTogetherInAnyOrderOfLinears(t *testing.T) {
	base := tiny.base()
	base.Linears[1], base.Linears[5] = base.Linears[5], base.Linears[1]
	plan := mustPlan(t, base, config(4, 2))
	modules, from, to := plan.Half(0, "self_attn")
	length := 0
	for _, m := range modules {
		length += m.A.Len() + m.B.Len()
	}
	if len(modules) != 4 || to-from != length {
		t.Errorf("got %d modules in %d elements, want 4 in %d", len(modules), to-from, length)
	}
}

func TestTargetsArePathsOrTheirEnds(t *testing.T) {
	for _, tc := range []struct {
		targets []string
		want    int
	}{
		{all, 14},
		{[]string{"q_proj"}, 2},
		{[]string{"q_proj", "down_proj"}, 4},
		{[]string{"mlp.up_proj"}, 2},
		{[]string{"1.mlp.up_proj"}, 1},
		{[]string{"model.layers.0.self_attn.o_proj"}, 1},
	} {
		c := config(4, 2)
		c.Targets = tc.targets
		if got := len(mustPlan(t, tiny.base(), c).Modules); got != tc.want {
			t.Errorf("%q: got %d modules, want %d", tc.targets, got, tc.want)
		}
	}
}

func TestPlanSaysWhatWouldDo(t *testing.T) {
	for _, tc := range []struct {
		name   string
		model  shape
		change func(*bdlora.Config)
		want   []string
	}{
		{"heads", smol, func(c *bdlora.Config) { c.Blocks, c.Rank = 2, 8 },
			[]string{"nblocks: 2 does not divide 9 heads, 3 key-value heads", "want 1 or 3"}},
		{"rank", tiny, func(c *bdlora.Config) { c.Blocks, c.Rank = 4, 10 },
			[]string{"lora_r: got 10, want a multiple of nblocks 4: 8 or 12"}},
		{"small rank", tiny, func(c *bdlora.Config) { c.Blocks, c.Rank = 4, 3 }, []string{"multiple of nblocks 4: 4"}},
		{"outputs", shape{16, 8, 26, 2, 8, 4}, func(c *bdlora.Config) { c.Blocks, c.Rank = 4, 8 },
			[]string{"26 outputs of mlp.gate_proj", "26 inputs of mlp.down_proj", "want 1 or 2"}},
		{"target", tiny, func(c *bdlora.Config) { c.Targets = []string{"q_porj"} },
			[]string{`"q_porj" matches no linear`, `nearest is "q_proj"`}},
		{"part of a name", tiny, func(c *bdlora.Config) { c.Targets = []string{"proj"} },
			[]string{`"proj" matches no linear of the 2 layers`}},
		{"everything", smol, func(c *bdlora.Config) {
			c.Blocks, c.Rank, c.Targets = 2, 7, []string{"gate", "k_proj"}
			c.RankPattern = map[string]int{"k_proj": 5}
		}, []string{"9 heads", "lora_r: got 7", `"gate" matches no linear`, "rank_pattern: k_proj: got 5"}},
		{"pattern", tiny, func(c *bdlora.Config) { c.AlphaPattern = map[string]float64{"proj": 1} },
			[]string{`alpha_pattern: "proj" matches none of the 14 adapted linears`}},
		{"pattern's syntax", tiny, func(c *bdlora.Config) { c.RankPattern = map[string]int{"(": 2} },
			[]string{`rank_pattern: "("`}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := bdlora.DefaultConfig()
			tc.change(&c)
			_, err := bdlora.NewPlan(tc.model.base(), c)
			wantError(t, err, tc.want...)
		})
	}
}

func TestPatternsGiveLinearsTheirOwnRankAndAlpha(t *testing.T) {
	c := config(8, 2)
	c.Alpha = 16
	c.RankPattern = map[string]int{"down_proj": 4, `layers\.0\.mlp\..*`: 6}
	c.AlphaPattern = map[string]float64{"v_proj": 4}
	for _, m := range mustPlan(t, tiny.base(), c).Modules {
		rank, alpha := 8, 16.0
		switch path := m.Path(); {
		case m.Linear.Name == "mlp.down_proj": // comes before "layers…" in the alphabet
			rank = 4
		case m.Layer == 0 && m.Linear.Half() == "mlp":
			rank = 6
		case path == "model.layers.0.self_attn.v_proj", path == "model.layers.1.self_attn.v_proj":
			alpha = 4
		}
		if m.Rank != rank || m.Scaling != alpha/float64(rank) {
			t.Errorf("%s: got rank %d and scaling %g, want %d and %g", m.Path(), m.Rank, m.Scaling, rank, alpha/float64(rank))
		}
	}
}

func TestScalingIsAlphaOverRankOrItsRoot(t *testing.T) {
	c := config(16, 4)
	if got, want := mustPlan(t, tiny.base(), c).Modules[0].Scaling, 16.0*4/16; got != want {
		t.Errorf("default: got scaling %g, want 16·nblocks/r = %g", got, want)
	}
	c.RSLoRA, c.Alpha = true, 12
	if got, want := mustPlan(t, tiny.base(), c).Modules[0].Scaling, 12.0/4; got != want {
		t.Errorf("rsLoRA: got scaling %g, want alpha/√r = %g", got, want)
	}
}
