package model_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"bdlora/bdlora"
	"bdlora/data/safetensors"
	"bdlora/kernels"
	"bdlora/kernels/ref"
	"bdlora/model"
)

var quantizedDtypes = []model.BaseDtype{model.BaseInt8, model.BaseNF4}

const baseLayers = 2

// baseFolder is a folder with a model of baseLayers layers in float32.
func baseFolder(t *testing.T) string {
	return folder(t, map[string]string{"config.json": "tied/config.json", "model.safetensors": "tied/model.safetensors"})
}

// loadQuantized also counts the layers that had to be quantised.
func loadQuantized(t *testing.T, dir, cacheDir string, d model.BaseDtype) (m *model.Model, quantized int) {
	t.Helper()
	m = held(t, dir, d)
	progress := func(done, total int) {
		if quantized++; done != quantized || total != baseLayers {
			t.Errorf("progress: got %d of %d, want %d of %d", done, total, quantized, baseLayers)
		}
	}
	if err := m.Quantize(t.Context(), model.QuantizeConfig{CacheDir: cacheDir, Threads: 2, Progress: progress}); err != nil {
		t.Fatal(err)
	}
	return m, quantized
}

// held is a model that is to be held as d.
func held(t *testing.T, dir string, d model.BaseDtype) *model.Model {
	t.Helper()
	m, err := model.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	m.HoldAs(d)
	return m
}

// logitsOf are those of a batch, in float64.
func logitsOf(t *testing.T, m *model.Model) []float32 {
	t.Helper()
	logits, err := model.NewInference(ref.New[float64](), m, nil, 8).Logits(packed(sequence{Tokens: []int32{1, 2, 3, 40, 5}}))
	if err != nil {
		t.Fatal(err)
	}
	return logits
}

func wantLogits(t *testing.T, m *model.Model, want []float32) {
	t.Helper()
	if got := logitsOf(t, m); !slices.Equal(got, want) {
		t.Errorf("logits are %v …, want %v …", got[:3], want[:3])
	}
}

// rewrite changes the numbers of the linears of a model folder.
func rewrite(t *testing.T, dir string, change func(w *kernels.Weight) []float32) {
	t.Helper()
	path := filepath.Join(dir, "model.safetensors")
	file, err := safetensors.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var entries []safetensors.Entry
	for _, tensor := range file.Tensors() {
		numbers, err := tensor.F32()
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(tensor.Name, "_proj.") {
			w := &kernels.Weight{Name: tensor.Name, Rows: tensor.Shape[0], Cols: tensor.Shape[1], F32: numbers}
			numbers = change(w)
		}
		entries = append(entries, safetensors.FromF32(tensor.Name, tensor.Shape, numbers))
	}
	if err := safetensors.Write(path, entries, nil); err != nil {
		t.Fatal(err)
	}
}

// Nothing but the linears is quantised, and these as package kernels does it.
func TestQuantizedModelIsThatOfItsNumbers(t *testing.T) {
	for d, format := range map[model.BaseDtype]kernels.Format{
		model.BaseInt8: kernels.FormatInt8, model.BaseNF4: kernels.FormatNF4,
	} {
		dir := baseFolder(t)
		m, _ := loadQuantized(t, dir, "", d)
		got := logitsOf(t, m)
		rewrite(t, dir, func(w *kernels.Weight) []float32 {
			q, err := w.Quantize(format, 1)
			if err != nil {
				t.Fatal(err)
			}
			numbers := make([]float32, w.Rows*w.Cols)
			q.Decode(numbers, 0)
			return numbers
		})
		decoded, _ := loadQuantized(t, dir, "", model.BaseAuto)
		wantLogits(t, decoded, got)
	}
}

func TestSecondLoadMapsTheCacheOfTheFirst(t *testing.T) {
	for _, d := range quantizedDtypes {
		dir, cache := baseFolder(t), filepath.Join(t.TempDir(), "not", "there")
		inMemory, _ := loadQuantized(t, dir, "", d)
		want := logitsOf(t, inMemory)
		first, quantized := loadQuantized(t, dir, cache, d)
		if quantized != baseLayers {
			t.Errorf("%s: first load quantised %d layers, want %d", d, quantized, baseLayers)
		}
		wantLogits(t, first, want)
		files := readAll(t, cache)
		second, quantized := loadQuantized(t, dir, cache, d)
		if quantized != 0 || !sameFiles(readAll(t, cache), files) {
			t.Errorf("%s: second load quantised %d layers, want none and the same files", d, quantized)
		}
		wantLogits(t, second, want)
	}
}

