package bdlora_test

import (
	"math"
	"slices"
	"testing"

	"bdlora/bdlora"
)

func TestNewAdapterChangesNothing(t *testing.T) {
	a := bdlora.New(mustPlan(t, tiny.base(), config(8, 4)), 1)
	for i, shard := range a.Shards {
		for _, m := range a.Plan.Modules {
			for k, b := range m.B.Of(shard) {
				if b != 0 {
					t.Fatalf("shard %d: %s: B[%d] is %g, want 0", i, m.Path(), k, b)
				}
			}
			if slices.Contains(m.A.Of(shard), 0) {
				t.Errorf("shard %d: %s: A has a zero", i, m.Path())
			}
		}
	}
}

// A process that draws one shard into memory that was used before gets what a
// process that draws all of them gets.
func TestInitIsIndependentOfTheProcess(t *testing.T) {
	a := bdlora.New(mustPlan(t, tiny.base(), config(8, 4)), 5)
	for i := range a.Shards {
		alone := slices.Repeat([]float32{9}, a.Plan.ShardLen)
		bdlora.InitShard(alone, a.Plan, i, 5)
		if !slices.Equal(alone, a.Shards[i]) {
			t.Errorf("shard %d differs when it is drawn alone", i)
		}
	}
}

func TestInitIsIndependentOfTheOtherTargets(t *testing.T) {
	c := config(8, 2)
	whole := bdlora.New(mustPlan(t, tiny.base(), c), 5)
	c.Targets = []string{"1.mlp.down_proj"}
	part := bdlora.New(mustPlan(t, tiny.base(), c), 5)
	last := whole.Plan.Modules[len(whole.Plan.Modules)-1]
	for i := range part.Shards {
		if got, want := part.Plan.Modules[0].A.Of(part.Shards[i]), last.A.Of(whole.Shards[i]); !slices.Equal(got, want) {
			t.Errorf("shard %d: got %v, want %v", i, got, want)
		}
	}
}

// The element (row, col) of the whole A is the same number whatever N is, up to the
// bound of the row-parallel ones.
func TestInitIsIndependentOfTheBlocks(t *testing.T) {
	plain := bdlora.New(mustPlan(t, tiny.base(), config(8, 1)), 5)
	blocked := bdlora.New(mustPlan(t, tiny.base(), config(8, 4)), 5)
	for k, m := range blocked.Plan.Modules {
		whole := plain.Plan.Modules[k].A.Of(plain.Shards[0])
		for i, shard := range blocked.Shards {
			for j, got := range m.A.Of(shard) {
				row, col, widen := i*m.A.Rows+j/m.A.Cols, j%m.A.Cols, 1.0
				if m.Linear.Parallel == bdlora.RowParallel {
					col, widen = col+i*m.A.Cols, 2 // √4 blocks
				}
				want := widen * float64(whole[row*m.Linear.In+col])
				if math.Abs(float64(got)-want) > 1e-7 {
					t.Fatalf("%s: A[%d, %d] is %g, want %g", m.Path(), row, col, got, want)
				}
			}
		}
	}
}

func TestInitDependsOnSeedLayerAndLinear(t *testing.T) {
	c := config(8, 1)
	plan := mustPlan(t, tiny.base(), c)
	first, second := bdlora.New(plan, 1), bdlora.New(plan, 2)
	seen := make(map[float32]string)
	for _, a := range []*bdlora.Adapter{first, second} {
		for _, m := range plan.Modules {
			values := m.A.Of(a.Shards[0])
			if other, ok := seen[values[0]]; ok {
				t.Errorf("%s begins like %s", m.Path(), other)
			}
			seen[values[0]] = m.Path()
		}
	}
}

// U(−b, b) has mean 0, variance b²/3 and fourth moment b⁴/5.
func TestInitMomentsAreThoseOfTheUniformDistribution(t *testing.T) {
	for _, tc := range []struct {
		name   string
		init   string
		linear string
		n      int
		bound  float64
	}{
		{"lora, dense", bdlora.InitLoRA, "mlp.up_proj", 8, 1 / math.Sqrt(512)},
		{"lora, diagonal", bdlora.InitLoRA, "mlp.down_proj", 8, 1 / math.Sqrt(1024/8)},
		{"lora, one block", bdlora.InitLoRA, "mlp.down_proj", 1, 1 / math.Sqrt(1024)},
		{"peft, dense", bdlora.InitPEFT, "mlp.up_proj", 8, 1 / math.Sqrt(512)},
		{"peft, diagonal", bdlora.InitPEFT, "mlp.down_proj", 8, math.Sqrt(6 * 8 / 1024.)},
		{"peft, one block", bdlora.InitPEFT, "mlp.down_proj", 1, 1 / math.Sqrt(1024)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := config(128, tc.n)
			c.Init, c.Targets = tc.init, []string{tc.linear}
			a := bdlora.New(mustPlan(t, shape{512, 128, 1024, 1, 8, 8}.base(), c), 3)
			var n, sum, squares, fourths, largest float64
			for _, shard := range a.Shards {
				for _, v := range a.Plan.Modules[0].A.Of(shard) {
					x := float64(v) / tc.bound
					n, sum, squares, fourths = n+1, sum+x, squares+x*x, fourths+x*x*x*x
					largest = max(largest, math.Abs(x))
				}
			}
			sigma := 1 / math.Sqrt(n) // of each mean, times a number below 1
			for what, d := range map[string]float64{
				"mean": sum / n, "variance": squares/n - 1./3, "fourth moment": fourths/n - 1./5,
			} {
				if math.Abs(d) > 4*sigma {
					t.Errorf("%s of %.0f numbers is off by %g bounds, want at most %g", what, n, d, 4*sigma)
				}
			}
			if largest > 1 || largest < 0.999 {
				t.Errorf("largest is %g bounds, want just below 1", largest)
			}
		})
	}
}
