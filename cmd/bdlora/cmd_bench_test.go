package main

import (
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bdlora/cmd/bdlora/parts"
	"bdlora/model"
)

// benchJSON runs a bench command on the embedded model and returns what it printed.
func benchJSON(t *testing.T, args ...string) (report benchReport, raw string) {
	t.Helper()
	args = append([]string{"bench"}, args...)
	raw = must(t, append(args, "--model", filepath.Join(unpacked(t), "model"), "--threads", "1", "--json")...).stdout
	if err := json.Unmarshal([]byte(raw), &report); err != nil {
		t.Fatalf("%v in\n%s", err, raw)
	}
	return report, raw
}

// keys lists the paths of a JSON text, those of a list by its first element.
func keys(t *testing.T, raw string) []string {
	t.Helper()
	var value any
	if err := json.Unmarshal([]byte(raw), &value); err != nil {
		t.Fatal(err)
	}
	var paths []string
	var walk func(path string, value any)
	walk = func(path string, value any) {
		switch v := value.(type) {
		case map[string]any:
			for key, inner := range v {
				walk(strings.TrimPrefix(path+"."+key, "."), inner)
			}
		case []any:
			walk(path+"[]", v[0])
		default:
			paths = append(paths, fmt.Sprintf("%s %T", path, v))
		}
	}
	walk("", value)
	slices.Sort(paths)
	return paths
}

// Scripts read the JSON: its keys may be added to, never renamed.
func TestBenchJSONHasTheKeysThatScriptsRead(t *testing.T) {
	common := strings.Fields(`command:string machine.arch:string machine.os:string machine.path:string
		machine.peak_gflops:float64 machine.peak_of:string machine.precision:string machine.threads:float64
		model.layers:float64 model.name:string model.params:float64 model.weights:string version:string`)
	for _, test := range []struct {
		args []string
		own  string
	}{
		{[]string{"kernels", "--tokens", "3", "--runs", "1"}, `kernels.elementwise[].elements:float64
			kernels.elementwise[].gb_per_second:float64 kernels.elementwise[].kernel:string
			kernels.elementwise[].ns_per_element:float64 kernels.elementwise[].seconds:float64
			kernels.elementwise[].tokens:float64 kernels.lora_r:float64 kernels.products[].gflop:float64
			kernels.products[].gflops:float64 kernels.products[].group:string kernels.products[].in:float64
			kernels.products[].kernel:string kernels.products[].linears[]:string kernels.products[].out:float64
			kernels.products[].peak_share:float64 kernels.products[].seconds:float64
			kernels.products[].tokens:float64 kernels.runs:float64`},
		{[]string{"step", "--tokens", "8", "--runs", "1", "--warmup", "0"}, `step.all_seconds[]:float64
			step.allocated_bytes:float64 step.gflops:float64 step.gradient_checkpointing:bool step.lora_r:float64
			step.nblocks:float64 step.needed_gflop:float64 step.parts[].calls:float64 step.parts[].gflop:float64
			step.parts[].gflops:float64 step.parts[].part:string step.parts[].seconds:float64
			step.parts[].share:float64 step.peak_resident_bytes:float64 step.peak_resident_of:string
			step.peak_share:float64 step.runs:float64 step.seconds:float64 step.seq_len:float64
			step.tokens:float64 step.tokens_per_second:float64 step.trainable_params:float64`},
		{[]string{"generate", "--prompt_tokens", "3", "--new_tokens", "2", "--runs", "1"}, `
			generate.bandwidth_gb_per_second:float64 generate.bandwidth_share:float64
			generate.decode_seconds:float64 generate.decode_tokens_per_second:float64
			generate.new_tokens:float64 generate.peak_resident_bytes:float64 generate.peak_resident_of:string
			generate.prefill_seconds:float64 generate.prefill_tokens_per_second:float64 generate.prompt_tokens:float64
			generate.runs:float64 generate.weight_bytes_per_token:float64 generate.weight_gb_per_second:float64`},
	} {
		t.Run(test.args[0], func(t *testing.T) {
			if testing.Short() && test.args[0] == "generate" {
				t.Skip("measures the memory's bandwidth: 1 GiB")
			}
			var want []string
			for _, key := range append(strings.Fields(test.own), common...) {
				want = append(want, strings.Replace(key, ":", " ", 1))
			}
			slices.Sort(want)
			_, raw := benchJSON(t, test.args...)
			if got := keys(t, raw); !slices.Equal(got, want) {
				t.Errorf("got  %q,\nwant %q", got, want)
			}
		})
	}
}

