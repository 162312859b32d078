package bdlora

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"bdlora/data/durable"
	"bdlora/data/safetensors"
	"bdlora/kernels"
)

// File names of a Hugging Face model.
const (
	modelWeightsName = "model.safetensors"
	modelIndexName   = "model.safetensors.index.json"
)

// SaveMerged writes the model folder src with the adapter merged into its weights as
// the new folder dst: the same files of weights with the same tensors in the same
// dtypes, and src's configuration, tokenizer and licence. Each weight is summed in
// float32 and rounded once.
//
// One tensor at a time is in memory. dst must be absent or empty; it is whole or
// not changed. It is an error if src lacks the weight of an adapted linear, has it
// in another shape or in a dtype other than F32, BF16 and F16, or if a sum is
// beyond its dtype.
func SaveMerged(b kernels.Backend, dst, src string, a *Adapter) (Merged, error) {
	if entries, err := os.ReadDir(dst); err == nil && len(entries) > 0 {
		return Merged{}, fmt.Errorf("bdlora: merge: %s has %d files, want a new or empty folder", dst, len(entries))
	}
	names, err := modelFiles(src)
	if err != nil {
		return Merged{}, err
	}
	if err := checkWeights(src, a.Plan); err != nil {
		return Merged{}, fmt.Errorf("%s: %w", src, err)
	}
	if err := os.MkdirAll(filepath.Dir(dst), 0o777); err != nil {
		return Merged{}, err
	}
	g := newMerger(b, a)
	err = durable.Dir(dst, func(tmp string) error {
		for _, name := range names {
			if err := g.file(filepath.Join(tmp, name), filepath.Join(src, name)); err != nil {
				return err
			}
		}
		return copyBesides(tmp, src, len(names) > 1 || names[0] != modelWeightsName)
	})
	return g.report, err
}

// file writes one file of weights, merged.
func (g *merger) file(dst, src string) error {
	file, err := safetensors.Open(src)
	if err != nil {
		return err
	}
	defer file.Close()
	var entries []safetensors.Entry
	for _, t := range file.Tensors() {
		entries = append(entries, g.entry(t))
	}
	return safetensors.Write(dst, entries, file.Metadata())
}

// modelFiles lists the files of weights of a model folder: model.safetensors, or
// those of its index.
func modelFiles(dir string) ([]string, error) {
	if fileExists(filepath.Join(dir, modelWeightsName)) {
		return []string{modelWeightsName}, nil
	}
	path := filepath.Join(dir, modelIndexName)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", dir, safetensors.ErrNoWeights)
	}
	if err != nil {
		return nil, err
	}
	var index struct {
		WeightMap map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(text, &index); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return slices.Compact(slices.Sorted(maps.Values(index.WeightMap))), nil
}

// checkWeights reports a linear whose weight the model lacks or has in another
// shape or dtype.
func checkWeights(dir string, plan *Plan) error {
	model, err := safetensors.OpenModel(dir)
	if err != nil {
		return err
	}
	defer model.Close()
	for _, m := range plan.Modules {
		name := m.Path() + ".weight"
		t, ok := model.Tensor(name)
		if !ok {
			return fmt.Errorf("tensor %q is missing", name)
		}
		if want := []int{m.Linear.Out, m.Linear.In}; !slices.Equal(t.Shape, want) {
			return fmt.Errorf("tensor %q: shape is %v, want %v", name, t.Shape, want)
		}
		if t.Dtype != safetensors.F32 && t.Dtype != safetensors.BF16 && t.Dtype != safetensors.F16 {
			return fmt.Errorf("tensor %q: dtype is %s, want F32, BF16 or F16", name, t.Dtype)
		}
	}
	return nil
}

// copyBesides copies what belongs to a model besides its weights, and the index of
// these if there is one in use.
func copyBesides(dst, src string, index bool) error {
	entries, err := os.ReadDir(src)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := e.Name()
		path := filepath.Join(src, name)
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() || !belongs(name) && !(index && name == modelIndexName) {
			continue
		}
		if err := copyFile(filepath.Join(dst, name), path); err != nil {
			return err
		}
	}
	return nil
}

// belongs reports whether a file of a model folder stays true of the merged model:
// configuration, tokenizer, chat template, licence. Weights of other formats do not,
// nor does an adapter or the base model's own card.
func belongs(name string) bool {
	if strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".index.json") || strings.HasPrefix(name, "adapter_") {
		return false
	}
	switch filepath.Ext(name) {
	case ".json", ".jinja", ".model", ".tiktoken", ".txt", ".py":
		return true
	case "", ".md":
		return name != "README.md"
	}
	return false
}

func copyFile(dst, src string) error {
	from, err := os.Open(src)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.Create(dst)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	return errors.Join(err, to.Close())
}
