package bdlora_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bdlora/bdlora"
	"bdlora/data/safetensors"
	"bdlora/kernels"
	"bdlora/kernels/ref"
)

var exportDir = flag.String("export", "", "also write what testdata/check_peft.py checks into this folder")

// goldenAdapters are those that PEFT made, with their blocks.
var goldenAdapters = map[string]int{"plain": 1, "bd2": 2, "bd4": 4, "patterns": 2, "layers": 1}

const weightsName, configName = "adapter_model.safetensors", "adapter_config.json"

func load(t *testing.T, name string) *bdlora.Adapter {
	t.Helper()
	a, err := bdlora.LoadPEFT(golden(name), tiny.base())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// Key names, shapes, order and metadata are PEFT's, since all bytes are.
func TestPEFTFileComesBackByteForByte(t *testing.T) {
	for _, name := range []string{"plain", "bd2", "bd4", "layers"} { // "patterns" is in bfloat16
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := load(t, name).SavePEFT(dir); err != nil {
				t.Fatal(err)
			}
			wantSameFile(t, filepath.Join(dir, weightsName), golden(name, weightsName))
		})
	}
}

func TestPEFTConfigComesBack(t *testing.T) {
	for name, blocks := range goldenAdapters {
		t.Run(name, func(t *testing.T) {
			a, dir := load(t, name), t.TempDir()
			if err := a.SavePEFT(dir); err != nil {
				t.Fatal(err)
			}
			var got, want map[string]any
			readJSON(t, filepath.Join(dir, configName), &got)
			readJSON(t, golden(name, configName), &want)
			for _, key := range []string{"r", "lora_alpha", "lora_dropout", "use_rslora", "bias", "peft_type", "task_type"} {
				if got[key] != want[key] {
					t.Errorf("%s: got %v, want %v", key, got[key], want[key])
				}
			}
			for key := range got {
				if _, ok := want[key]; !ok {
					t.Errorf("%s: PEFT does not write that key", key)
				}
			}
			again, err := bdlora.LoadPEFT(dir, tiny.base())
			if err != nil {
				t.Fatal(err)
			}
			wantSame(t, again, a)
			if again.Plan.Shards() != blocks {
				t.Errorf("got %d blocks, want %d", again.Plan.Shards(), blocks)
			}
		})
	}
}

func readJSON(t *testing.T, path string, into any) {
	t.Helper()
	if err := json.Unmarshal(readFile(t, path), into); err != nil {
		t.Fatal(err)
	}
}

func TestExportThenImportIsTheIdentity(t *testing.T) {
	for _, n := range []int{1, 2, 4} {
		c := config(8, n)
		c.Dropout, c.Alpha, c.RSLoRA = 0.25, 22.5, n == 2
		want, first, second := trained(t, c), t.TempDir(), t.TempDir()
		if err := want.SavePEFT(first); err != nil {
			t.Fatal(err)
		}
		got, err := bdlora.LoadPEFT(first, tiny.base())
		if err != nil {
			t.Fatal(err)
		}
		wantSame(t, got, want)
		if err := got.SavePEFT(second); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{weightsName, configName} {
			wantSameFile(t, filepath.Join(second, name), filepath.Join(first, name))
		}
	}
}

func TestOneBlockIsLoRAInFile(t *testing.T) {
	a, packed, dense := trained(t, config(8, 1)), t.TempDir(), t.TempDir()
	if err := a.SavePEFT(packed); err != nil {
		t.Fatal(err)
	}
	if err := a.SaveDense(dense); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{weightsName, configName} {
		wantSameFile(t, filepath.Join(packed, name), filepath.Join(dense, name))
	}
	if text := string(readFile(t, filepath.Join(packed, configName))); strings.Contains(text, "bdlora") {
		t.Errorf("got a configuration with blocks, want plain LoRA:\n%s", text)
	}
}

// denseFactor is a factor as testdata/*/merged.safetensors implies it: the blocks on
// the diagonal if diagonal, side by side along the rank if not.
func denseFactor(a *bdlora.Adapter, f bdlora.Factor, diagonal, rankInRows bool) [][]float32 {
	n := len(a.Shards)
	rows, cols := f.Rows, f.Cols
	if diagonal || rankInRows {
		rows *= n
	}
	if diagonal || !rankInRows {
		cols *= n
	}
	whole := make([][]float32, rows)
	for row := range whole {
		whole[row] = make([]float32, cols)
	}
	for i, shard := range a.Shards {
		for k, v := range f.Of(shard) {
			row, col := k/f.Cols, k%f.Cols
			if diagonal || rankInRows {
				row += i * f.Rows
			}
			if diagonal || !rankInRows {
				col += i * f.Cols
			}
			whole[row][col] = v
		}
	}
	return whole
}

