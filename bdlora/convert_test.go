package bdlora_test

import (
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bdlora/bdlora"
)

// Law: with all components that it needs, and with more, a conversion loses nothing.
func TestConvertIsExactWhereTheRankAllowsIt(t *testing.T) {
	for _, tc := range []struct{ from, to, rank int }{
		{2, 4, 0}, {4, 2, 36}, {4, 2, 48}, {1, 3, 108}, {3, 2, 60}, {6, 6, 72},
	} {
		t.Run(fmt.Sprint(tc), func(t *testing.T) {
			a := patterned(t, tc.from, tc.from == 4)
			got, losses, err := bdlora.Convert(a, tc.to, tc.rank)
			if err != nil {
				t.Fatal(err)
			}
			for k, m := range got.Plan.Modules {
				if tc.rank != 0 && m.Rank != tc.rank || losses[k].Module != m || losses[k].Error != 0 {
					t.Errorf("%s: got rank %d and %+v, want rank %d and no error", m.Path(), m.Rank, losses[k], tc.rank)
				}
				want := a.Plan.Modules[k]
				if !slices.Equal(delta(got, m), delta(a, want)) {
					t.Errorf("%s: ΔW differs", m.Path())
				}
				if math.Abs(m.Scaling/want.Scaling-1) > 1e-15 {
					t.Errorf("%s: got scaling %g, want %g", m.Path(), m.Scaling, want.Scaling)
				}
			}
			dir := t.TempDir()
			if err := got.SavePEFT(dir); err != nil {
				t.Fatal(err)
			}
			again, err := bdlora.LoadPEFT(dir, twelve.base())
			if err != nil {
				t.Fatal(err)
			}
			wantSame(t, again, got)
		})
	}
}

// numpy's SVD of the whole ΔW, in float64; testdata/make_approximations.py. Numbers of
// ΔW are up to 20, and factors are rounded to float32.
func TestApproximationsAreTheNearest(t *testing.T) {
	for _, tc := range []struct {
		name         string
		blocks, rank int
	}{{"plain", 2, 8}, {"plain", 4, 8}, {"plain", 1, 3}, {"bd2", 4, 8}, {"bd4", 2, 4}} {
		name := fmt.Sprintf("%s-%d-%d", tc.name, tc.blocks, tc.rank)
		t.Run(name, func(t *testing.T) {
			a := load(t, tc.name)
			got, losses, err := bdlora.Convert(a, tc.blocks, tc.rank)
			if err != nil {
				t.Fatal(err)
			}
			file := openFile(t, golden("approximations", name+".safetensors"))
			largest := 0.0
			for k, m := range got.Plan.Modules {
				want := values(t, file, m.Path())
				product, before := delta(got, m), delta(a, a.Plan.Modules[k])
				var distance, norm float64
				for i := range want {
					value := float64(product[i]) * m.Scaling
					if math.Abs(value-float64(want[i])) > 1e-5 {
						t.Fatalf("%s: element %d is %g, want %g", m.Path(), i, value, want[i])
					}
					old := float64(before[i]) * a.Plan.Modules[k].Scaling
					distance, norm = distance+(value-old)*(value-old), norm+old*old
				}
				numpys := float64(values(t, file, m.Path()+".error")[0])
				really := math.Sqrt(distance / norm)
				if math.Abs(losses[k].Error-numpys) > 1e-6 || math.Abs(losses[k].Error-really) > 1e-6 {
					t.Errorf("%s: got error %g, want %g as numpy has it, and %g as it is", m.Path(), losses[k].Error, numpys, really)
				}
				largest = max(largest, really)
			}
			if largest < 0.1 {
				t.Errorf("got errors of at most %g, want a case that loses something", largest)
			}
		})
	}
}

func TestConvertOfAnUntrainedAdapterLosesNothing(t *testing.T) {
	a := bdlora.New(mustPlan(t, tiny.base(), config(8, 1)), 1)
	got, losses, err := bdlora.Convert(a, 4, 8)
	if err != nil {
		t.Fatal(err)
	}
	for k, m := range got.Plan.Modules {
		if losses[k].Error != 0 || slices.ContainsFunc(delta(got, m), func(v float32) bool { return v != 0 }) {
			t.Errorf("%s: got error %g and numbers, want neither", m.Path(), losses[k].Error)
		}
	}
}

func TestConvertRefuses(t *testing.T) {
	a := trained(t, config(8, 2))
	_, _, err := bdlora.Convert(a, 4, 10)
	wantError(t, err, "lora_r: got 10, want a multiple of nblocks 4: 8 or 12")
	_, _, err = bdlora.Convert(a, 3, 0)
	wantError(t, err, "nblocks: 3 does not divide 8 heads")
	_, _, err = bdlora.Convert(a.Part(0, 1), 4, 0)
	wantError(t, err, "got 1 of the adapter's shards, want all 2")
	a.Shards[1][0] = float32(math.NaN())
	_, _, err = bdlora.Convert(a, 2, 4)
	wantError(t, err, "model.layers.0.self_attn.q_proj: block 1: the factors have norm NaN")
}

// The one alpha that most linears have is the configuration's; patterns name the
// others, by linear where all layers agree.
func TestConvertWritesTheFewestPatterns(t *testing.T) {
	c := config(12, 2)
	c.Alpha, c.RankPattern = 24, map[string]int{"down_proj": 24, `0\.self_attn\.q_proj`: 36}
	got, _, err := bdlora.Convert(drawn(t, twelve.base(), c), 2, 36)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]float64{`mlp\.down_proj`: 36, `model\.layers\.0\.self_attn\.q_proj`: 24}
	cfg := got.Plan.Config
	if cfg.Alpha != 72 || len(cfg.RankPattern) != 0 || !maps.Equal(cfg.AlphaPattern, want) {
		t.Errorf("got alpha %g, patterns %v and %v; want 72, %v and no ranks", cfg.Alpha, cfg.AlphaPattern, cfg.RankPattern, want)
	}
	dir := t.TempDir()
	if err := got.SavePEFT(dir); err != nil {
		t.Fatal(err)
	}
	if text := string(readFile(t, filepath.Join(dir, configName))); !strings.Contains(text, `"mlp\\.down_proj": 36`) {
		t.Errorf("got configuration\n%s", text)
	}
}
