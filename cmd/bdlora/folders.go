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

// open makes the Backend that --threads asks for, and loads what --model and --adapter
// name.
func open(c *cli.Context) (*cpu.Backend, *loaded, error) {
	be, err := newBackend(c)
	if err != nil {
		return nil, nil, err
	}
	l, err := loadFolders(c)
	return be, l, err
}

// newBackend is the one that --threads asks for.
func newBackend(c *cli.Context) (*cpu.Backend, error) {
	if err := atLeast(c, 0, threadsFlag.Name); err != nil {
		return nil, err
	}
	return cpu.New(c.Int(threadsFlag.Name)), nil
}

// shapeOf is the model of that known shape with so many of its layers, 0 being all.
func shapeOf(name string, layers int) (*model.Config, error) {
	config, err := model.Shape(name)
	if err != nil {
		return nil, usagef("--shape: %w", err)
	}
	if layers > config.Layers {
		return nil, usagef("--layers: got %d, want at most the %d of %s", layers, config.Layers, name)
	}
	if layers > 0 {
		config.Layers = layers
	}
	return config, nil
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

// trainable is the adapter in a Backend's memory; nil without one.
func (l *loaded) trainable(be kernels.Backend) *model.Trainable {
	if l.adapter == nil {
		return nil
	}
	return model.NewTrainable(be, l.adapter)
}

func (l *loaded) Close() error { return l.model.Close() }
