package train_test

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"bdlora/train"
)

// minimal is the settings that have no default.
const minimal = "model_name_or_path: m\ndataset: d.jsonl\noutput_dir: o\n"

// readConfig reads text as run.yaml in a folder of its own.
func readConfig(t *testing.T, text string, overrides ...string) (train.Config, error) {
	t.Helper()
	t.Chdir(t.TempDir())
	if err := os.WriteFile("run.yaml", []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	return train.ReadConfig("run.yaml", overrides)
}

func mustReadConfig(t *testing.T, text string, overrides ...string) train.Config {
	t.Helper()
	c, err := readConfig(t, text, overrides...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestConfigDefaults(t *testing.T) {
	want := train.DefaultConfig()
	want.ModelNameOrPath, want.Dataset, want.OutputDir = "m", "d.jsonl", "o"
	want.MatchLoraRank = 16
	if got := mustReadConfig(t, minimal); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestConfigReadsEveryKindOfValue(t *testing.T) {
	got := mustReadConfig(t, minimal+`
packing: yes
use_rslora: True
eval_strategy: no       # false in YAML 1.1
learning_rate: 1e-4     # text in YAML 1.1
lora_r: &rank 12
lora_alpha: *rank
match_lora_rank: ~      # null: the default
max_steps: "7"
seed: 18446744073709551615
num_train_epochs: 0.5
target_modules: [q_proj, "v_proj"]
`, "threads=2", "warmup-ratio=.1", "init_adapter=a=b", "eval-dataset=", "nblocks=4")
	want := train.DefaultConfig()
	want.ModelNameOrPath, want.Dataset, want.OutputDir = "m", "d.jsonl", "o"
	want.Packing, want.UseRSLora, want.EvalStrategy, want.LearningRate = true, true, "no", 1e-4
	want.LoraR, want.LoraAlpha, want.MaxSteps, want.Seed = 12, 12, 7, 1<<64-1
	want.NumTrainEpochs, want.TargetModules = 0.5, []string{"q_proj", "v_proj"}
	want.Threads, want.WarmupRatio, want.InitAdapter, want.Blocks = 2, 0.1, "a=b", 4
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestConfigListsMayBeText(t *testing.T) {
	want := []string{"q_proj", "v_proj"}
	for _, text := range []string{"lora_target: q_proj, v_proj", "target_modules: [q_proj,v_proj]"} {
		if got := mustReadConfig(t, minimal+text).TargetModules; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
	for _, override := range []string{"lora_target=q_proj,v_proj", "target_modules=[q_proj, v_proj]"} {
		if got := mustReadConfig(t, minimal, override).TargetModules; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %q, want %q", override, got, want)
		}
	}
}

func TestConfigAliases(t *testing.T) {
	got := mustReadConfig(t, minimal+"cutoff_len: 99\nlora_rank: 8\ntp_degree: 4\nmicro_batch_size: 3\n")
	for _, tt := range []struct {
		key       string
		got, want int
	}{
		{"cutoff_len", got.MaxLength, 99}, {"lora_rank", got.LoraR, 8},
		{"tp_degree", got.Blocks, 4}, {"micro_batch_size", got.PerDeviceTrainBatchSize, 3},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: got %d, want %d", tt.key, tt.got, tt.want)
		}
	}
}

func TestConfigOverridesWinOverTheFile(t *testing.T) {
	got := mustReadConfig(t, minimal+"lora_r: 8\nseed: 1\n", "lora_rank=32", "dataset=other.jsonl")
	if got.LoraR != 32 || got.Dataset != "other.jsonl" || got.Seed != 1 {
		t.Errorf("got rank %d, dataset %q, seed %d, want 32, other.jsonl, 1", got.LoraR, got.Dataset, got.Seed)
	}
}

func TestConfigNeedsNoFile(t *testing.T) {
	got, err := train.ReadConfig("", []string{"model_name_or_path=m", "dataset=d", "output_dir=o"})
	if err != nil || got.OutputDir != "o" {
		t.Errorf("got output_dir %q and %v, want o and no error", got.OutputDir, err)
	}
}

func TestConfigErrors(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		overrides  []string
		want       string
	}{
		{name: "unknown key", text: "lora_rnk: 8\n", want: `run.yaml:4: unknown key "lora_rnk", want "lora_rank"?`},
		{name: "wrong letters", text: "lara_drepeut: 8\n",
			want: `run.yaml:4: unknown key "lara_drepeut", want "lora_dropout"?`},
		{name: "unlike any key", text: "bananas_are_yellow: 8\n", want: `run.yaml:4: unknown key "bananas_are_yellow"`},
		{name: "fraction for a whole number", text: "max_steps: 1.5\n",
			want: `run.yaml:4: max_steps: got "1.5", want a whole number`},
		{name: "text for a number", text: "learning_rate: fast\n",
			want: `run.yaml:4: learning_rate: got "fast", want a number`},
		{name: "not a number", text: "learning_rate: .nan\n",
			want: `run.yaml:4: learning_rate: got ".nan", want a number`},
		{name: "infinite", text: "", overrides: []string{"lora_alpha=inf"},
			want: `override "lora_alpha=inf": lora_alpha: got "inf", want a number`},
		{name: "negative seed", text: "seed: -1\n", want: `run.yaml:4: seed: got "-1", want a whole number from 0 on`},
		{name: "text for true or false", text: "packing: maybe\n",
			want: `run.yaml:4: packing: got "maybe", want true or false`},
		{name: "list for text", text: "dataset_format:\n  - a\n  - b\n",
			want: `run.yaml:5: dataset_format: got a list, want text`},
		{name: "mapping for a number", text: "seed: {a: 1}\n", want: `run.yaml:4: seed: got a mapping, want a whole number`},
		{name: "mapping in a list", text: "target_modules: [{a: 1}]\n",
			want: `run.yaml:4: target_modules: item 1: got a mapping, want text`},
		{name: "binary", text: "init_adapter: !!binary aGk=\n",
			want: `run.yaml:4: init_adapter: got a value tagged "!!binary", want text`},
		{name: "same key twice", text: "seed: 1\nseed: 2\n",
			want: `run.yaml:5: seed: got it a second time, want it once: line 4 has seed`},
		{name: "key and alias", text: "lora_r: 8\nr: 8\n",
			want: `run.yaml:5: r: got it a second time, want it once: line 4 has lora_r`},
		{name: "override twice", overrides: []string{"r=8", "lora_r=8"},
			want: `override "lora_r=8": lora_r: got it a second time, want it once: there is "r=8"`},
		{name: "override without value", overrides: []string{"packing"},
			want: `override "packing": got no value, want key=value`},
		{name: "unknown override", overrides: []string{"sed=1"}, want: `override "sed=1": unknown key "sed", want "seed"?`},
		{name: "override of invalid UTF-8", overrides: []string{"bd_init=\xff"},
			want: `override "bd_init=\xff": bd_init: got "\xff", want valid UTF-8`},
		{name: "second document", text: "---\nseed: 1\n", want: "run.yaml: got a second document, want one"},
		{name: "several at once", text: "lora_rnk: 8\nmax_steps: x\n", overrides: []string{"lora_dropout=1"},
			want: `run.yaml:4: unknown key "lora_rnk", want "lora_rank"?
run.yaml:5: max_steps: got "x", want a whole number
run.yaml: lora_dropout: got 1, want at least 0 and below 1`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := readConfig(t, minimal+tt.text, tt.overrides...)
			if got := fmt.Sprint(err); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestConfigFileErrors(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"a list", "- a\n", "run.yaml:1: got a list, want key: value lines"},
		{"text", "hello\n", `run.yaml:1: got "hello", want key: value lines`},
		{"not YAML", "a: [\n", "run.yaml: yaml:"},
		{"nothing", "", "run.yaml: model_name_or_path: got nothing, want a path"},
		{"a comment", "# later\n", "run.yaml: model_name_or_path: got nothing, want a path"},
		{"null", "~\n", "run.yaml: model_name_or_path: got nothing, want a path"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := readConfig(t, tt.text)
			if got := fmt.Sprint(err); !strings.HasPrefix(got, tt.want) {
				t.Errorf("got %s, want it to begin with %s", got, tt.want)
			}
		})
	}
}

// Each setting out of its limits, or against another, is reported by its key.
func TestConfigValidate(t *testing.T) {
	for _, tt := range []struct{ overrides, want string }{
		{"max_length=1", "max_length: got 1, want at least 2"},
		{"dataset_format=csv", `dataset_format: got "csv", want ` +
			`"auto" or "messages" or "alpaca" or "prompt_completion" or "question_answer"`},
		{"excess_length_strategy=cut",
			`excess_length_strategy: got "cut", want "raise" or "drop" or "truncate"`},
		{"val_size=1.5", "val_size: got 1.5, want a share of the rows below 1 or a whole number of rows"},
		{"val_size=-1", "val_size: got -1, want a share of the rows below 1 or a whole number of rows"},
		{"val_size=.1 eval_dataset=e", "val_size: got 0.1, want 0 where eval_dataset is set"},
		{"train_on_prompt=on mask_history=on", "mask_history: got true, want false where train_on_prompt is true"},
		{"lora_r=-1", "lora_r: got -1, want at least 0"},
		{"lora_r=8 match_lora_rank=4", "match_lora_rank: got 4, want 0 where lora_r is set (to 8)"},
		{"lora_r=8 nblocks=3", "lora_r: got 8, want a multiple of nblocks 3"},
		{"nblocks=0", "nblocks: got 0, want at least 1"},
		{"lora_alpha=-1", "lora_alpha: got -1, want at least 0"},
		{"lora_dropout=1", "lora_dropout: got 1, want at least 0 and below 1"},
		{"target_modules=q_proj,,", `target_modules: got ["q_proj" "" ""], want names of linears or "all-linear"`},
		{"bd_init=zero", `bd_init: got "zero", want "lora" or "peft"`},
		{"micro_batch_size=0", "per_device_train_batch_size: got 0, want at least 1"},
		{"learning_rate=0", "learning_rate: got 0, want a number above 0"},
		{"adam_beta2=1", "adam_beta2: got 1, want at least 0 and below 1"},
		{"max_grad_norm=-1", "max_grad_norm: got -1, want at least 0"},
		{"lr_scheduler_type=step",
			`lr_scheduler_type: got "step", want "cosine" or "linear" or "constant" or "constant_with_warmup"`},
		{"warmup_ratio=.1 warmup_steps=3", "warmup_ratio: got 0.1, want 0 where warmup_steps is set"},
		{"lr_scheduler_type=constant warmup_steps=3",
			`lr_scheduler_type: got "constant", want "constant_with_warmup" where there is a warm-up`},
		{"max_steps=-2", "max_steps: got -2, want at least -1"},
		{"num_train_epochs=0", "num_train_epochs: got 0, want a number above 0"},
		{"val_size=9 eval_strategy=no",
			`eval_strategy: got "no", want another one where there are rows to evaluate on`},
		{"early_stopping_patience=2", "early_stopping_patience: got 2, want 0 without eval_dataset or val_size"},
		{"load_best_model_at_end=true", "load_best_model_at_end: got true, want false without eval_dataset or val_size"},
		{"resume_from_checkpoint=true", `resume_from_checkpoint: got true, want "auto", a checkpoint folder or nothing`},
		{"device=cuda", `device: got "cuda", want "cpu"`},
		{"threads=-1", "threads: got -1, want at least 0"},
	} {
		t.Run(tt.overrides, func(t *testing.T) {
			_, err := readConfig(t, minimal, strings.Fields(tt.overrides)...)
			if got := fmt.Sprint(err); got != "run.yaml: "+tt.want {
				t.Errorf("got  %s\nwant run.yaml: %s", got, tt.want)
			}
		})
	}
}

func TestConfigTakesWhatLimitsAllow(t *testing.T) {
	for _, overrides := range []string{
		"val_size=1", "val_size=0.999", "lora_r=12 nblocks=3", "lora_dropout=0", "adam_beta1=0", "max_grad_norm=0",
		"num_train_epochs=0 max_steps=1", "lr_scheduler_type=constant", "init_adapter=a resume_from_checkpoint=auto",
		"load_best_model_at_end=true val_size=9 eval_strategy=steps save_steps=150",
		"load_best_model_at_end=true val_size=9 save_strategy=epoch early_stopping_patience=1",
	} {
		if _, err := readConfig(t, minimal, strings.Fields(overrides)...); err != nil {
			t.Errorf("%s: got %v, want no error", overrides, err)
		}
	}
}

func TestConfigReadsBackWhatItWrites(t *testing.T) {
	want := mustReadConfig(t, minimal,
		"model_name_or_path=no", "eval_dataset= #x: ~", "dataset=null", "seed=18446744073709551615",
		"init_adapter=ä\tb\nc", "adam_epsilon=1e-300", "learning_rate=0.1", "target_modules=true,1e3", "val_size=0")
	path := filepath.Join(t.TempDir(), train.ConfigName)
	if err := want.Write(path); err != nil {
		t.Fatal(err)
	}
	got, err := train.ReadConfig(path, nil)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v, %v\nwant %+v", got, err, want)
	}
}

// Every setting changed by itself: those that a resumed run may change, and no
// others, pass unnoticed.
func TestDiffNamesWhatChangesTraining(t *testing.T) {
	free := map[string]bool{
		"model_name_or_path": true, "dataset": true, "eval_dataset": true, "output_dir": true, "cache_dir": true,
		"gradient_checkpointing": true, "init_adapter": true, "logging_steps": true, "save_strategy": true, "save_steps": true, "save_total_limit": true,
		"resume_from_checkpoint": true, "device": true, "threads": true,
		"tensor_parallel_size": true, "data_parallel_size": true, "collective_timeout": true,
	}
	was := train.DefaultConfig()
	for i := range reflect.TypeFor[train.Config]().NumField() {
		key := reflect.TypeFor[train.Config]().Field(i).Tag.Get("yaml")
		is := was
		change(reflect.ValueOf(&is).Elem().Field(i))
		lines := train.Diff(was, is)
		if free[key] && len(lines) != 0 {
			t.Errorf("%s: got %q, want nothing", key, lines)
		}
		if !free[key] && (len(lines) != 1 || !strings.HasPrefix(lines[0], key+": ")) {
			t.Errorf("%s: got %q, want one line that names it", key, lines)
		}
	}
}

// change gives a setting another value.
func change(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(v.String() + "x")
	case reflect.Int:
		v.SetInt(v.Int() + 1)
	case reflect.Uint64:
		v.SetUint(v.Uint() + 1)
	case reflect.Float64:
		v.SetFloat(v.Float() + 1)
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Slice:
		v.Set(reflect.ValueOf([]string{"q_proj"}))
	}
}

func TestDiffHasBothValues(t *testing.T) {
	was, is := train.DefaultConfig(), train.DefaultConfig()
	is.Seed = 7
	want := []string{"seed: the checkpoint has 42, this run has 7"}
	if got := train.Diff(was, is); !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestDataSeedDefaultsToSeed(t *testing.T) {
	c := train.Config{Seed: 3}
	if got := c.EffectiveDataSeed(); got != 3 {
		t.Errorf("without one: got %d, want 3", got)
	}
	c.DataSeed = 4
	if got := c.EffectiveDataSeed(); got != 4 {
		t.Errorf("with one: got %d, want 4", got)
	}
}

// Whatever the bytes: no panic, every error has a line or a key, and what can be
// read is written and read back to the same.
func FuzzConfig(f *testing.F) {
	for _, seed := range []string{
		"", "seed: 1\nseed: 2\n", "lora_rnk: 8", "a: [", "&a [*a]", "target_modules: &a [*a]", "? [a]\n: b", "*a",
		"<<: {seed: 1}", "seed: !!binary aGk=", "packing: yes\n---\n", "\"\\u0000\": 1", "seed: 0x10",
		"dataset: |\n  a\n  b\n", "lora_r: 8\nr: 8", "learning_rate: 1e-4 # peak",
		"threads: 99999999999999999999", "\xff", "eval_dataset: \"\\x85\"",
	} {
		f.Add([]byte(minimal + seed))
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := train.ParseConfig("f.yaml", text)
		if err != nil {
			for line := range strings.Lines(err.Error()) {
				if !strings.HasPrefix(line, "f.yaml:") {
					t.Errorf("got %q, want it to begin with the file", line)
				}
			}
			return
		}
		path := filepath.Join(t.TempDir(), "back.yaml")
		if err := c.Write(path); err != nil {
			t.Fatal(err)
		}
		if back, err := train.ReadConfig(path, nil); err != nil || !reflect.DeepEqual(back, c) {
			t.Errorf("got  %+v, %v\nwant %+v", back, err, c)
		}
	})
}
