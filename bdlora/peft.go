package bdlora

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"bdlora/data/durable"
	"bdlora/data/safetensors"
)

// File names of PEFT.
const (
	PEFTConfigName  = "adapter_config.json"
	peftWeightsName = "adapter_model.safetensors"
)

// SavePEFT writes the adapter into the folder dir, which it makes if need be, as
// PEFT does: adapter_config.json and adapter_model.safetensors, in float32. Block-
// diagonal factors are packed, their blocks one below the other, so the shapes are
//
//	          lora_A      lora_B
//	column  [r, in]     [out, r/N]
//	row     [r, in/N]   [out, r]
//
// PEFT reads it from version 0.19 on. Servers that do not know block-diagonal
// adapters take it without complaint and answer wrongly: use [Adapter.SaveDense] for
// them. With N = 1 both write the same.
func (a *Adapter) SavePEFT(dir string) error {
	return a.savePEFT(dir, newPEFTConfig(a.Plan, false), packedA, packedB)
}

// SaveDense writes the adapter into the folder dir as plain LoRA of the same rank,
// with the zeros around the blocks filled in: lora_A [r, in], lora_B [out, r]. It
// computes the same function in anything that knows LoRA.
func (a *Adapter) SaveDense(dir string) error {
	return a.savePEFT(dir, newPEFTConfig(a.Plan, true), denseA, denseB)
}

func (a *Adapter) savePEFT(dir string, c peftConfig, layoutA, layoutB func(Module) layout) error {
	if err := a.checkWhole(); err != nil {
		return err
	}
	text, err := c.encode()
	if err != nil {
		return err
	}
	var entries []safetensors.Entry
	for _, m := range a.Plan.Modules {
		nameA, nameB := peftNames(m)
		entries = append(entries, a.entry(nameA, layoutA(m), m.A), a.entry(nameB, layoutB(m), m.B))
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	path := filepath.Join(dir, peftWeightsName)
	if err := safetensors.Write(path, entries, map[string]string{"format": "pt"}); err != nil {
		return err
	}
	return durable.WriteBytes(filepath.Join(dir, PEFTConfigName), text)
}

// entry is a whole factor, which is gathered only when it is written.
func (a *Adapter) entry(name string, l layout, f Factor) safetensors.Entry {
	shape := []int{l.rows, l.cols}
	return safetensors.Entry{Name: name, Dtype: safetensors.F32, Shape: shape, Data: func(w io.Writer) error {
		return safetensors.FromF32(name, shape, l.gather(f, a.Shards)).Data(w)
	}}
}

// peftNames is what PEFT calls the factors of a module.
func peftNames(m Module) (a, b string) {
	prefix := "base_model.model." + m.Path()
	return prefix + ".lora_A.weight", prefix + ".lora_B.weight"
}

// LoadPEFT reads an adapter for base from a folder that PEFT or [Adapter.SavePEFT]
// wrote: plain or block-diagonal LoRA in float32, bfloat16 or float16, all of whose
// linears are the base's. A block-diagonal A whose blocks lie side by side,
// [r/N, in], as the first servers had it, is told by its shape.
//
// What changes the maths beyond s·B·A (DoRA, biases, whole modules, initialisers
// that rewrite the base) is refused by its key, and so are blocks in the factor
// that tensor parallelism does not cut, and tensors too many or too few.
func LoadPEFT(dir string, base Base) (*Adapter, error) {
	path := filepath.Join(dir, PEFTConfigName)
	config, err := readPEFTConfig(path)
	if err != nil {
		return nil, err
	}
	plan, err := config.plan(base)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	path = filepath.Join(dir, peftWeightsName)
	file, err := safetensors.Open(path)
	if errors.Is(err, fs.ErrNotExist) && fileExists(filepath.Join(dir, "adapter_model.bin")) {
		return nil, fmt.Errorf("%w; adapter_model.bin is a pickle: save it as safetensors in PEFT", err)
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	sources, err := peftSources(file, plan)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	a := newAdapter(plan) // only now that the file is known to have as many numbers
	for _, source := range sources {
		if err := source.read(a); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	return a, nil
}

// peftSource is the tensor that holds a whole factor, and how its shards lie in it.
type peftSource struct {
	tensor *safetensors.Tensor
	layout layout
	factor Factor
}

// peftSources finds the tensors of all factors of the plan. A tensor too few or too
// many is an error, and so is one of another shape.
func peftSources(file *safetensors.File, plan *Plan) ([]peftSource, error) {
	var sources []peftSource
	used := make(map[string]bool)
	find := func(name string, f Factor, layouts ...layout) error {
		source, err := findSource(file, name, f, layouts)
		sources, used[name] = append(sources, source), true
		return err
	}
	for _, m := range plan.Modules {
		nameA, nameB := peftNames(m)
		layoutsA := []layout{packedA(m)}
		if m.Linear.Parallel == RowParallel {
			layoutsA = append(layoutsA, sideBySideA(m))
		}
		if err := errors.Join(find(nameA, m.A, layoutsA...), find(nameB, m.B, packedB(m))); err != nil {
			return nil, err
		}
	}
	for _, t := range file.Tensors() {
		if !used[t.Name] {
			return nil, fmt.Errorf("tensor %q belongs to none of the %d linears that %s selects; got %d tensors, want %d",
				t.Name, len(plan.Modules), PEFTConfigName, len(file.Tensors()), len(used))
		}
	}
	return sources, nil
}

// findSource finds a tensor that has one of the layouts' shapes.
func findSource(file *safetensors.File, name string, f Factor, layouts []layout) (peftSource, error) {
	t, ok := file.Tensor(name)
	if !ok {
		return peftSource{}, fmt.Errorf("tensor %q is missing", name)
	}
	for _, l := range layouts {
		if slices.Equal(t.Shape, []int{l.rows, l.cols}) {
			return peftSource{t, l, f}, nil
		}
	}
	want := layouts[0]
	return peftSource{}, fmt.Errorf("tensor %q: shape is %v, want [%d %d]", name, t.Shape, want.rows, want.cols)
}

// read copies the numbers into the adapter's shards.
func (s peftSource) read(a *Adapter) error {
	values, err := floats(s.tensor)
	if err != nil {
		return err
	}
	s.layout.scatter(s.factor, a.Shards, values)
	return nil
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
