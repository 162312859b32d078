package bdlora_test

import (
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"bdlora/bdlora"
	"bdlora/data/safetensors"
)

// vllm stands for the layers of https://github.com/vllm-project/vllm/pull/28136 on one
// rank: what they take of the files, into buffers of max-lora-rank/N components.
type vllm struct {
	t          *testing.T
	file       *safetensors.File
	scaling    float64 // lora_alpha/r of the configuration; patterns are dropped
	ranks, max int     // --tensor-parallel-size, --max-lora-rank
}

// partial is s·B_i·A_i of what rank i loads for a module: slice_lora_a and
// slice_lora_b, with whole rows of in or of what there is.
func (v vllm) partial(m bdlora.Module, i int) []float64 {
	x, y := v.tensor(m, "A"), v.tensor(m, "B")
	shard := v.max / v.ranks
	a := sliceRows(x, i*shard, (i+1)*shard)
	b := y
	if m.Linear.Parallel == bdlora.RowParallel {
		b = sliceCols(y, i*shard, (i+1)*shard)
	} else {
		outs := m.Linear.Out / v.ranks
		b = sliceRows(y, i*outs, (i+1)*outs)
	}
	sum := make([]float64, len(b)*len(x[0]))
	for o := range b {
		for k := range min(len(a), len(b[o])) { // the rest of the buffers is zero
			for j := range a[k] {
				sum[o*len(x[0])+j] += v.scaling * float64(b[o][k]) * float64(a[k][j])
			}
		}
	}
	return sum
}

// tensor is lora_A or lora_B as rows.
func (v vllm) tensor(m bdlora.Module, factor string) [][]float32 {
	v.t.Helper()
	name := "base_model.model." + m.Path() + ".lora_" + factor + ".weight"
	tensor, ok := v.file.Tensor(name)
	if !ok {
		v.t.Fatalf("%s is missing", name)
	}
	flat, rows := values(v.t, v.file, name), make([][]float32, tensor.Shape[0])
	for i := range rows {
		rows[i] = flat[i*tensor.Shape[1]:][:tensor.Shape[1]]
	}
	return rows
}

// sliceRows is x[from:to] as Python has it: what lies past the end is left out.
func sliceRows(x [][]float32, from, to int) [][]float32 { return x[min(from, len(x)):min(to, len(x))] }

// sliceCols is x[:, from:to].
func sliceCols(x [][]float32, from, to int) [][]float32 {
	cut := make([][]float32, len(x))
	for i, row := range x {
		cut[i] = row[min(from, len(row)):min(to, len(row))]
	}
	return cut
}

// want is what rank i has to add: its part of ΔW.
func (v vllm) want(a *bdlora.Adapter, m bdlora.Module, i int) []float64 {
	x, y := m.A.Of(a.Shards[i]), m.B.Of(a.Shards[i])
	sum := make([]float64, m.B.Rows*m.A.Cols)
	for o := range m.B.Rows {
		for j := range m.A.Cols {
			for k := range m.A.Rows {
				sum[o*m.A.Cols+j] += m.Scaling * float64(y[o*m.B.Cols+k]) * float64(x[k*m.A.Cols+j])
			}
		}
	}
	return sum
}

// distance is how far rank by rank what v computes with the files of folder dir is
// from the adapter, relative to the largest number.
func (v vllm) distance(a *bdlora.Adapter, dir string) float64 {
	var config struct {
		Rank   int     `json:"r"`
		Alpha  float64 `json:"lora_alpha"`
		RSLoRA bool    `json:"use_rslora"`
	}
	readJSON(v.t, filepath.Join(dir, configName), &config)
	v.scaling = config.Alpha / float64(config.Rank)
	if config.RSLoRA {
		v.scaling = config.Alpha / math.Sqrt(float64(config.Rank))
	}
	v.file = openFile(v.t, filepath.Join(dir, weightsName))
	furthest, largest := 0.0, 0.0
	for _, m := range a.Plan.Modules {
		for i := range v.ranks {
			got, want := v.partial(m, i), v.want(a, m, i)
			for k := range want {
				furthest, largest = max(furthest, math.Abs(got[k]-want[k])), max(largest, math.Abs(want[k]))
			}
		}
	}
	return furthest / largest
}

