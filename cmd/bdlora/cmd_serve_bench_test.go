package main

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// served runs a small serve-bench of goroutines with those flags, too.
func served(t *testing.T, flags ...string) result {
	t.Helper()
	return must(t, append([]string{"serve-bench", "--shape", "smollm2-360m", "--layers", "1", "--tensor_parallel_size", "5",
		"--lora_r", "5", "--prompt_tokens", "3,5", "--batch", "2", "--new_tokens", "2", "--runs", "1", "--threads", "1"}, flags...)...)
}

// A layer of SmolLM2-360M, hidden 960, in float32, rank 5 of S-LoRA: two sums of 960
// numbers a row, and 9 ranks of which 7 collectives are fused to 4.
func TestServeBenchCountsWhatCrosses(t *testing.T) {
	var r serveReport
	if err := json.Unmarshal([]byte(served(t, "--json").stdout), &r); err != nil {
		t.Fatal(err)
	}
	if r.Processes != 5 || r.Layers != 1 || r.AllLayers != 32 || r.Vocab != 1535 || r.Transport != "goroutines of one process" {
		t.Errorf("got %d processes, %d of %d layers and a vocabulary of %d by %s, want 5, 1 of 32, a 32nd of 49152 in fives",
			r.Processes, r.Layers, r.AllLayers, r.Vocab, r.Transport)
	}
	const adapters = 5
	if len(r.Adapters) != adapters || len(r.Steps) != 2*2*adapters {
		t.Fatalf("got %d adapters and %d steps, want %d and %d", len(r.Adapters), len(r.Steps), adapters, 4*adapters)
	}
	for i, s := range r.Steps {
		rows := int64([]int{3, 2, 5, 2}[i/adapters])
		calls, bytes := 0, int64(0)
		if i%adapters == 1 {
			calls, bytes = 4, rows*(3+1+2+1)*5*4
		}
		if s.BaseCalls != 2 || s.BaseBytes != 2*rows*960*4 || s.AdapterCalls != calls || s.AdapterBytes != bytes {
			t.Errorf("%s, %s: %d calls of %d bytes and %d of %d, want 2 of %d and %d of %d", s.name(), s.adapter(),
				s.BaseCalls, s.BaseBytes, s.AdapterCalls, s.AdapterBytes, 2*rows*960*4, calls, bytes)
		}
		if !(s.Seconds > 0 && s.Parts.Compute > 0 && s.Predicted > 0 && s.Alone.Base > 0) ||
			s.Past == 0 && math.Abs(s.Parts.Total()-s.Seconds) > 1e-9 {
			t.Errorf("%s, %s: got %+v, want times, and those of a single run to add up", s.name(), s.adapter(), s)
		}
		if blocks := r.Steps[i/adapters*adapters+3]; blocks.Rank != 10 || blocks.Ratio != 1 || s.Ratio <= 0 ||
			math.Abs(s.AloneRatio-s.Alone.Total()/blocks.Alone.Total()) > 1e-9 {
			t.Errorf("%s, %s: %g and %g of BD-LoRA's %+v", s.name(), s.adapter(), s.Ratio, s.AloneRatio, blocks)
		}
	}
}

// Five blocks: BD-LoRA of twice the rank has 2·c of the parameters, c = 0.517.
func TestServeBenchTellsHowManyParams(t *testing.T) {
	expectIn(t, served(t).stdout, `BD-LoRA +10 +[\d,]+ +1\.03\d`, `BD-LoRA +20 +[\d,]+ +2\.06\d`, `S-LoRA +5 +[\d,]+ +1\.000`,
		`5 goroutines of one process`, `1 of 32 layers`, `prompt of 3 +none`, `token × 2 behind 4 +none`, `predictions are off by`,
		`llama-3\.1-70b +0\.87 +1\.79`, `llama-3\.1-8b +1\.73 +1\.30`)
}

func TestServeBenchDrawsAChart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "serving.svg")
	served(t, "--chart", path, "--link", "a <link> & more")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	bars := strings.Count(string(text), `class="a`) - 5 // of the legend
	if steps := 4 * 5; bars < 2*steps {
		t.Errorf("got %d parts of bars, want at least 2 for each of %d", bars, steps)
	}
	decoder := xml.NewDecoder(strings.NewReader(string(text)))
	for err == nil {
		_, err = decoder.Token()
	}
	if !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	expectIn(t, string(text), `a &lt;link&gt; &amp; more`, `S-LoRA 5`)
}

func TestServeBenchRefusesAllAtOnce(t *testing.T) {
	r := bdloraWith("", "serve-bench", "--lora_r", "3", "--runs", "0", "--batch", "0", "--layers", "99", "--threads", "-1",
		"--chart", filepath.Join(t.TempDir(), "none", "x.svg"))
	if r.code != exitUsage {
		t.Errorf("got exit code %d, want %d", r.code, exitUsage)
	}
	expectIn(t, r.stderr, `--lora_r: got 3, want a multiple of the 2`, `--runs: got 0`, `--batch: got \[0\]`, `--layers: got 99, want 0 to the 16`, `--threads: got -1`, `--chart: .*none`)
	r = bdloraWith("", "serve-bench", "--shape", "smollm2-135m", "--lora_r", "4", "--layers", "1")
	if r.code != exitUsage {
		t.Errorf("got exit code %d, want %d", r.code, exitUsage)
	}
	expectIn(t, r.stderr, `2 does not divide num_attention_heads 9`)
}
