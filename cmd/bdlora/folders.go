package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"bdlora/bdlora"
	"bdlora/cmd/bdlora/progress"
	"bdlora/kernels"
	"bdlora/kernels/cpu"
	"bdlora/model"
	"bdlora/train"
)

// Flags that several commands share.
var (
	modelFlag = &cli.StringFlag{
		Name: "model", Aliases: []string{"model_name_or_path", "m"}, Usage: "`DIR` of the base model, in Hugging Face's layout",
	}
	adapterFlag = &cli.StringFlag{
		Name: "adapter", Aliases: []string{"a"},
		Usage: "`DIR` of an adapter: PEFT's files, shards, a checkpoint or a run's output",
	}
	baseDtypeFlag = &cli.StringFlag{
		Name: "base_dtype", Value: string(model.BaseAuto),
		Usage: "how to hold the weights of the layers' linears: auto, as in the model's files, int8 or nf4",
	}
	cacheDirFlag = &cli.StringFlag{
		Name: "cache_dir", Usage: "`DIR` that keeps a base in 8 or 4 bits for the next start; default is bdlora in the user's cache folder",
	}
	threadsFlag = &cli.IntFlag{Name: "threads", Usage: "processor cores to use; 0 is all"}
)

// loaded is a base model with the adapter on it, if there is one.
type loaded struct {
	model   *model.Model
	adapter *bdlora.Adapter // nil without
}

// loadFolders loads what --model and --adapter name. Without --model it is the model
// that the adapter's files name.
func loadFolders(c *cli.Context) (*loaded, error) {
	modelDir, adapterDir := c.String(modelFlag.Name), c.String(adapterFlag.Name)
	if modelDir == "" && adapterDir != "" {
		name, err := bdlora.BaseOf(adapterDir)
		if err != nil {
			return nil, err
		}
		if _, err := os.Stat(name); err != nil {
			return nil, fmt.Errorf("--model: got nothing, and the base model that %s names is not there: %w", adapterDir, err)
		}
		modelDir = name
	}
	if modelDir == "" {
		return nil, usagef("--model: got nothing, want the folder of a base model")
	}
	base, err := model.ParseBaseDtype(c.String(baseDtypeFlag.Name))
	if err != nil {
		return nil, usagef("--base_dtype: %w", err)
	}
	return openFolders(modelDir, adapterDir, base)
}

// openFolders loads a model and, if adapterDir is not empty, an adapter on it.
func openFolders(modelDir, adapterDir string, base model.BaseDtype) (*loaded, error) {
	m, err := model.Load(modelDir)
	if err != nil {
		return nil, err
	}
	m.HoldAs(base)
	l := &loaded{model: m}
	if adapterDir == "" {
		return l, nil
	}
	if l.adapter, err = bdlora.Open(adapterDir, m.Base()); err != nil {
		return nil, errors.Join(noAdapter(adapterDir, err), m.Close())
	}
	return l, nil
}

// quantize brings the model into what --base_dtype asks for, with the cache in
// --cache_dir.
func (l *loaded) quantize(c *cli.Context, threads int) error {
	dir, err := cacheDir(c.String(cacheDirFlag.Name), l.model.BaseDtype())
	if err != nil {
		return err
	}
	return l.model.Quantize(c.Context, model.QuantizeConfig{
		CacheDir: dir, Threads: threads,
		Progress: func(done, total int) { progress.Quantizing(c.App.ErrWriter, done, total) },
	})
}

// cacheDir is dir, or bdlora in the user's cache folder if it is empty and base needs
// one.
func cacheDir(dir string, base model.BaseDtype) (string, error) {
	if dir != "" || base == model.BaseAuto {
		return dir, nil
	}
	user, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("cache_dir: got nothing, and the system names no cache folder: %w", err)
	}
	return filepath.Join(user, "bdlora"), nil
}

// noAdapter adds to the error of a run that has no adapter yet where its newest one
// is.
func noAdapter(dir string, err error) error {
	steps, errSteps := train.CheckpointSteps(dir)
	if errors.Is(err, bdlora.ErrNoAdapter) && errSteps == nil && len(steps) > 0 {
		return fmt.Errorf("--adapter: %s: the run has not ended, want one of its checkpoints, such as %s: %w",
			dir, train.CheckpointPath(dir, steps[0]), err)
	}
	return fmt.Errorf("--adapter: %w", err)
}

// newBackend is the one that --threads asks for.
func newBackend(c *cli.Context) (*cpu.Backend, error) {
	threads := c.Int(threadsFlag.Name)
	if threads < 0 {
		return nil, usagef("--threads: got %d, want at least 0", threads)
	}
	return cpu.New(threads), nil
}

// trainable is the adapter in a Backend's memory; nil without one.
func (l *loaded) trainable(be kernels.Backend) *model.Trainable {
	if l.adapter == nil {
		return nil
	}
	return model.NewTrainable(be, l.adapter)
}

func (l *loaded) Close() error { return l.model.Close() }
