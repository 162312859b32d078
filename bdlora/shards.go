package bdlora

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"bdlora/data/durable"
)

const (
	shardsDir     = "shards"
	shardsName    = "shards.json"
	shardsFormat  = "bdlora-shards"
	shardsVersion = 1
)

// shardsFile is shards.json: what the shards beside it are parts of.
type shardsFile struct {
	Format     string      `json:"format"`
	Version    int         `json:"version"`
	NameOrPath string      `json:"base_model_name_or_path"`
	Adapter    Config      `json:"adapter"`
	Shards     []shardHash `json:"shards"` // shard i is the i-th
}

// shardHash is how a whole file is told from a damaged one.
type shardHash struct {
	File   string `json:"file"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// ShardsPath is the folder of an adapter's shards below dir: shards/tp{N}.
func ShardsPath(dir string, shards int) string {
	return filepath.Join(dir, shardsDir, fmt.Sprintf("tp%d", shards))
}

// SaveShards writes the adapter below the folder dir as a server of N
// tensor-parallel ranks loads it, bit for bit what was trained:
//
//	shards/tp{N}/shards.json                      configuration, sizes, SHA-256
//	shards/tp{N}/shard-{i}-of-{N}.safetensors     what rank i loads, i from 0
//
// The folder shards/tp{N} is replaced as a whole or not at all. [WriteShard] says
// what is in a shard.
func (a *Adapter) SaveShards(dir string) error {
	if err := a.checkWhole(); err != nil {
		return err
	}
	path := ShardsPath(dir, a.Plan.Shards())
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	return durable.Dir(path, func(partial string) error {
		if err := a.WriteShards(partial); err != nil {
			return err
		}
		return WriteShardsIndex(partial, a.Plan)
	})
}

// WriteShards writes the files of the shards that a holds into the folder dir.
func (a *Adapter) WriteShards(dir string) error {
	for i, values := range a.Shards {
		path := filepath.Join(dir, ShardName(a.First+i, a.Plan.Shards()))
		if err := WriteShard(path, a.Plan, a.First+i, values); err != nil {
			return err
		}
	}
	return nil
}

// WriteShardsIndex writes the shards.json of the folder dir, in which the files of all
// shards are, whoever wrote them.
func WriteShardsIndex(dir string, plan *Plan) error {
	index := shardsFile{
		Format: shardsFormat, Version: shardsVersion, NameOrPath: plan.Base.NameOrPath, Adapter: plan.Config,
	}
	for i := range plan.Shards() {
		name := ShardName(i, plan.Shards())
		size, sum, err := durable.Sum(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		index.Shards = append(index.Shards, shardHash{name, size, sum})
	}
	text, err := json.MarshalIndent(index, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, shardsName), append(text, '\n'), 0o666)
}

// LoadShards reads an adapter for base from a folder with shards.json, which
// [Adapter.SaveShards] calls shards/tp{N}. Each file's size and SHA-256 are checked.
func LoadShards(dir string, base Base) (*Adapter, error) {
	plan, index, err := openShards(dir, base)
	if err != nil {
		return nil, err
	}
	return loadShards(dir, plan, index, 0, plan.Shards())
}

// LoadShardsPart reads shards [from, to) as [LoadShards] does.
func LoadShardsPart(dir string, base Base, from, to int) (*Adapter, error) {
	plan, index, err := openShards(dir, base)
	if err != nil {
		return nil, err
	}
	if from < 0 || to > plan.Shards() || from >= to {
		return nil, fmt.Errorf("%s: shards [%d, %d) are wanted, want some of %d", dir, from, to, plan.Shards())
	}
	return loadShards(dir, plan, index, from, to)
}

// openShards reads what the shards of a folder are parts of.
func openShards(dir string, base Base) (*Plan, shardsFile, error) {
	path := filepath.Join(dir, shardsName)
	index, err := readShardsFile(path)
	if err != nil {
		return nil, index, err
	}
	plan, err := NewPlan(base, index.Adapter)
	if err != nil {
		return nil, index, fmt.Errorf("%s: %w", path, err)
	}
	return plan, index, nil
}

func loadShards(dir string, plan *Plan, index shardsFile, from, to int) (*Adapter, error) {
	a := newPart(plan, from, to)
	for i, values := range a.Shards {
		path := filepath.Join(dir, ShardName(from+i, plan.Shards()))
		if err := index.Shards[from+i].check(path); err != nil {
			return nil, err
		}
		if err := ReadShard(path, plan, from+i, values); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// readShardsFile reads shards.json. A key that it does not know is an error, since
// it may come from a later version that means something by it.
func readShardsFile(path string) (shardsFile, error) {
	var index shardsFile
	text, err := os.ReadFile(path)
	if err != nil {
		return index, err
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&index); err != nil {
		return index, fmt.Errorf("%s: %w", path, err)
	}
	if err := index.check(); err != nil {
		return index, fmt.Errorf("%s: %w", path, err)
	}
	return index, nil
}

// check reports an index that is not this version's, or not of as many files as its
// adapter has blocks.
func (f shardsFile) check() error {
	if f.Format != shardsFormat || f.Version != shardsVersion {
		return fmt.Errorf("got format %q version %d, want %q version %d", f.Format, f.Version, shardsFormat, shardsVersion)
	}
	if len(f.Shards) != f.Adapter.Blocks {
		return fmt.Errorf("shards: got %d files, want nblocks = %d", len(f.Shards), f.Adapter.Blocks)
	}
	for i, s := range f.Shards {
		if want := ShardName(i, f.Adapter.Blocks); s.File != want {
			return fmt.Errorf("shards: file %d is %q, want %q", i, s.File, want)
		}
	}
	return nil
}

// check compares a file with its size and hash.
func (h shardHash) check(path string) error {
	size, sum, err := durable.Sum(path)
	if err != nil {
		return err
	}
	if size != h.Bytes || sum != h.SHA256 {
		return fmt.Errorf("%s: got %d bytes with SHA-256 %s, want %d with %s", path, size, sum, h.Bytes, h.SHA256)
	}
	return nil
}
