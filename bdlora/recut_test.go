package bdlora_test

import (
	"math"
	"slices"
	"testing"

	"bdlora/bdlora"
)

// twelve is a model that 1, 2, 3, 4, 6 and 12 blocks fit.
var twelve = shape{24, 12, 36, 2, 12, 12}

// patterned is an adapter of twelve's with ranks and alphas of its own on some
// linears.
func patterned(t *testing.T, blocks int, rsLoRA bool) *bdlora.Adapter {
	t.Helper()
	c := config(12, blocks)
	c.RSLoRA, c.Alpha = rsLoRA, 24
	c.RankPattern = map[string]int{"down_proj": 24, `layers\.0\.self_attn\..*`: 36}
	c.AlphaPattern = map[string]float64{"o_proj": 6}
	return drawn(t, twelve.base(), c)
}

// delta is B·A of a module with all its zeros, the components summed in order.
func delta(a *bdlora.Adapter, m bdlora.Module) []float32 {
	row := m.Linear.Parallel == bdlora.RowParallel
	x, y := denseFactor(a, m.A, row, true), denseFactor(a, m.B, !row, false)
	sum := make([]float32, m.Linear.Out*m.Linear.In)
	for o := range m.Linear.Out {
		for i := range m.Linear.In {
			for k := range m.Rank {
				sum[o*m.Linear.In+i] += y[o][k] * x[k][i]
			}
		}
	}
	return sum
}

// Law: cut anew, an adapter is the same function to the last bit.
func TestRecutKeepsEveryElement(t *testing.T) {
	numbers := []int{1, 2, 3, 4, 6, 12}
	for _, from := range numbers {
		for _, to := range numbers {
			a := patterned(t, from, from == 3)
			plan, err := bdlora.RecutPlan(a.Plan, to)
			if err != nil {
				t.Fatal(err)
			}
			got := &bdlora.Adapter{Plan: plan, Shards: bdlora.Recut(plan, a.Plan, a.Shards)}
			for k, m := range plan.Modules {
				want := a.Plan.Modules[k]
				if !slices.Equal(delta(got, m), delta(a, want)) {
					t.Errorf("%d to %d: %s: ΔW differs", from, to, m.Path())
				}
				if math.Abs(m.Scaling/want.Scaling-1) > 1e-15 {
					t.Errorf("%d to %d: %s: got scaling %g, want %g", from, to, m.Path(), m.Scaling, want.Scaling)
				}
			}
		}
	}
}

// A new block takes the components of the old ones that it overlaps: 1 of 4 blocks
// has a part of at most 2 of 3, so that 4·2·12/3 = 32 are needed.
func TestRecutRanksAreThoseOfTheRule(t *testing.T) {
	for _, tc := range []struct{ from, to, rank int }{
		{12, 4, 12}, {6, 1, 12}, {3, 3, 12}, {1, 4, 48}, {2, 6, 36}, {3, 12, 48},
		{3, 2, 16}, {2, 3, 36}, {4, 6, 36}, {3, 4, 32},
	} {
		for _, rsLoRA := range []bool{false, true} {
			plan, err := bdlora.RecutPlan(patterned(t, tc.from, rsLoRA).Plan, tc.to)
			if err != nil {
				t.Fatal(err)
			}
			grown := float64(tc.rank) / 12
			want := 24 * grown
			if rsLoRA {
				want = 24 * math.Sqrt(grown)
			}
			c := plan.Config
			if c.Blocks != tc.to || c.Rank != tc.rank || math.Abs(c.Alpha-want) > 1e-12 {
				t.Errorf("%d to %d: got %d blocks, rank %d, alpha %g; want rank %d, alpha %g",
					tc.from, tc.to, c.Blocks, c.Rank, c.Alpha, tc.rank, want)
			}
			if down := c.RankPattern["down_proj"]; down != 2*tc.rank {
				t.Errorf("%d to %d: got rank %d for down_proj, want %d", tc.from, tc.to, down, 2*tc.rank)
			}
			if o := c.AlphaPattern["o_proj"]; math.Abs(o-want/4) > 1e-12 {
				t.Errorf("%d to %d: got alpha %g for o_proj, want %g", tc.from, tc.to, o, want/4)
			}
		}
	}
}

// Cut into more blocks, the file's block-diagonal B does not change, nor does A
// when its blocks are joined again; every number is the nearest old one's copy.
func TestRecutRepeatsWhatIsNotDiagonal(t *testing.T) {
	a := drawn(t, twelve.base(), config(12, 2))
	plan, err := bdlora.RecutPlan(a.Plan, 6)
	if err != nil {
		t.Fatal(err)
	}
	shards := bdlora.Recut(plan, a.Plan, a.Shards)
	q, old := plan.Modules[0], a.Plan.Modules[0]
	for i, shard := range shards {
		third := old.B.Len() / 3
		from := a.Shards[i/3]
		if !slices.Equal(q.A.Of(shard), old.A.Of(from)) {
			t.Errorf("shard %d: got another A than shard %d had", i, i/3)
		}
		if !slices.Equal(q.B.Of(shard), old.B.Of(from)[i%3*third:][:third]) {
			t.Errorf("shard %d: got another B than a third of shard %d's", i, i/3)
		}
	}
}

func TestRecutRefusesBlocksThatDoNotFit(t *testing.T) {
	_, err := bdlora.RecutPlan(trained(t, config(8, 2)).Plan, 8)
	wantError(t, err, "nblocks: 8 does not divide 4 key-value heads", "want 1, 2 or 4")
	_, err = bdlora.RecutPlan(trained(t, config(8, 2)).Plan, 0)
	wantError(t, err, "nblocks: got 0, want at least 1")
}
