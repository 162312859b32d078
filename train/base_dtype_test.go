package train_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bdlora/kernels/comm"
	"bdlora/kernels/cpu"
	"bdlora/model"
	"bdlora/train"
)

// quantizedConfig is runConfig on a base in 8 or 4 bits.
func quantizedConfig(t *testing.T, base model.BaseDtype) train.Config {
	cfg := runConfig(t)
	cfg.BaseDtype, cfg.CacheDir = string(base), t.TempDir()
	return cfg
}

func TestTrainingOnAQuantizedBaseLowersTheLoss(t *testing.T) {
	for _, base := range []model.BaseDtype{model.BaseInt8, model.BaseNF4} {
		cfg := quantizedConfig(t, base)
		r := &recorder{}
		runTo(t, context.Background(), cfg, 2, r)
		if first, last := r.evals[0], r.evals[len(r.evals)-1]; !(last < first-0.05) {
			t.Errorf("%s: held-out losses are %v, want them to fall", base, r.evals)
		}
		if r.layers == 0 {
			t.Errorf("%s: heard of no quantised layer", base)
		}
	}
}

// Law: the cache of a first start, and memory without one, hold the same base; and a
// resumed run is the run that never stopped, bit for bit.
func TestResumedRunOnNF4IsTheRunThatNeverStopped(t *testing.T) {
	cfg := quantizedConfig(t, model.BaseNF4)
	cache := cfg.CacheDir
	whole := &recorder{}
	cfg.CacheDir = ""
	runTo(t, context.Background(), cfg, 1, whole)
	want := shardBytes(t, cfg.OutputDir)

	cfg.OutputDir, cfg.CacheDir = filepath.Join(t.TempDir(), "out"), cache
	ctx, stop := context.WithCancel(context.Background())
	pieces := &recorder{after: func(step int) {
		if step == 4 {
			stop()
		}
	}}
	runTo(t, ctx, cfg, 2, pieces)
	cfg.ResumeFromCheckpoint, pieces.after, pieces.layers = train.ResumeAuto, nil, 0
	runTo(t, context.Background(), cfg, 3, pieces)
	if !slices.Equal(pieces.losses, whole.losses) || shardBytes(t, cfg.OutputDir) != want {
		t.Errorf("got losses %v, want %v and the same shards", pieces.losses, whole.losses)
	}
	if pieces.layers != 0 {
		t.Errorf("the resumed run quantised %d layers, want it to find them", pieces.layers)
	}
}

func TestResumeRefusesAnotherBaseDtype(t *testing.T) {
	cfg := quantizedConfig(t, model.BaseNF4)
	cfg.MaxSteps = 2
	ctx, stop := context.WithCancel(context.Background())
	runTo(t, ctx, cfg, 1, &recorder{after: func(int) { stop() }})
	cfg.ResumeFromCheckpoint, cfg.BaseDtype = train.ResumeAuto, string(model.BaseAuto)
	_, err := train.Run(context.Background(), cfg, cpu.New(1), comm.Alone(), &recorder{})
	if !errors.Is(err, train.ErrOtherRun) || !strings.Contains(err.Error(), "base_dtype: the checkpoint has nf4, this run has auto") {
		t.Errorf("got error %v, want ErrOtherRun that names base_dtype", err)
	}
}

func TestUnknownBaseDtypeIsReported(t *testing.T) {
	cfg := quantizedConfig(t, "fp4")
	if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), `base_dtype: got "fp4", want "auto" or "int8" or "nf4"`) {
		t.Errorf("got error %v, want one that names base_dtype and its values", err)
	}
}
