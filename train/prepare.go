package train

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"bdlora/bdlora"
	"bdlora/data"
	"bdlora/model"
)

// templateDate is the date that chat templates see which print one, as Llama 3.1's
// does: the day that it falls back to itself. A run must read the same tokens when it
// resumes on another day.
var templateDate = time.Date(2024, time.July, 26, 0, 0, 0, 0, time.UTC)

// Data is how the settings turn rows into examples.
func (c Config) Data() data.Config {
	return data.Config{
		Format: data.Format(c.DatasetFormat), MaxLength: c.MaxLength, ExcessLength: data.ExcessLength(c.ExcessLengthStrategy),
		TrainOnPrompt: c.TrainOnPrompt, MaskHistory: c.MaskHistory, Now: templateDate,
	}
}

// sampler is how the settings turn examples into micro-batches.
func (c Config) sampler() data.SamplerConfig {
	return data.SamplerConfig{
		Seed: c.EffectiveDataSeed(), BatchSize: c.PerDeviceTrainBatchSize, AccumulationSteps: c.GradientAccumulationSteps,
		Packing: c.Packing, MaxLength: c.MaxLength,
	}
}

// checkFolders refuses to write a run into the folder of the base model, where every
// library would take the adapter for a part of it.
func (c Config) checkFolders() error {
	model, errModel := os.Stat(c.ModelNameOrPath)
	output, errOutput := os.Stat(c.OutputDir)
	if errModel == nil && errOutput == nil && os.SameFile(model, output) {
		return fmt.Errorf("output_dir: %s is the folder of the base model, want another one", c.OutputDir)
	}
	return nil
}

// Examples reads the rows to train on, and those to evaluate on if the settings name
// any: EvalDataset, or ValSize of Dataset. counts is what became of all rows.
//
// Bad rows are a [data.RowErrors] with all of them.
func (c Config) Examples() (train, eval []data.Example, counts data.Counts, err error) {
	encoder, err := data.OpenEncoder(c.ModelNameOrPath, c.Data())
	if err != nil {
		return nil, nil, counts, err
	}
	set, err := data.Load([]string{c.Dataset}, encoder)
	if c.EvalDataset != "" {
		evalSet, evalErr := data.Load([]string{c.EvalDataset}, encoder)
		if err := errors.Join(err, evalErr); err != nil {
			return nil, nil, counts, err
		}
		return set.Examples, evalSet.Examples, set.Counts.Plus(evalSet.Counts), nil
	}
	if err != nil {
		return nil, nil, counts, err
	}
	train, eval, err = data.Split(set.Examples, c.ValSize, c.EffectiveDataSeed())
	return train, eval, set.Counts, err
}

// checkExamples reports the examples that a model has no embedding or no position
// for, as a [data.RowErrors].
func checkExamples(examples []data.Example, c *model.Config) error {
	var bad data.RowErrors
	for i := range examples {
		e := &examples[i]
		var err error
		if top := slices.Max(e.Tokens); int(top) >= c.Vocab {
			err = fmt.Errorf("token %d is not of the model: want tokens below %d (vocab_size)", top, c.Vocab)
		}
		if length := len(e.Tokens); length > c.MaxSeqLen {
			err = fmt.Errorf("%w: %d tokens, want at most the model's %d (max_position_embeddings)",
				data.ErrRowTooLong, length, c.MaxSeqLen)
		}
		if err != nil {
			bad = append(bad, &data.RowError{File: e.File, Line: e.Line, Err: err})
		}
	}
	if len(bad) == 0 {
		return nil
	}
	return bad
}

// Plan lays out the adapter that the settings describe for m. Without LoraR its rank
// is that of MatchLoraRank.
func (c Config) Plan(m *model.Model) (*bdlora.Plan, error) {
	cfg := c.Adapter()
	if cfg.Rank == 0 {
		rank, err := bdlora.MatchRank(m.Base(), cfg.Targets, cfg.Blocks, c.MatchLoraRank)
		if err != nil {
			return nil, err
		}
		cfg.Rank = rank
	}
	return bdlora.NewPlan(m.Base(), cfg)
}

// startAdapter is shards [from, to) of the adapter of a new run: drawn, or read from
// InitAdapter, which must be of the shape that the settings ask for.
func (c Config) startAdapter(plan *bdlora.Plan, from, to int) (*bdlora.Adapter, error) {
	if c.InitAdapter == "" {
		return bdlora.NewPart(plan, c.Seed, from, to), nil
	}
	a, err := bdlora.Open(c.InitAdapter, plan.Base)
	if err != nil {
		return nil, fmt.Errorf("init_adapter: %w", err)
	}
	if err := samePlan(a.Plan, plan); err != nil {
		return nil, fmt.Errorf("init_adapter: %s: %w", c.InitAdapter, err)
	}
	a.Plan = plan
	return a.Part(from, to), nil
}

// samePlan reports where an adapter differs from the one that is wanted.
func samePlan(got, want *bdlora.Plan) error {
	var errs []error
	if got.Shards() != want.Shards() {
		errs = append(errs, fmt.Errorf("nblocks is %d, want %d", got.Shards(), want.Shards()))
	}
	if len(got.Modules) != len(want.Modules) {
		errs = append(errs, fmt.Errorf("%d linears are adapted, want %d", len(got.Modules), len(want.Modules)))
	}
	for i := range min(len(got.Modules), len(want.Modules)) {
		g, w := got.Modules[i], want.Modules[i]
		if g.Path() != w.Path() || g.Rank != w.Rank || g.Scaling != w.Scaling {
			errs = append(errs, fmt.Errorf("%s has rank %d and scaling %g, want %s with rank %d and scaling %g",
				g.Path(), g.Rank, g.Scaling, w.Path(), w.Rank, w.Scaling))
			break
		}
	}
	return errors.Join(errs...)
}