// readAll are the files below dir, by path.
func readAll(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			files[path], err = os.ReadFile(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func sameFiles(a, b map[string][]byte) bool {
	for path := range a {
		if !bytes.Equal(a[path], b[path]) {
			return false
		}
	}
	return len(a) == len(b)
}

// cacheFiles are the files of the one cache in dir.
func cacheFiles(t *testing.T, dir string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*-*", "*"))
	if err != nil || len(paths) != baseLayers+2 {
		t.Fatalf("cache has files %q, error %v, want %d of layers and two more", paths, err, baseLayers)
	}
	return paths
}

func TestDamagedCacheIsMadeAnew(t *testing.T) {
	damages := map[string]func(text []byte) []byte{
		"a flipped bit": func(text []byte) []byte { text[len(text)/2] ^= 4; return text },
		"cut short":     func(text []byte) []byte { return text[:len(text)-2] },
		"longer":        func(text []byte) []byte { return append(text, 0) },
		"empty":         func([]byte) []byte { return nil },
	}
	dir, cache := baseFolder(t), t.TempDir()
	first, _ := loadQuantized(t, dir, cache, model.BaseNF4)
	want, files := logitsOf(t, first), readAll(t, cache)
	for name, damage := range damages {
		for _, path := range cacheFiles(t, cache) {
			text := damage(slices.Clone(files[path]))
			if err := os.Remove(path); err != nil { // the first load still maps it
				t.Fatal(err)
			}
			if err := os.WriteFile(path, text, 0o666); err != nil {
				t.Fatal(err)
			}
			again, quantized := loadQuantized(t, dir, cache, model.BaseNF4)
			wantLogits(t, again, want)
			if quantized != baseLayers || !sameFiles(readAll(t, cache), files) {
				t.Errorf("%s %s: quantised %d layers, want %d and the first files", filepath.Base(path), name, quantized, baseLayers)
			}
		}
	}
}

func TestMissingFileOfACacheIsMadeAnew(t *testing.T) {
	dir, cache := baseFolder(t), t.TempDir()
	loadQuantized(t, dir, cache, model.BaseInt8)
	for _, path := range cacheFiles(t, cache) {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if _, quantized := loadQuantized(t, dir, cache, model.BaseInt8); quantized != baseLayers {
			t.Errorf("without %s: quantised %d layers, want %d", filepath.Base(path), quantized, baseLayers)
		}
	}
}

// A changed model has the size of the old one, and the time if somebody wants it so.
func TestChangedModelReplacesItsCache(t *testing.T) {
	dir, cache := baseFolder(t), t.TempDir()
	rewrite(t, dir, func(w *kernels.Weight) []float32 { return w.F32 }) // without metadata
	loadQuantized(t, dir, cache, model.BaseNF4)
	path := filepath.Join(dir, "model.safetensors")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	rewrite(t, dir, func(w *kernels.Weight) []float32 {
		numbers := slices.Clone(w.F32)
		numbers[0]++
		return numbers
	})
	if err := os.Chtimes(path, time.Time{}, info.ModTime()); err != nil {
		t.Fatal(err)
	}
	inMemory, _ := loadQuantized(t, dir, "", model.BaseNF4)
	m, quantized := loadQuantized(t, dir, cache, model.BaseNF4)
	if quantized != baseLayers {
		t.Errorf("quantised %d layers of a changed model, want %d", quantized, baseLayers)
	}
	wantLogits(t, m, logitsOf(t, inMemory))
	cacheFiles(t, cache) // one cache, not two
}

func TestModelsAndDtypesHaveCachesOfTheirOwn(t *testing.T) {
	cache := t.TempDir()
	for range 2 { // two folders
		dir := baseFolder(t)
		for _, d := range quantizedDtypes {
			if _, quantized := loadQuantized(t, dir, cache, d); quantized != baseLayers {
				t.Errorf("%s: quantised %d layers, want %d", d, quantized, baseLayers)
			}
		}
	}
	if caches, err := filepath.Glob(filepath.Join(cache, "*-*")); err != nil || len(caches) != 4 {
		t.Errorf("got caches %q, error %v, want 4", caches, err)
	}
}

func TestConcurrentStartsQuantizeOnce(t *testing.T) {
	dir, cache := baseFolder(t), t.TempDir()
	inMemory, _ := loadQuantized(t, dir, "", model.BaseNF4)
	want := logitsOf(t, inMemory)
	var quantized atomic.Int64
	var all sync.WaitGroup
	for range 6 {
		m := held(t, dir, model.BaseNF4)
		all.Go(func() {
			progress := func(int, int) { quantized.Add(1) }
			if err := m.Quantize(t.Context(), model.QuantizeConfig{CacheDir: cache, Progress: progress}); err != nil {
				t.Error(err)
				return
			}
			wantLogits(t, m, want)
		})
	}
	all.Wait()
	if got := quantized.Load(); got != baseLayers {
		t.Errorf("six starts quantised %d layers, want %d", got, baseLayers)
	}
}

func TestStoppedQuantizingLeavesNothing(t *testing.T) {
	dir, cache := baseFolder(t), t.TempDir()
	m := held(t, dir, model.BaseNF4)
	ctx, cancel := context.WithCancel(t.Context())
	err := m.Quantize(ctx, model.QuantizeConfig{CacheDir: cache, Progress: func(int, int) { cancel() }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want context.Canceled", err)
	}
	if files := readAll(t, cache); len(files) != 1 {
		t.Errorf("got %d files, want the lock alone", len(files))
	}
}

// What a killed process has left goes when the next one quantises.
func TestLeftoversOfAKilledQuantizingGo(t *testing.T) {
	dir, cache := baseFolder(t), t.TempDir()
	left := filepath.Join(cache, ".some-model-nf4.partial-ABCDEFGHIJKLMNOPQRSTUVWXYZ")
	if err := os.MkdirAll(left, 0o777); err != nil {
		t.Fatal(err)
	}
	loadQuantized(t, dir, cache, model.BaseNF4)
	if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s: got error %v, want it gone", left, err)
	}
}

func TestCacheThatCannotBeWrittenIsNamed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	m := held(t, baseFolder(t), model.BaseNF4)
	err := m.Quantize(t.Context(), model.QuantizeConfig{CacheDir: filepath.Join(file, "cache")})
	if err == nil || !strings.Contains(err.Error(), "cache_dir") || !strings.Contains(err.Error(), file) {
		t.Errorf("got error %v, want one that names cache_dir and %s", err, file)
	}
}

func TestWeightsThatAreNoNumbersAreNamed(t *testing.T) {
	dir := baseFolder(t)
	rewrite(t, dir, func(w *kernels.Weight) []float32 {
		numbers := slices.Clone(w.F32)
		if strings.Contains(w.Name, "layers.1.mlp.up_proj") {
			numbers[70] /= 0
		}
		return numbers
	})
	m := held(t, dir, model.BaseNF4)
	for _, cache := range []string{"", t.TempDir()} {
		err := m.Quantize(t.Context(), model.QuantizeConfig{CacheDir: cache})
		if err == nil || !strings.Contains(err.Error(), "model.layers.1.mlp.up_proj.weight") {
			t.Errorf("got error %v, want one that names the weight", err)
		}
	}
}

func TestWeightBytesAreThoseOfTheCache(t *testing.T) {
	dir, cache := baseFolder(t), t.TempDir()
	plain, _ := loadQuantized(t, dir, "", model.BaseAuto)
	linears := int64(0)
	for _, lin := range plain.Base().Linears {
		linears += 4 * int64(baseLayers*lin.Out*lin.In)
	}
	for _, d := range quantizedDtypes {
		m, _ := loadQuantized(t, dir, cache, d)
		want := plain.WeightBytes() - linears + readBytes(t, filepath.Join(cache, "*-"+string(d), "*.safetensors"))
		if got := m.WeightBytes(); got != want {
			t.Errorf("%s: got %d bytes, want %d", d, got, want)
		}
	}
}

// readBytes are the bytes of all that is read of quantised weights; the offset of nf4
// is in a text.
func readBytes(t *testing.T, pattern string) int64 {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	size := int64(0)
	for _, path := range paths {
		file, err := safetensors.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		for _, tensor := range file.Tensors() {
			switch {
			case strings.HasSuffix(tensor.Name, "quant_map"):
			case strings.Contains(tensor.Name, "quant_state"):
				size += 4
			default:
				size += int64(len(tensor.Bytes()))
			}
		}
	}
	return size
}

func TestParseBaseDtype(t *testing.T) {
	for name, want := range map[string]model.BaseDtype{
		"": model.BaseAuto, "auto": model.BaseAuto, "int8": model.BaseInt8, "nf4": model.BaseNF4,
	} {
		if got, err := model.ParseBaseDtype(name); err != nil || got != want {
			t.Errorf("%q: got %q and error %v, want %q", name, got, err, want)
		}
	}
	if _, err := model.ParseBaseDtype("fp4"); err == nil || !strings.Contains(err.Error(), `"fp4"`) {
		t.Errorf("got error %v, want one that names fp4", err)
	}
}

// An adapter's gradients flow through quantised weights as through any others.
func TestGradientsThroughQuantizedWeightsAreCentralDifferences(t *testing.T) {
	for _, d := range quantizedDtypes {
		t.Run(string(d), func(t *testing.T) {
			be, m := ref.New[float64](), model.NewRandom(&tiny, 5)
			m.HoldAs(d)
			if err := m.Quantize(t.Context(), model.QuantizeConfig{}); err != nil {
				t.Fatal(err)
			}
			cfg := bdlora.DefaultConfig()
			cfg.Rank, cfg.Blocks = 4, 2
			tr := trainable(t, be, &tiny, m, cfg)
			g, err := model.NewGraph(be, m, tr, model.GraphConfig{Tokens: 16})
			if err != nil {
				t.Fatal(err)
			}
			defer g.Close()
			checkDifferences(t, g, tr)
		})
	}
}