func TestBenchStepAddsUp(t *testing.T) {
	report, raw := benchJSON(t, "step", "--tokens", "20", "--seq_len", "8", "--nblocks", "4", "--lora_r", "8",
		"--layers", "2", "--gradient_checkpointing")
	s := report.Step
	if report.Model.Layers != 2 || s.Tokens != 20 || s.SeqLen != 8 || s.Blocks != 4 || s.Rank != 8 || !s.Checkpointing {
		t.Errorf("got %+v of %+v, want what the flags say", s, report.Model)
	}
	if len(s.AllSeconds) != 3 || !slices.IsSorted(s.AllSeconds) || s.Seconds != s.AllSeconds[1] {
		t.Errorf("got %g as the median of %g", s.Seconds, s.AllSeconds)
	}
	names, seconds, shares := parts.Names(), 0.0, 0.0
	calls := map[string]int{}
	for i, p := range s.Parts {
		if p.Part != names[i] {
			t.Errorf("part %d is %q, want %q", i, p.Part, names[i])
		}
		if p.Part != "rest" && (p.Calls == 0 || p.Seconds <= 0) {
			t.Errorf("%s: got %d calls in %g s, want some", p.Part, p.Calls, p.Seconds)
		}
		calls[p.Part] = p.Calls
		seconds, shares = seconds+p.Seconds, shares+p.Share
	}
	if len(s.Parts) != len(names) || math.Abs(seconds/s.Seconds-1) > 1e-9 || math.Abs(shares-1) > 1e-9 {
		t.Errorf("the parts add up to %g s and %g of the step, want %g s and 1, in\n%s", seconds, shares, s.Seconds, raw)
	}
	// Recomputed or not, attention goes backward once; forward it goes twice.
	forward, backward := calls["attention forward"], calls["attention backward"]
	if backward != 2 || forward != 4 {
		t.Errorf("got %d calls of attention forward and %d backward for 2 layers, want 4 and 2",
			forward, backward)
	}
	if want := s.NeededGFLOP / s.Seconds; math.Abs(s.GFLOPs/want-1) > 1e-9 {
		t.Errorf("got %g GFLOP/s, want %g", s.GFLOPs, want)
	}
	if s.PeakResidentBytes < 1<<20 || s.AllocatedBytes == 0 {
		t.Errorf("got %d bytes resident and %d allocated", s.PeakResidentBytes, s.AllocatedBytes)
	}
}

func TestBenchKernelsHasEveryProduct(t *testing.T) {
	report, _ := benchJSON(t, "kernels", "--tokens", "3,5", "--runs", "1", "--lora_r", "4")
	count := map[string]int{}
	for _, p := range report.Kernels.Products {
		count[fmt.Sprint(p.Group, p.Tokens)]++
		if p.Group == "adapter" {
			if want := 2 * float64(p.Tokens*4) / 1e9; p.Kernel == "x·Aᵀ" && p.GFLOP != want*float64(p.In) ||
				p.Kernel == "dyᵀ·h" && p.GFLOP != want*float64(p.Out) {
				t.Errorf("%+v: want 2·tokens·rank·width operations", p)
			}
		}
		if p.Seconds <= 0 || p.GFLOPs <= 0 || p.PeakShare <= 0 {
			t.Errorf("%+v: want times and rates", p)
		}
	}
	// The linears of a layer have five shapes: q; k and v; o; gate and up; down.
	for _, tokens := range []int{3, 5} {
		for group, want := range map[string]int{"linear": 5 * 2, "adapted": 5 * 2, "head": 2, "adapter": 5 * 6, "attention": 2} {
			if got := count[fmt.Sprint(group, tokens)]; got != want {
				t.Errorf("%d tokens: got %d rows of %s, want %d", tokens, got, group, want)
			}
		}
	}
	for _, e := range report.Kernels.Elementwise {
		if e.Elements < e.Tokens || e.NsPerElement <= 0 || e.GBPerSecond <= 0 {
			t.Errorf("%+v: want elements, times and rates", e)
		}
	}
}

func TestBenchGenerateCountsTheWeightsOfAToken(t *testing.T) {
	if testing.Short() {
		t.Skip("measures the memory's bandwidth: 1 GiB")
	}
	report, _ := benchJSON(t, "generate", "--prompt_tokens", "7", "--new_tokens", "3", "--runs", "2")
	g, p := report.Generate, report.Model.Params
	// All parameters but the gains, two a layer and the last one.
	if want := 2 * (p - int64(2*report.Model.Layers+1)*128); g.WeightBytesPerToken != want {
		t.Errorf("got %d bytes of weights a token, want %d", g.WeightBytesPerToken, want)
	}
	if want := float64(g.WeightBytesPerToken) * 3 / g.DecodeSeconds / 1e9; math.Abs(g.WeightGBPerSecond/want-1) > 1e-9 {
		t.Errorf("got %g GB/s, want %g", g.WeightGBPerSecond, want)
	}
}

