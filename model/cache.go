package model

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/gofrs/flock"

	"bdlora/data/durable"
	"bdlora/data/safetensors"
)

// A cache of quantised weights is a folder with a file a layer, in the layout of a model
// in shards, and cacheName, which says what they are made of. The folder's name goes by
// the place and the name of the model and by the BaseDtype, so that a model that has
// changed replaces its own cache and leaves no other behind.
const (
	cacheName    = "quantized.json"
	cacheLock    = ".lock"
	cacheVersion = 1 // of what is in the folder: quantisation and layout
)

// cacheContent is what a cache holds, and of what.
type cacheContent struct {
	Version   int          `json:"version"`
	BaseDtype BaseDtype    `json:"base_dtype"`
	Source    []cacheInput `json:"source"`
	Files     []cacheFile  `json:"files"`
}

// cacheInput is a file of weights that was quantised. Sum samples large files (see
// [durable.Fingerprint]), Modified catches a change between the samples.
type cacheInput struct {
	Name     string `json:"name"`
	Bytes    int64  `json:"bytes"`
	Modified int64  `json:"modified_unix_nano"`
	Sum      string `json:"sum"`
}

// cacheFile is a file of the folder. The sum, unlike a SHA-256, is as fast as memory:
// it is taken of the whole cache at each start.
type cacheFile struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	CRC32C uint32 `json:"crc32c"`
}

// errStale: a cache is absent, damaged or of something else.
var errStale = errors.New("cache is not of this model")

// openCache maps the quantised weights of m, quantising them first if they are not in
// the cache as they should be. Whoever does so holds a lock on c.CacheDir; others wait
// and then find them.
func openCache(ctx context.Context, m *Model, c QuantizeConfig) (*safetensors.Model, error) {
	want := cacheContent{Version: cacheVersion, BaseDtype: m.base}
	var err error
	if want.Source, err = cacheInputs(m.files.Paths()); err != nil {
		return nil, err
	}
	dir, err := cachePath(c.CacheDir, m)
	if err != nil {
		return nil, err
	}
	files, err := want.open(dir)
	if !errors.Is(err, errStale) {
		return files, err
	}
	if err := os.MkdirAll(c.CacheDir, 0o777); err != nil {
		return nil, fmt.Errorf("cache_dir: %w", err)
	}
	lock := flock.New(filepath.Join(c.CacheDir, cacheLock))
	if _, err := lock.TryLockContext(ctx, 100*time.Millisecond); err != nil {
		return nil, fmt.Errorf("cache_dir: %s: %w", c.CacheDir, err)
	}
	files, err = want.openOrBuild(ctx, dir, m, c)
	return files, errors.Join(err, lock.Close())
}

// openOrBuild is openCache under the lock.
func (want cacheContent) openOrBuild(ctx context.Context, dir string, m *Model, c QuantizeConfig) (*safetensors.Model, error) {
	if err := durable.Clean(c.CacheDir); err != nil {
		return nil, fmt.Errorf("cache_dir: %w", err)
	}
	files, err := want.open(dir)
	if !errors.Is(err, errStale) {
		return files, err
	}
	if err := durable.Dir(dir, func(tmp string) error { return want.build(ctx, tmp, m, c) }); err != nil {
		return nil, fmt.Errorf("cache_dir: %w", err)
	}
	return want.open(dir)
}

// cachePath is the folder of m's cache in dir.
func cachePath(dir string, m *Model) (string, error) {
	place, err := filepath.Abs(m.Dir)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(place))
	return filepath.Join(dir, fmt.Sprintf("%s-%x-%s", filepath.Base(place), sum[:6], m.base)), nil
}

func cacheInputs(paths []string) ([]cacheInput, error) {
	const whole = 64 << 20
	var inputs []cacheInput
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		size, sum, err := durable.Fingerprint(path, whole)
		if err != nil {
			return nil, err
		}
		inputs = append(inputs, cacheInput{filepath.Base(path), size, info.ModTime().UnixNano(), sum})
	}
	return inputs, nil
}

// open maps the cache in dir if it is whole and holds what is wanted; it is errStale if
// not.
func (want cacheContent) open(dir string) (*safetensors.Model, error) {
	text, err := os.ReadFile(filepath.Join(dir, cacheName))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errStale, err)
	}
	var got cacheContent
	if err := json.Unmarshal(text, &got); err != nil {
		return nil, fmt.Errorf("%w: %w", errStale, err)
	}
	if got.Version != want.Version || got.BaseDtype != want.BaseDtype || !slices.Equal(got.Source, want.Source) {
		return nil, errStale
	}
	for _, f := range got.Files {
		if found, err := sumFile(filepath.Join(dir, f.Name)); err != nil || found != f {
			return nil, fmt.Errorf("%w: file is %+v, want %+v", errors.Join(errStale, err), found, f)
		}
	}
	files, err := safetensors.OpenModel(dir)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errStale, err)
	}
	return files, nil
}

// build fills the folder tmp.
func (want cacheContent) build(ctx context.Context, tmp string, m *Model, c QuantizeConfig) error {
	weightMap := map[string]string{}
	for l := range m.layers {
		name := fmt.Sprintf("model-%05d-of-%05d.safetensors", l+1, len(m.layers))
		entries, err := m.quantizedLayer(ctx, l, c)
		if err != nil {
			return err
		}
		for _, e := range entries {
			weightMap[e.Name] = name
		}
		file, err := writeFile(filepath.Join(tmp, name), entries)
		if err != nil {
			return err
		}
		want.Files = append(want.Files, file)
	}
	index := filepath.Join(tmp, "model.safetensors.index.json")
	if err := writeJSON(index, map[string]any{"weight_map": weightMap}); err != nil {
		return err
	}
	file, err := sumFile(index)
	if err != nil {
		return err
	}
	want.Files = append(want.Files, file)
	return writeJSON(filepath.Join(tmp, cacheName), want)
}

// quantizedLayer is what the cache has of layer l.
func (m *Model) quantizedLayer(ctx context.Context, l int, c QuantizeConfig) ([]safetensors.Entry, error) {
	quantized, err := m.quantizeLayer(ctx, l, c)
	if err != nil {
		return nil, err
	}
	var entries []safetensors.Entry
	for name, w := range quantized {
		some, err := quantizedEntries(w, m.layers[l].linears[name].Format)
		if err != nil {
			return nil, err
		}
		entries = append(entries, some...)
	}
	return entries, nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// writeFile writes a file of a layer, which the folder makes durable.
func writeFile(path string, entries []safetensors.Entry) (cacheFile, error) {
	file, err := os.Create(path)
	if err != nil {
		return cacheFile{}, err
	}
	sum := crc32.New(castagnoli)
	err = safetensors.Encode(io.MultiWriter(file, sum), entries, map[string]string{"format": "pt"})
	info, errInfo := file.Stat()
	if err := errors.Join(err, errInfo, file.Close()); err != nil {
		return cacheFile{}, fmt.Errorf("%s: %w", path, err)
	}
	return cacheFile{filepath.Base(path), info.Size(), sum.Sum32()}, nil
}

// sumFile is what a file of the folder is like now.
func sumFile(path string) (cacheFile, error) {
	file, err := os.Open(path)
	if err != nil {
		return cacheFile{}, err
	}
	defer file.Close()
	sum := crc32.New(castagnoli)
	size, err := io.CopyBuffer(sum, struct{ io.Reader }{file}, make([]byte, 1<<20))
	return cacheFile{filepath.Base(path), size, sum.Sum32()}, err
}

func writeJSON(path string, value any) error {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o666)
}
