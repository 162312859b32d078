package bdlora_test

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"bdlora/bdlora"
	"bdlora/data/safetensors"
	"bdlora/kernels"
	"bdlora/kernels/ref"
)

// f32 merges in float32.
var f32 = ref.New[float32]()

func mergeGolden(t *testing.T, a *bdlora.Adapter) (dir string, report bdlora.Merged) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "merged")
	report, err := bdlora.SaveMerged(f32, dir, golden("model"), a)
	if err != nil {
		t.Fatal(err)
	}
	return dir, report
}

func openFile(t *testing.T, path string) *safetensors.File {
	t.Helper()
	file, err := safetensors.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return file
}

func values(t *testing.T, file *safetensors.File, name string) []float32 {
	t.Helper()
	tensor, ok := file.Tensor(name)
	if !ok {
		t.Fatalf("%s is missing", name)
	}
	v, err := tensor.F32()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// Changes are up to 100, so that an ulp of float32 is up to 8e-6; PEFT sums B·A in
// another order, and rounds twice more.
func TestMergedWeightsAreThoseOfPEFT(t *testing.T) {
	for name := range goldenAdapters {
		t.Run(name, func(t *testing.T) {
			a := load(t, name)
			dir, report := mergeGolden(t, a)
			got := openFile(t, filepath.Join(dir, "model.safetensors"))
			want := openFile(t, golden(name, "merged.safetensors"))
			var largest float64
			for _, tensor := range want.Tensors() {
				g, w := values(t, got, tensor.Name), values(t, want, tensor.Name)
				for i := range w {
					d := math.Abs(float64(g[i] - w[i]))
					if !(d <= 1e-5) {
						t.Fatalf("%s: element %d is %g, want %g", tensor.Name, i, g[i], w[i])
					}
					largest = max(largest, d)
				}
			}
			if report.Modules != len(a.Plan.Modules) || report.MaxRounding != 0 || report.MaxDelta == 0 {
				t.Errorf("got %+v, want %d modules, changes, no rounding", report, len(a.Plan.Modules))
			}
			t.Logf("largest difference %.2g", largest)
		})
	}
}

// s·Σ_k B[o,k]·A[k,j] over the dense factors.
func TestMergedIsBasePlusScaledProduct(t *testing.T) {
	for _, n := range []int{1, 2, 4} {
		a := trained(t, config(8, n))
		for _, m := range a.Plan.Modules {
			row := m.Linear.Parallel == bdlora.RowParallel
			denseA, denseB := denseFactor(a, m.A, row, true), denseFactor(a, m.B, !row, false)
			w := kernels.F64(make([]float64, m.Linear.Out*m.Linear.In))
			for i := range w {
				w[i] = float64(i)
			}
			a.Merge(ref.New[float64](), kernels.NewMatrix(w, m.Linear.Out, m.Linear.In), m)
			for i := range w {
				out, in := i/m.Linear.In, i%m.Linear.In
				sum := 0.0
				for k := range m.Rank {
					sum += float64(denseB[out][k]) * float64(denseA[k][in])
				}
				if want := float64(i) + m.Scaling*sum; math.Abs(w[i]-want) > 1e-11 {
					t.Fatalf("n=%d: %s: element %d is %g, want %g", n, m.Path(), i, w[i], want)
				}
			}
		}
	}
}

func TestMergeLeavesOtherTensorsAndFilesAlone(t *testing.T) {
	src := t.TempDir()
	if err := os.CopyFS(src, os.DirFS(golden("model"))); err != nil {
		t.Fatal(err)
	}
	kept := []string{"tokenizer.json", "chat_template.jinja", "LICENSE", "tokenizer.model"}
	dropped := []string{"README.md", "pytorch_model.bin", "model.gguf", ".hidden.json", "pytorch_model.bin.index.json",
		"consolidated.safetensors", "adapter_config.json", "model.safetensors.index.json"}
	for _, name := range slices.Concat(kept, dropped) {
		writeFile(t, filepath.Join(src, name), []byte(name))
	}
	if err := os.Mkdir(filepath.Join(src, "original"), 0o777); err != nil {
		t.Fatal(err)
	}
	dst := filepath.Join(t.TempDir(), "new", "merged")
	if _, err := bdlora.SaveMerged(f32, dst, src, trained(t, config(8, 2))); err != nil {
		t.Fatal(err)
	}
	want := slices.Sorted(slices.Values(append(kept, "config.json", "model.safetensors")))
	if got := names(t, dst); !slices.Equal(got, want) {
		t.Errorf("got files %q, want %q", got, want)
	}
	for _, name := range append(kept, "config.json") {
		wantSameFile(t, filepath.Join(dst, name), filepath.Join(src, name))
	}
	before := openFile(t, golden("model", "model.safetensors"))
	after := openFile(t, filepath.Join(dst, "model.safetensors"))
	others := []string{"model.embed_tokens.weight", "model.norm.weight", "model.layers.1.input_layernorm.weight"}
	for _, name := range others {
		if !slices.Equal(values(t, after, name), values(t, before, name)) {
			t.Errorf("%s changed", name)
		}
	}
	if got, want := len(after.Tensors()), len(before.Tensors()); got != want {
		t.Errorf("got %d tensors, want %d", got, want)
	}
}

func TestMergeOfAnUntrainedAdapterIsTheModelByteForByte(t *testing.T) {
	a := bdlora.New(mustPlan(t, tiny.base(), config(8, 4)), 1)
	dir, report := mergeGolden(t, a)
	wantSameFile(t, filepath.Join(dir, "model.safetensors"), golden("model", "model.safetensors"))
	if report.MaxDelta != 0 {
		t.Errorf("got a change of %g, want none", report.MaxDelta)
	}
}

// split writes the tiny model as two files with an index, in a 16-bit dtype.
func split(t *testing.T, dtype safetensors.Dtype, encode func(float32) uint16) string {
	t.Helper()
	dir := t.TempDir()
	model := openFile(t, golden("model", "model.safetensors"))
	files := []string{"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"}
	entries := make([][]safetensors.Entry, 2)
	index := `{"weight_map": {`
	for k, tensor := range model.Tensors() {
		bits := make([]uint16, tensor.Elements())
		for i, v := range values(t, model, tensor.Name) {
			bits[i] = encode(v)
		}
		entries[k%2] = append(entries[k%2], safetensors.FromU16(tensor.Name, dtype, tensor.Shape, bits))
		if k > 0 {
			index += ", "
		}
		index += `"` + tensor.Name + `": "` + files[k%2] + `"`
	}
	for k, name := range files {
		if err := safetensors.Write(filepath.Join(dir, name), entries[k], map[string]string{"format": "pt"}); err != nil {
			t.Fatal(err)
		}
	}
	writeFile(t, filepath.Join(dir, "model.safetensors.index.json"), []byte(index+"}}"))
	return dir
}

func TestMergeKeepsFilesAndDtypesAndReportsRounding(t *testing.T) {
	for _, tc := range []struct {
		dtype  safetensors.Dtype
		encode func(float32) uint16
		decode func(uint16) float32
	}{
		{safetensors.BF16, kernels.Float32ToBF16, kernels.BF16ToFloat32},
		{safetensors.F16, kernels.Float32ToF16, kernels.F16ToFloat32},
	} {
		t.Run(string(tc.dtype), func(t *testing.T) {
			src, dst := split(t, tc.dtype, tc.encode), filepath.Join(t.TempDir(), "merged")
			a := load(t, "bd4")
			report, err := bdlora.SaveMerged(f32, dst, src, a)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := names(t, dst), names(t, src); !slices.Equal(got, want) {
				t.Errorf("got files %q, want %q", got, want)
			}
			wantRounding := roundingOf(t, src, dst, a, tc.decode)
			if math.Abs(report.MaxRounding-wantRounding) > 1e-5 || report.RoundedTensor == "" {
				t.Errorf("got %+v, want a rounding of %g", report, wantRounding)
			}
		})
	}
}

// roundingOf is the largest distance of dst's weights from src's plus the adapter's
// s·B·A, in float64.
func roundingOf(t *testing.T, src, dst string, a *bdlora.Adapter, decode func(uint16) float32) float64 {
	t.Helper()
	before, err := safetensors.OpenModel(src)
	if err != nil {
		t.Fatal(err)
	}
	defer before.Close()
	after, err := safetensors.OpenModel(dst)
	if err != nil {
		t.Fatal(err)
	}
	defer after.Close()
	largest := 0.0
	for _, m := range a.Plan.Modules {
		was, is := bits16(t, before, m.Path()), bits16(t, after, m.Path())
		w := kernels.F64(make([]float64, len(was)))
		for i, b := range was {
			w[i] = float64(decode(b))
		}
		a.Merge(ref.New[float64](), kernels.NewMatrix(w, m.Linear.Out, m.Linear.In), m)
		for i, b := range is {
			largest = max(largest, math.Abs(float64(decode(b))-w[i]))
		}
	}
	return largest
}

func bits16(t *testing.T, model *safetensors.Model, path string) []uint16 {
	t.Helper()
	tensor, ok := model.Tensor(path + ".weight")
	if !ok {
		t.Fatalf("%s is missing", path)
	}
	b, err := tensor.U16()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestMergeRefuses(t *testing.T) {
	a := trained(t, config(8, 2))
	full := t.TempDir()
	writeFile(t, filepath.Join(full, "precious.txt"), nil)
	_, err := bdlora.SaveMerged(f32, full, golden("model"), a)
	wantError(t, err, full, "want a new or empty folder")
	if got := names(t, full); !slices.Equal(got, []string{"precious.txt"}) {
		t.Errorf("got files %q, want the folder untouched", got)
	}

	dst := filepath.Join(t.TempDir(), "merged")
	_, err = bdlora.SaveMerged(f32, dst, t.TempDir(), a)
	wantError(t, err, "no model.safetensors")

	other := bdlora.New(mustPlan(t, shape{16, 8, 28, 2, 8, 4}.base(), config(8, 4)), 1)
	_, err = bdlora.SaveMerged(f32, dst, golden("model"), other)
	wantError(t, err, "gate_proj.weight", "shape is [24 16], want [28 16]")

	deeper := bdlora.New(mustPlan(t, shape{16, 8, 24, 3, 8, 4}.base(), config(8, 4)), 1)
	_, err = bdlora.SaveMerged(f32, dst, golden("model"), deeper)
	wantError(t, err, `"model.layers.2.self_attn.q_proj.weight" is missing`)

	large := trained(t, config(8, 2))
	large.Shards[0][0] = 1e9
	_, err = bdlora.SaveMerged(f32, dst, split(t, safetensors.F16, kernels.Float32ToF16), large)
	wantError(t, err, "q_proj.weight", "which F16 cannot hold")
	if _, err := os.Stat(dst); err == nil {
		t.Errorf("%s is there after errors, want it absent", dst)
	}
}