func TestBenchTablesAreForPeople(t *testing.T) {
	dir := filepath.Join(unpacked(t), "model")
	expectIn(t, must(t, "bench", "kernels", "--model", dir, "--tokens", "3", "--runs", "1").stdout,
		`GFLOP/s of .* multiply-adds`, `linear +forward +3 +128 × 128`, `adapter +x·Aᵀ`, `attention +backward`,
		`SwiGLUBackward +3`)
	expectIn(t, must(t, "bench", "step", "--model", dir, "--tokens", "4", "--runs", "1").stdout,
		`step: .* tokens/s`, `of the peak`, `head and loss +\d`, `rest +0 +`)
}

func TestBenchHoldsTheBaseAsAsked(t *testing.T) {
	const linears = 128*128*2 + 256*128*2 + 3*320*128 // k and v; q and o; the MLP's
	dir := filepath.Join(unpacked(t), "model")
	for _, source := range [][]string{
		{"--model", dir, "--cache_dir", t.TempDir()}, {"--model", dir, "--cache_dir", t.TempDir(), "--layers", "1"},
	} {
		args := []string{"bench", "step", "--tokens", "4", "--runs", "1", "--json", "--base_dtype", "nf4", "--path", "generic"}
		var report benchReport
		if err := json.Unmarshal([]byte(must(t, append(args, source...)...).stdout), &report); err != nil {
			t.Fatal(err)
		}
		if report.Model.Weights != "NF4" || report.Machine.Path != "generic" {
			t.Errorf("%q: got weights in %s on path %s, want NF4 on generic", source, report.Model.Weights, report.Machine.Path)
		}
	}
	for base, bits := range map[model.BaseDtype]float64{model.BaseAuto: 16, model.BaseInt8: 8 + 32./128, model.BaseNF4: 4.127} {
		l, err := openFolders(dir, "", base)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.model.Quantize(t.Context(), model.QuantizeConfig{}); err != nil {
			t.Fatal(err)
		}
		got := float64(readPerToken(l.model)-weightBytes(l.model.Head())) / 4 * 8 / linears
		if math.Abs(got/bits-1) > 0.02 {
			t.Errorf("%s: got %.3f bits a weight, want about %.3f", base, got, bits)
		}
		l.Close()
	}
}

func TestBenchMistakesAreNamed(t *testing.T) {
	dir := filepath.Join(unpacked(t), "model")
	for name, test := range map[string]struct{ args, want string }{
		"neither":          {"step", `--model and --shape: got "" and ""`},
		"both":             {"step --model MODEL --shape llama-3.2-1b", `--model and --shape: got ".+" and "llama-3\.2-1b"`},
		"unknown shape":    {"step --shape llama-9", `--shape: .*"llama-9", want one of .*llama-3\.1-8b`},
		"too many layers":  {"step --model MODEL --layers 99", `--layers: .*99 layers, want 1 to`},
		"shape's layers":   {"step --shape llama-3.2-1b --layers 17", `--layers: got 17, want at most the 16`},
		"negative layers":  {"generate --model MODEL --layers -1", `--layers: got -1`},
		"no runs":          {"kernels --model MODEL --runs 0", `--runs: got 0`},
		"threads":          {"kernels --model MODEL --threads -2", `--threads: got -2`},
		"no tokens":        {"kernels --model MODEL --tokens 8,0", `--tokens: got 0`},
		"one token":        {"step --model MODEL --tokens 1", `--tokens: got 1`},
		"sequences of one": {"step --model MODEL --seq_len 1", `--seq_len: got 1`},
		"blocks":           {"step --model MODEL --nblocks 0", `--nblocks: got 0`},
		"rank":             {"step --model MODEL --lora_r 0", `--lora_r: got 0`},
		"kernels' rank":    {"kernels --model MODEL --lora_r 0", `--lora_r: got 0`},
		"warmup":           {"step --model MODEL --warmup -1", `--warmup: got -1`},
		"new tokens":       {"generate --model MODEL --new_tokens 0", `--new_tokens: got 0, want at least 1`},
		"base_dtype":       {"step --model MODEL --base_dtype int4", `--base_dtype: got "int4", want "auto"`},
		"path":             {"step --model MODEL --path sse", `--path: .*"sse", want one of .*"generic"`},
		"precision": {
			"step --model MODEL --float32_matmul_precision low",
			`--float32_matmul_precision: got "low", want one of \["highest" "high" "medium"\]`,
		},
		"no such bench": {"speed", `no command "speed"; see bdlora bench --help`},
		"argument":      {"step --model MODEL tokens=4", `argument "tokens=4"`},
		"unknown flag":  {"step --model MODEL --token 4", `token`},
	} {
		t.Run(name, func(t *testing.T) {
			r := bdloraWith("", strings.Fields(strings.ReplaceAll("bench "+test.args, "MODEL", dir))...)
			if r.code != exitUsage {
				t.Errorf("got exit code %d, want %d", r.code, exitUsage)
			}
			expectIn(t, r.stderr, test.want)
		})
	}
}
