package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// asProgram makes the test binary be bdlora itself, for tests that kill it.
const asProgram = "BDLORA_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	os.Exit(m.Run())
}

// result is what a call of bdlora printed and returned.
type result struct {
	stdout, stderr string
	code           int
}

func bdloraWith(stdin string, args ...string) result {
	var out, errs bytes.Buffer
	code := run(context.Background(), append([]string{"bdlora"}, args...), strings.NewReader(stdin), &out, &errs)
	return result{out.String(), errs.String(), code}
}

// must calls bdlora and fails the test if that fails.
func must(t *testing.T, args ...string) result {
	t.Helper()
	r := bdloraWith("", args...)
	if r.code != exitDone {
		t.Fatalf("bdlora %s: exit code %d\n%s%s", strings.Join(args, " "), r.code, r.stdout, r.stderr)
	}
	return r
}

// unpacked is a folder with the embedded model and datasets.
func unpacked(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := unpackExample(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// shortRun are the settings of a run of the embedded example that takes a second,
// with more of them in the place of those of the same key.
func shortRun(dir string, more ...string) []string {
	args := []string{"train"}
	for _, setting := range []string{
		"model_name_or_path=" + filepath.Join(dir, "model"), "dataset=" + filepath.Join(dir, "train.jsonl"),
		"output_dir=" + filepath.Join(dir, "out"), "nblocks=4", "lora_r=8", "val_size=8", "max_steps=6", "logging_steps=2",
		"per_device_train_batch_size=2", "gradient_accumulation_steps=2", "learning_rate=1e-3", "save_steps=4",
	} {
		key, _, _ := strings.Cut(setting, "=")
		if !slices.ContainsFunc(more, func(m string) bool { return strings.HasPrefix(m, key+"=") }) {
			args = append(args, setting)
		}
	}
	return append(args, more...)
}

func expectIn(t *testing.T, text string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !regexp.MustCompile(want).MatchString(text) {
			t.Errorf("want %q in\n%s", want, text)
		}
	}
}

func TestTheWholeJob(t *testing.T) {
	dir := unpacked(t)
	model, out := filepath.Join(dir, "model"), filepath.Join(dir, "out")
	rows := filepath.Join(dir, "heldout.jsonl")

	expectIn(t, must(t, "plan", "--model", model, "--nblocks", "4", "--tensor_parallel_size", "2").stdout,
		`memory of the first of 2 processes`, `weights, mapped from their files +1\.3 MiB`)
	expectIn(t, must(t, "plan", "--model", model, "--nblocks", "4").stdout,
		`self_attn\.q_proj +\d+ +column`, `mlp\.down_proj +\d+ +row`, `trainable params: [\d,]+ \|\| all params: [\d,]+ \|\| trainable%: \d`, `memory to train`)
	expectIn(t, must(t, "data", "validate", "--model", model, rows).stdout, `rows: \d+ \|\| examples: \d+`)
	expectIn(t, must(t, "data", "inspect", "--model", model, rows).stdout, `:1: \d+ tokens, \d+ trained`, `prompt  `, `trained  `)

	r := must(t, append(shortRun(dir), "--warmup-ratio", "0.1", "--seed=7")...)
	expectIn(t, r.stderr, `step 6/6 \(100%\)  epoch [\d.]+  loss [\d.]+  lr `, `eval_loss`, `checkpoint-4`, `checkpoint-6`)
	for _, name := range []string{
		"adapter_config.json", "adapter_model.safetensors", "shards/tp4/shards.json", "trainer_log.jsonl", "training_loss.svg", "run.yaml",
	} {
		if _, err := os.Stat(filepath.Join(out, name)); err != nil {
			t.Error(err)
		}
	}

	exported := t.TempDir()
	for _, format := range []string{"peft", "dense", "shards", "merged"} {
		must(t, "export", "--adapter", out, "--format", format, "--output", filepath.Join(exported, format))
	}
	question := "hello"
	want := must(t, "generate", "--adapter", out, "--prompt", question, "--max_new_tokens", "12").stdout
	for _, args := range [][]string{
		{"--model", model, "--adapter", filepath.Join(exported, "peft")},
		{"--model", model, "--adapter", filepath.Join(exported, "dense")},
		{"--model", model, "--adapter", filepath.Join(exported, "shards")},
		{"--adapter", filepath.Join(out, "checkpoint-6")},
	} {
		args = append([]string{"generate", "--prompt", question, "--max_new_tokens", "12"}, args...)
		if got := must(t, args...).stdout; got != want {
			t.Errorf("bdlora %s: got %q, want %q", strings.Join(args, " "), got, want)
		}
	}
	if got := bdloraWith(question+"\n", "generate", "--adapter", out, "--max_new_tokens", "12"); got.stdout != want {
		t.Errorf("prompt on standard input: got %q, want %q", got.stdout, want)
	}
	must(t, "generate", "--model", filepath.Join(exported, "merged"), "--prompt", question, "--max_new_tokens", "4", "--temperature", "0.8", "--top_p", "0.9")
	expectIn(t, must(t, "eval", "--adapter", out, "--dataset", rows).stdout, `loss: [\d.]+ \|\| perplexity: [\d.]+`)
	expectIn(t, must(t, "inspect", out).stdout, `checkpoint-6: step 6 of 6`, `adapter: `, `rank 8 in 4 blocks`)
	expectIn(t, must(t, "inspect", model).stdout, `model: .* layers`)
	expectIn(t, must(t, "inspect", filepath.Join(out, "adapter_model.safetensors")).stdout, `q_proj\.lora_A\.weight +F32`, `tensors`)
	expectIn(t, must(t, "resume", out).stderr, `resuming .*checkpoint-6: step 6 of 6`, `finished`)
}

// Law: the quickstart teaches a task that the base model does not do, to be done on
// rows that it has not seen.
func TestQuickstartTeachesItsTask(t *testing.T) {
	if testing.Short() {
		t.Skip("trains the whole embedded example: half a minute")
	}
	out := must(t, "quickstart", "--output", filepath.Join(t.TempDir(), "new")).stdout
	match := regexp.MustCompile(`right records of 160 held-out messages: (\d+) before, (\d+) after`).FindStringSubmatch(out)
	if match == nil {
		t.Fatalf("no score in\n%s", out)
	}
	before, _ := strconv.Atoi(match[1]) // digits
	after, _ := strconv.Atoi(match[2])
	if before > 8 || after < 144 {
		t.Errorf("got %d right before and %d after, want at most 8 and at least 144 of 160", before, after)
	}
}

func TestMistakesAreNamed(t *testing.T) {
	dir := unpacked(t)
	model, rows := filepath.Join(dir, "model"), filepath.Join(dir, "train.jsonl")
	bad := filepath.Join(dir, "bad.jsonl")
	if err := os.WriteFile(bad, []byte("{\"prompt\": \"a\", \"completion\": 3}\n{}\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "new")
	tests := map[string]struct {
		args []string
		code int
		want []string
	}{
		"no such command":   {[]string{"trian"}, exitUsage, []string{`no command "trian"`}},
		"unknown flag":      {[]string{"generate", "--promt", "x"}, exitUsage, []string{`promt`}},
		"no model":          {[]string{"generate", "--prompt", "x"}, exitUsage, []string{`--model: got nothing`}},
		"unknown key":       {[]string{"train", "learning_rat=1"}, exitFailed, []string{`unknown key "learning_rat"`, `learning_rate`}},
		"nothing set":       {[]string{"train"}, exitFailed, []string{`model_name_or_path: got nothing`, `dataset: got nothing`}},
		"no value":          {[]string{"train", "--dataset"}, exitUsage, []string{`--dataset: got no value`}},
		"bad rows":          {[]string{"train", "model_name_or_path=" + model, "dataset=" + bad, "output_dir=" + out}, exitFailed, []string{`bad\.jsonl:1:\d+: field "completion": got number, want string`, `bad\.jsonl:2:`}},
		"blocks":            {[]string{"plan", "--model", model, "--nblocks", "3"}, exitFailed, []string{`nblocks: 3 does not divide`, `want 1, 2 or 4`}},
		"parts":             {[]string{"plan", "--model", model, "--nblocks", "4", "--tensor_parallel_size", "3"}, exitUsage, []string{`got 3, want a divisor of --nblocks 4`}},
		"bad target":        {[]string{"plan", "--model", model, "--target_modules", "q_prj"}, exitFailed, []string{`q_prj`, `q_proj`}},
		"no such model":     {[]string{"train", "model_name_or_path=/nowhere", "dataset=" + rows, "output_dir=" + out}, exitFailed, []string{`/nowhere`}},
		"bad format":        {[]string{"export", "--format", "gguf", "--output", out, "--adapter", model}, exitUsage, []string{`--format: got "gguf"`}},
		"no adapter there":  {[]string{"export", "--format", "peft", "--output", out, "--adapter", model, "--model", model}, exitFailed, []string{`no adapter here`}},
		"nothing to resume": {[]string{"resume", dir}, exitFailed, []string{`no checkpoint`}},
		"argument":          {[]string{"plan", "--model", model, "nblocks=4"}, exitUsage, []string{`argument "nblocks=4": want flags only`}},
		"flag behind":       {[]string{"data", "validate", rows, "--model", model}, exitUsage, []string{`--model: flags come before`}},
		"too many":          {[]string{"inspect", dir, dir}, exitUsage, []string{`number of arguments is 2, want 1; see bdlora inspect`}},
		"too few":           {[]string{"data", "validate", "--model", model}, exitUsage, []string{`number of arguments is 0, want at least 1`}},
		"numbers":           {[]string{"plan", "--nblocks", "0", "--tokens", "-1"}, exitUsage, []string{`--nblocks: got 0, want at least 1`, `--tokens: got -1`}},
		"two flags missing": {[]string{"convert"}, exitUsage, []string{`--output: got nothing`, `--adapter: got nothing`}},
		"no dataset":        {[]string{"eval", "--model", model}, exitUsage, []string{`--dataset: got nothing`}},
		"threads":           {[]string{"eval", "--model", model, "--dataset", rows, "--threads", "-1"}, exitUsage, []string{`--threads: got -1`}},
		"greedy seed":       {[]string{"generate", "--model", model, "--prompt", "x", "--seed", "3"}, exitUsage, []string{`--temperature 0`}},
		"model folder":      {[]string{"train", "model_name_or_path=" + model, "dataset=" + rows, "output_dir=" + model}, exitFailed, []string{`is the folder of the base model`}},
		"not safetensors":   {[]string{"inspect", rows}, exitFailed, []string{`want a safetensors file`}},
		"resume elsewhere":  {[]string{"resume", dir, "--config", "x.yaml"}, exitUsage, []string{`got --config x.yaml`}},
		"bad sampling":      {[]string{"generate", "--model", model, "--prompt", "x", "--top_p", "2"}, exitUsage, []string{`--top_p: got 2`}},
		"unknown folder":    {[]string{"inspect", dir}, exitFailed, []string{`no model, adapter or checkpoint`}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := bdloraWith("", test.args...)
			if r.code != test.code {
				t.Errorf("got exit code %d, want %d", r.code, test.code)
			}
			expectIn(t, r.stderr, test.want...)
		})
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("a run that was refused left its output folder")
	}
}

func TestSecondRunIntoTheSameFolderIsRefused(t *testing.T) {
	dir := unpacked(t)
	must(t, shortRun(dir)...)
	r := bdloraWith("", shortRun(dir)...)
	if r.code != exitFailed {
		t.Errorf("got exit code %d, want %d", r.code, exitFailed)
	}
	expectIn(t, r.stderr, `an earlier run is there`, `hint: .*bdlora resume`)
}

func TestHelpListsEverySetting(t *testing.T) {
	expectIn(t, must(t, "train", "--help").stdout, `learning_rate is the peak .* default 2e-4`, `nblocks \(also tp_degree\)`, `match_lora_rank`)
}