func TestDenseIsPackedWithZeros(t *testing.T) {
	for _, n := range []int{1, 2, 4} {
		a, dir := trained(t, config(8, n)), t.TempDir()
		if err := a.SaveDense(dir); err != nil {
			t.Fatal(err)
		}
		file, err := safetensors.Open(filepath.Join(dir, weightsName))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		for _, m := range a.Plan.Modules {
			row := m.Linear.Parallel == bdlora.RowParallel
			wantTensor(t, file, "base_model.model."+m.Path()+".lora_A.weight", denseFactor(a, m.A, row, true))
			wantTensor(t, file, "base_model.model."+m.Path()+".lora_B.weight", denseFactor(a, m.B, !row, false))
		}
	}
}

func wantTensor(t *testing.T, file *safetensors.File, name string, want [][]float32) {
	t.Helper()
	tensor, ok := file.Tensor(name)
	if !ok {
		t.Fatalf("%s is missing", name)
	}
	got, err := tensor.F32()
	if err != nil {
		t.Fatal(err)
	}
	if shape := []int{len(want), len(want[0])}; !slices.Equal(tensor.Shape, shape) {
		t.Errorf("%s: got shape %v, want %v", name, tensor.Shape, shape)
	}
	if !slices.Equal(got, slices.Concat(want...)) {
		t.Errorf("%s: got %v, want %v", name, got, want)
	}
}

func TestDenseLoadsAsPlainLoRAOfTheSameRank(t *testing.T) {
	a, dir := trained(t, config(8, 4)), t.TempDir()
	if err := a.SaveDense(dir); err != nil {
		t.Fatal(err)
	}
	dense, err := bdlora.LoadPEFT(dir, tiny.base())
	if err != nil {
		t.Fatal(err)
	}
	got, want := dense.Plan.Modules[0], a.Plan.Modules[0]
	if dense.Plan.Shards() != 1 || got.Rank != 8 || got.Scaling != want.Scaling {
		t.Errorf("got %v with scaling %g, want rank 8 in 1 block with %g", dense.Plan, got.Scaling, want.Scaling)
	}
}

// The first servers laid the blocks of a row-parallel A side by side.
func TestBlocksOfASideBySideAreToldByTheirShape(t *testing.T) {
	a, dir := trained(t, config(8, 4)), t.TempDir()
	if err := a.SavePEFT(dir); err != nil {
		t.Fatal(err)
	}
	rewrite(t, dir, func(e *safetensors.Entry, values []float32) []float32 {
		if !strings.HasSuffix(e.Name, "o_proj.lora_A.weight") && !strings.HasSuffix(e.Name, "down_proj.lora_A.weight") {
			return values
		}
		rows, cols := e.Shape[0]/4, e.Shape[1]
		e.Shape = []int{rows, 4 * cols}
		moved := make([]float32, len(values))
		for k, v := range values {
			block, row, col := k/(rows*cols), k/cols%rows, k%cols
			moved[row*4*cols+block*cols+col] = v
		}
		return moved
	})
	got, err := bdlora.LoadPEFT(dir, tiny.base())
	if err != nil {
		t.Fatal(err)
	}
	wantSame(t, got, a)
}

