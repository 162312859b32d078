package bdlora_test

import (
	"encoding/json"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bdlora/bdlora"
)

func TestDefaultConfigIsValid(t *testing.T) {
	if err := bdlora.DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
}

func TestValidateReportsEverythingAtOnce(t *testing.T) {
	c := bdlora.Config{
		Rank: 0, Blocks: -1, Alpha: math.NaN(), Dropout: 1, Init: "xavier",
		RankPattern: map[string]int{"q": 0}, AlphaPattern: map[string]float64{"v": math.Inf(1)},
	}
	wantError(t, c.Validate(), "nblocks: got -1", "lora_r: got 0", "lora_alpha: got NaN", "lora_dropout: got 1",
		"target_modules: got none", `bd_init: got "xavier", want "lora" or "peft"`, "rank_pattern: q: got 0",
		"alpha_pattern: v: got +Inf")
}

func TestAlphaGrowsWithTheBlocks(t *testing.T) {
	for _, n := range []int{1, 2, 8} {
		c := config(16, n)
		if got, want := mustPlan(t, llama8B.base(), c).Config.Alpha, float64(16*n); got != want {
			t.Errorf("%d blocks: got alpha %g, want %g", n, got, want)
		}
	}
}

func TestLoadPEFTRefusesByName(t *testing.T) {
	for _, tc := range []struct{ key, value, want string }{
		{"peft_type", `"IA3"`, `peft_type: got "IA3", want "LORA"`},
		{"use_dora", "true", "use_dora: got true"},
		{"bias", `"all"`, `bias: got "all", want "none"`},
		{"lora_bias", "true", "lora_bias: got true"},
		{"fan_in_fan_out", "true", "fan_in_fan_out: got true"},
		{"modules_to_save", `["lm_head"]`, `modules_to_save: got ["lm_head"]`},
		{"trainable_token_indices", "[1]", "trainable_token_indices: got [1]"},
		{"layer_replication", "[[0,1]]", "layer_replication: got [[0,1]]"},
		{"alora_invocation_tokens", "[3]", "alora_invocation_tokens: got [3]"},
		{"target_parameters", `["w"]`, "target_parameters"},
		{"of_the_future", "1", "of_the_future: got 1"},
		{"init_lora_weights", `"pissa_niter_4"`, "init_lora_weights: got pissa_niter_4"},
		{"layers_pattern", `"h"`, `layers_pattern: got "h", want "layers"`},
		{"lora_alpha", "0", "lora_alpha: got 0"},
		{"r", "1000000", "lora_r: got 1000000, want at most 65536"},
		{"r", "6", "lora_r: got 6, want a multiple of nblocks 4"},
		{"target_modules", "[]", "target_modules: matches none"},
		{"target_modules", "null", "target_modules: matches none"},
		{"target_modules", `"(([a-z.0-9_]+)+)+X"`, `"(([a-z.0-9_]+)+)+X" on model.layers.0.self_attn.q_proj`},
		{"target_modules", `"("`, `target_modules: "("`},
		{"exclude_modules", `"["`, `exclude_modules: "["`},
		{"layers_to_transform", `"1"`, "layers_to_transform"},
		{"use_bdlora", `{"nblocks": 0}`, "use_bdlora: nblocks: got 0"},
		{"use_bdlora", `{"nblocks": 4, "target_modules_bd_a": ["q_proj"], "target_modules_bd_b": ["o_proj", "v_proj"]}`,
			"self_attn.q_proj has block-diagonal A, want B: it is column-parallel"},
		{"use_bdlora", `{"nblocks": 4, "target_modules_bd_a": ["q_proj"], "target_modules_bd_b": ["o_proj", "v_proj"]}`,
			"self_attn.o_proj has block-diagonal B, want A: it is row-parallel"},
		{"use_bdlora", `{"nblocks": 4, "target_modules_bd_b": ["q_proj"]}`, "mlp.up_proj has block-diagonal neither, want B"},
		{"use_bdlora", `{"nblocks": 4, "target_modules_bd_a": ["proj"], "target_modules_bd_b": ["proj"]}`,
			"mlp.up_proj has block-diagonal A and B, want B"},
	} {
		t.Run(tc.key+"="+tc.value, func(t *testing.T) {
			dir := withConfig(t, "bd4", map[string]string{tc.key: tc.value})
			_, err := bdlora.LoadPEFT(dir, tiny.base())
			wantError(t, err, configName, tc.want)
		})
	}
}

