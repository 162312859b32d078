package safetensors

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

const (
	weightsName = "model.safetensors"
	indexName   = "model.safetensors.index.json"
)

// Model is the weights of a model folder: one file, or shards under one index.
// It is safe for concurrent use.
type Model struct {
	files   []*File
	paths   []string
	byName  map[string]*Tensor
	tensors []*Tensor
}

// OpenModel opens the weights of the Hugging Face folder dir: model.safetensors, or
// else the shards that model.safetensors.index.json names. Tensors of a shard that
// the index does not list are not part of the model.
//
// It returns errors that are [ErrNoWeights], those of [Open], or [ErrFormat] for an
// index that names a file outside dir or a tensor that its shard has not.
func OpenModel(dir string) (*Model, error) {
	f, err := Open(filepath.Join(dir, weightsName))
	if err == nil {
		return &Model{files: []*File{f}, paths: []string{filepath.Join(dir, weightsName)}, byName: f.byName, tensors: f.tensors}, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	path := filepath.Join(dir, indexName)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", dir, ErrNoWeights)
	}
	if err != nil {
		return nil, err
	}
	m := &Model{byName: map[string]*Tensor{}}
	if err := m.openShards(dir, text); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), m.Close())
	}
	return m, nil
}

// openShards fills the empty model m with what the index text lists.
func (m *Model) openShards(dir string, text []byte) error {
	var index struct {
		WeightMap map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(text, &index); err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if len(index.WeightMap) == 0 {
		return fmt.Errorf("%w: weight_map lists no tensor", ErrFormat)
	}
	for _, shard := range slices.Compact(slices.Sorted(maps.Values(index.WeightMap))) {
		if err := m.openShard(dir, shard, index.WeightMap); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(index.WeightMap)) {
		if m.byName[name] == nil {
			return fmt.Errorf("%w: tensor %q is not in %s", ErrFormat, name, index.WeightMap[name])
		}
	}
	return nil
}

// openShard adds the tensors that weightMap places in shard.
func (m *Model) openShard(dir, shard string, weightMap map[string]string) error {
	if shard != filepath.Base(shard) || !filepath.IsLocal(shard) || shard == "." {
		return fmt.Errorf("%w: shard %q, want a plain file name", ErrFormat, shard)
	}
	path := filepath.Join(dir, shard)
	f, err := Open(path)
	if err != nil {
		return err
	}
	m.files, m.paths = append(m.files, f), append(m.paths, path)
	for _, t := range f.tensors {
		if weightMap[t.Name] == shard {
			m.byName[t.Name] = t
			m.tensors = append(m.tensors, t)
		}
	}
	return nil
}

// Tensor is the tensor of that name, if there is one, in whatever shard.
func (m *Model) Tensor(name string) (*Tensor, bool) {
	t, ok := m.byName[name]
	return t, ok
}

// Tensors lists all tensors, shard after shard, in the order of their bytes.
func (m *Model) Tensors() []*Tensor { return m.tensors }

// Paths are the files that the model is in, without the index.
func (m *Model) Paths() []string { return m.paths }

// Close unmaps all files, under the rules of [File.Close].
func (m *Model) Close() error {
	var errs []error
	for _, f := range m.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