// rewrite passes each tensor of an adapter's file through change, which may rename
// and reshape it.
func rewrite(t *testing.T, dir string, change func(e *safetensors.Entry, values []float32) []float32) {
	t.Helper()
	path := filepath.Join(dir, weightsName)
	file, err := safetensors.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	var entries []safetensors.Entry
	for _, tensor := range file.Tensors() {
		values, err := tensor.F32()
		if err != nil {
			t.Fatal(err)
		}
		e := safetensors.Entry{Name: tensor.Name, Shape: tensor.Shape}
		values = change(&e, slices.Clone(values))
		if values != nil {
			entries = append(entries, safetensors.FromF32(e.Name, e.Shape, values))
		}
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	if err := safetensors.Write(path, entries, nil); err != nil {
		t.Fatal(err)
	}
}

func TestHalfPrecisionLoadsExactly(t *testing.T) {
	for _, dtype := range []safetensors.Dtype{safetensors.BF16, safetensors.F16} {
		a, dir := trained(t, config(4, 2)), t.TempDir()
		encode, decode := kernels.Float32ToBF16, kernels.BF16ToFloat32
		if dtype == safetensors.F16 {
			encode, decode = kernels.Float32ToF16, kernels.F16ToFloat32
		}
		for _, shard := range a.Shards {
			for k, v := range shard {
				shard[k] = decode(encode(v))
			}
		}
		if err := a.SavePEFT(dir); err != nil {
			t.Fatal(err)
		}
		var entries []safetensors.Entry
		rewrite(t, dir, func(e *safetensors.Entry, values []float32) []float32 {
			bits := make([]uint16, len(values))
			for k, v := range values {
				bits[k] = encode(v)
			}
			entries = append(entries, safetensors.FromU16(e.Name, dtype, e.Shape, bits))
			return values
		})
		if err := safetensors.Write(filepath.Join(dir, weightsName), entries, nil); err != nil {
			t.Fatal(err)
		}
		got, err := bdlora.LoadPEFT(dir, tiny.base())
		if err != nil {
			t.Fatal(err)
		}
		wantSame(t, got, a)
	}
}

func TestLoadPEFTRefusesOtherTensors(t *testing.T) {
	const q = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
	for _, tc := range []struct {
		name   string
		change func(e *safetensors.Entry, values []float32) []float32
		want   []string
	}{
		{"missing", func(e *safetensors.Entry, values []float32) []float32 {
			if e.Name == q {
				return nil
			}
			return values
		}, []string{q, "missing"}},
		{"renamed", func(e *safetensors.Entry, values []float32) []float32 {
			e.Name = strings.Replace(e.Name, "layers.0.self_attn.q_proj.lora_A", "layers.7.self_attn.q_proj.lora_A", 1)
			return values
		}, []string{q, "missing"}},
		{"wrong shape", func(e *safetensors.Entry, values []float32) []float32 {
			if e.Name == q {
				e.Shape = []int{e.Shape[1], e.Shape[0]}
			}
			return values
		}, []string{q, "shape is [16 8], want [8 16]"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := trained(t, config(8, 2)).SavePEFT(dir); err != nil {
				t.Fatal(err)
			}
			rewrite(t, dir, tc.change)
			_, err := bdlora.LoadPEFT(dir, tiny.base())
			wantError(t, err, append(tc.want, weightsName)...)
		})
	}
}

func TestLoadPEFTRefusesTensorsOfNoModule(t *testing.T) {
	dir := t.TempDir()
	if err := trained(t, config(8, 2)).SavePEFT(dir); err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(readFile(t, filepath.Join(dir, configName))), `"k_proj",`, "", 1)
	writeFile(t, filepath.Join(dir, configName), []byte(text))
	_, err := bdlora.LoadPEFT(dir, tiny.base())
	wantError(t, err, "k_proj.lora_A.weight", "belongs to none of the 12 linears", "got 28 tensors, want 24")
}

func TestLoadPEFTRefusesPickles(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, configName), readFile(t, golden("plain", configName)))
	writeFile(t, filepath.Join(dir, "adapter_model.bin"), nil)
	_, err := bdlora.LoadPEFT(dir, tiny.base())
	wantError(t, err, "adapter_model.bin is a pickle")
}

func TestLoadPEFTRefusesAnotherModel(t *testing.T) {
	_, err := bdlora.LoadPEFT(golden("plain"), shape{32, 16, 24, 2, 8, 4}.base())
	wantError(t, err, "shape is [8 16], want [8 32]")
	_, err = bdlora.LoadPEFT(golden("bd2"), shape{16, 8, 24, 2, 9, 3}.base())
	wantError(t, err, configName, "nblocks: 2 does not divide 9 heads, 3 key-value heads")
}

// TestExports writes what testdata/check_peft.py loads into PEFT and transformers.
func TestExports(t *testing.T) {
	root := *exportDir
	if root == "" {
		root = t.TempDir()
	}
	for name := range goldenAdapters {
		a, dir := load(t, name), filepath.Join(root, name)
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		if err := a.SavePEFT(filepath.Join(dir, "peft")); err != nil {
			t.Fatal(err)
		}
		if err := a.SaveDense(filepath.Join(dir, "dense")); err != nil {
			t.Fatal(err)
		}
		exportConverted(t, a, dir)
		merged, err := bdlora.SaveMerged(ref.New[float32](), filepath.Join(dir, "merged"), golden("model"), a)
		if err != nil || merged.Modules != len(a.Plan.Modules) {
			t.Errorf("%s: got %d linears merged, %v; want %d", name, merged.Modules, err, len(a.Plan.Modules))
		}
	}
}

// exportConverted writes an adapter cut into other blocks, and as vLLM has it.
func exportConverted(t *testing.T, a *bdlora.Adapter, dir string) {
	t.Helper()
	blocks := 4
	if a.Plan.Shards() == 4 {
		blocks = 2
	}
	recut, _, err := bdlora.Convert(a, blocks, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := recut.SavePEFT(filepath.Join(dir, "recut")); err != nil {
		t.Fatal(err)
	}
	if a.Plan.Shards() == 1 {
		return
	}
	if _, err := a.SaveVLLM(filepath.Join(dir, "vllm")); err != nil {
		t.Fatal(err)
	}
}