// Law: each rank of vLLM computes its part of ΔW from what is exported, whatever the
// adapter's ranks and alphas are, and something else from the adapter's own files.
func TestEveryRankOfVLLMComputesItsPart(t *testing.T) {
	for _, tc := range []struct{ blocks, rank, served int }{{2, 6, 16}, {4, 12, 32}, {4, 4, 8}, {4, 48, 128}, {2, 16, 32}} {
		t.Run(fmt.Sprint(tc), func(t *testing.T) {
			c := config(tc.rank, tc.blocks)
			c.RSLoRA = tc.blocks == 4
			c.RankPattern = map[string]int{"up_proj": 2 * tc.rank}
			c.AlphaPattern = map[string]float64{"o_proj": 5, `1\..*\.k_proj`: 9}
			a, dir, own := trained(t, c), t.TempDir(), t.TempDir()
			rank, err := a.SaveVLLM(dir)
			if err != nil || rank != tc.served {
				t.Fatalf("got rank %d, %v; want %d", rank, err, tc.served)
			}
			server := vllm{t: t, ranks: tc.blocks, max: rank}
			if got := server.distance(a, dir); !(got < 1e-6) { // o_proj's B is rounded once more
				t.Errorf("got ranks that are off by %g", got)
			}
			if err := a.SavePEFT(own); err != nil {
				t.Fatal(err)
			}
			if got := server.distance(a, own); !(got > 0.1) {
				t.Errorf("the files without padding are off by %g only: is the test blind?", got)
			}
		})
	}
}

// Without patterns no number changes: zeros come between the others.
func TestVLLMFilesAreExactWithoutPatterns(t *testing.T) {
	a, dir := trained(t, config(12, 4)), t.TempDir()
	if _, err := a.SaveVLLM(dir); err != nil {
		t.Fatal(err)
	}
	if got := (vllm{t: t, ranks: 4, max: 16}).distance(a, dir); got != 0 {
		t.Errorf("got ranks that are off by %g, want 0", got)
	}
	want, _, err := bdlora.Convert(a, 4, 16)
	if err != nil {
		t.Fatal(err)
	}
	got, err := bdlora.LoadPEFT(dir, tiny.base())
	if err != nil {
		t.Fatal(err)
	}
	wantSame(t, got, want)
}

func TestVLLMFolderSaysWhatItIs(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "it's mine")
	a := trained(t, config(12, 4))
	if _, err := a.SaveVLLM(dir); err != nil {
		t.Fatal(err)
	}
	text := string(readFile(t, filepath.Join(dir, "README.md")))
	for _, part := range []string{
		"exactly 4 tensor-parallel ranks", "4 blocks and rank 16", "    vllm serve tiny --enable-lora --tensor-parallel-size 4 " +
			"--max-lora-rank 16 --block_diagonal_sharded_loras --lora-modules 'it'\\''s mine=",
	} {
		if !strings.Contains(text, part) {
			t.Errorf("want %q in\n%s", part, text)
		}
	}
}

func TestVLLMRefusesWhatItWouldMisread(t *testing.T) {
	for _, tc := range []struct {
		name         string
		model        shape
		blocks, rank int
		want         []string
	}{
		{"one block", tiny, 1, 8, []string{"nblocks: got 1, want at least 2", "any vLLM serves plain LoRA"}},
		{"no rank divides", smol, 3, 6, []string{
			"lora_r: got up to 6 in 3 blocks", "1, 8, 16, 32, 64, 128, 256, 320 or 512", "want another number of blocks, or --format dense"}},
		{"above the largest", tiny, 4, 516, []string{"got up to 516 in 4 blocks", "want 8, 16, 32, 64, 128, 256, 320 or 512"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := bdlora.VLLMRank(mustPlan(t, tc.model.base(), config(tc.rank, tc.blocks)))
			wantError(t, err, tc.want...)
		})
	}
	rank, err := bdlora.VLLMRank(mustPlan(t, shape{20, 5, 40, 2, 5, 5}.base(), config(10, 5)))
	if rank != 320 || err != nil {
		t.Errorf("5 blocks: got rank %d, %v; want 320, the only one that 5 divides", rank, err)
	}
}