// withConfig is a golden adapter's folder with some keys of its configuration
// changed.
func withConfig(t *testing.T, name string, changes map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	var keys map[string]json.RawMessage
	readJSON(t, golden(name, configName), &keys)
	for key, value := range changes {
		keys[key] = json.RawMessage(value)
	}
	text, err := json.Marshal(keys)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, configName), text)
	writeFile(t, filepath.Join(dir, weightsName), readFile(t, golden(name, weightsName)))
	return dir
}

func TestLoadPEFTTakesEveryWayToNameModules(t *testing.T) {
	want := load(t, "layers")
	for _, changes := range []map[string]string{
		{"layers_to_transform": "1"},
		{"layers_to_transform": "[1]", "layers_pattern": `"layers"`},
		{"layers_to_transform": "null", "target_modules": `["1.self_attn.v_proj", "1.mlp.down_proj"]`},
		{"layers_to_transform": "null", "target_modules": `".*\\.1\\.(self_attn\\.v|mlp\\.down)_proj"`},
		{"layers_to_transform": "null", "target_modules": `".*(?<!0.mlp.)(?<!0.self_attn.)(v|down)_proj"`},
		{"layers_to_transform": "null", "exclude_modules": `["0.self_attn.v_proj", "0.mlp.down_proj"]`},
		{"layers_to_transform": "null", "exclude_modules": `".*layers\\.0\\..*"`},
		{"target_modules": `["v_proj", "down_proj", "lm_head"]`},
		{"target_modules": `"all-linear"`, "exclude_modules": `["q_proj", "k_proj", "o_proj", "gate_proj", "up_proj"]`},
		{"r": "4", "rank_pattern": `{"v_proj": 2, "down_proj": 2}`},
		{"lora_alpha": "8", "alpha_pattern": `{"1.self_attn.v_proj": 4, "down_proj": 4}`},
	} {
		got, err := bdlora.LoadPEFT(withConfig(t, "layers", changes), tiny.base())
		if err != nil {
			t.Errorf("%v: %v", changes, err)
			continue
		}
		wantSame(t, got, want)
	}
}

func TestLoadPEFTUsesPEFTsDefaults(t *testing.T) {
	dir := t.TempDir()
	text := `{"peft_type": "LORA", "target_modules": "all-linear"}`
	writeFile(t, filepath.Join(dir, configName), []byte(text))
	writeFile(t, filepath.Join(dir, weightsName), readFile(t, golden("plain", weightsName)))
	a, err := bdlora.LoadPEFT(dir, tiny.base())
	if err != nil {
		t.Fatal(err)
	}
	if c := a.Plan.Config; c.Rank != 8 || c.Alpha != 8 || c.Dropout != 0 || c.RSLoRA || c.Blocks != 1 {
		t.Errorf("got %+v, want r = lora_alpha = 8 in 1 block", c)
	}
}

// No configuration crashes, and one that loads comes back the same.
func FuzzPEFTConfig(f *testing.F) {
	for name := range goldenAdapters {
		text := string(readFile(f, golden(name, configName)))
		f.Add(text)
		f.Add(strings.Replace(text, `"nblocks": 2`, `"nblocks": 3`, 1))
	}
	f.Add(`{"peft_type": "LORA", "r": -1, "target_modules": "(((", "use_bdlora": {}}`)
	f.Add(`{"peft_type": "LORA", "r": 9223372036854775807, "target_modules": "all-linear"}`)
	f.Add(`{"peft_type": "LORA", "target_modules": "(a+)+$", "rank_pattern": {"": 4}, "layers_to_transform": [0, -1]}`)
	f.Fuzz(func(t *testing.T, text string) {
		first, err := bdlora.ParsePEFTConfig([]byte(text), tiny.base())
		if err != nil {
			return
		}
		encoded, err := bdlora.EncodePEFTConfig(first)
		if err != nil {
			t.Fatal(err)
		}
		second, err := bdlora.ParsePEFTConfig(encoded, tiny.base())
		if err != nil {
			t.Fatalf("got %v for what was written:\n%s", err, encoded)
		}
		if !slices.Equal(second.Modules, first.Modules) {
			t.Errorf("got modules %+v, want %+v", second.Modules, first.Modules)
		}
		got, want := second.Config, first.Config
		if got.Dropout != want.Dropout || got.Blocks != want.Blocks || !slices.Equal(got.Targets, want.Targets) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	})
}
