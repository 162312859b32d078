package bdlora

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// ErrNoAdapter is what [Find] and [Open] say of a folder that holds no adapter.
var ErrNoAdapter = errors.New("no adapter here: want " + PEFTConfigName + ", " + shardsName + " or " +
	shardsDir + "/tp*/" + shardsName)

// Kind is how an adapter lies in a folder.
type Kind uint8

// The kinds of folder.
const (
	KindPEFT   Kind = iota // adapter_config.json and adapter_model.safetensors
	KindShards             // shards.json and a file a shard
)

// String is "PEFT" or "shards".
func (k Kind) String() string {
	if k == KindShards {
		return "shards"
	}
	return "PEFT"
}

// Find tells where the adapter of a folder is, and of which kind. The folder may be
// the adapter's own or one with shards/tp{N} in it, as checkpoints and outputs of
// runs are; where both kinds are, the PEFT files count. Shards of several N are an
// error: name one of their folders.
func Find(dir string) (folder string, kind Kind, err error) {
	if fileExists(filepath.Join(dir, PEFTConfigName)) {
		return dir, KindPEFT, nil
	}
	if fileExists(filepath.Join(dir, shardsName)) {
		return dir, KindShards, nil
	}
	found, err := fs.Glob(os.DirFS(dir), shardsDir+"/tp*/"+shardsName)
	if err != nil {
		return "", 0, err
	}
	switch len(found) {
	case 0:
		return "", 0, fmt.Errorf("%s: %w", dir, ErrNoAdapter)
	case 1:
		return filepath.Join(dir, filepath.FromSlash(path.Dir(found[0]))), KindShards, nil
	}
	return "", 0, fmt.Errorf("%s: got shards of %d adapters, want one: %s", dir, len(found), strings.Join(found, ", "))
}

// Open reads the adapter that [Find] finds in the folder dir, for base. One with a
// number that is not finite is an error, that names the factor.
func Open(dir string, base Base) (*Adapter, error) {
	folder, kind, err := Find(dir)
	if err != nil {
		return nil, err
	}
	load := LoadPEFT
	if kind == KindShards {
		load = LoadShards
	}
	a, err := load(folder, base)
	if err != nil {
		return nil, err
	}
	if err := a.checkFinite(); err != nil {
		return nil, fmt.Errorf("%s: %w", folder, err)
	}
	return a, nil
}

// Files are those by which the adapter of a folder is told from any other: PEFT's two, or
// shards.json, which has the sums of the shards.
func Files(dir string) ([]string, error) {
	folder, kind, err := Find(dir)
	if err != nil {
		return nil, err
	}
	if kind == KindShards {
		return []string{filepath.Join(folder, shardsName)}, nil
	}
	return []string{filepath.Join(folder, PEFTConfigName), filepath.Join(folder, peftWeightsName)}, nil
}

// BaseOf is the base model that the adapter of a folder was trained on, as its files
// name it. It is an error if they name none.
func BaseOf(dir string) (nameOrPath string, err error) {
	folder, kind, err := Find(dir)
	if err != nil {
		return "", err
	}
	file := filepath.Join(folder, PEFTConfigName)
	if kind == KindShards {
		file = filepath.Join(folder, shardsName)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	var config struct {
		NameOrPath string `json:"base_model_name_or_path"`
	}
	if err := json.Unmarshal(text, &config); err != nil {
		return "", fmt.Errorf("%s: %w", file, err)
	}
	if config.NameOrPath == "" {
		return "", fmt.Errorf("%s: base_model_name_or_path is empty, want the base model's folder", file)
	}
	return config.NameOrPath, nil
}
