package train

import (
	"context"
	"fmt"

	"bdlora/data"
	"bdlora/kernels"
	"bdlora/model"
)

// Evaluator takes the loss of a model, with or without an adapter, on a fixed set of
// examples.
type Evaluator struct {
	grid      *Grid
	sampler   *data.Sampler
	inference *model.Inference
	batches   int
}

// NewEvaluator lays examples out in micro-batches of batchSize. t may be nil; what
// it holds may change between evaluations.
func NewEvaluator(be kernels.Backend, m *model.Model, t *model.Trainable, examples []data.Example,
	batchSize int) (*Evaluator, error) {
	sampler, err := evalSampler(examples, batchSize)
	if err != nil {
		return nil, err
	}
	return newEvaluator(oneProcess(), sampler, model.NewInference(be, m, t, sampler.MostTokensInOrder())), nil
}

func newEvaluator(grid *Grid, sampler *data.Sampler, inference *model.Inference) *Evaluator {
	return &Evaluator{grid: grid, sampler: sampler, inference: inference, batches: sampler.StepsPerEpoch()}
}

func evalSampler(examples []data.Example, batchSize int) (*data.Sampler, error) {
	if batchSize < 1 {
		return nil, fmt.Errorf("train: per_device_eval_batch_size is %d, want at least 1", batchSize)
	}
	return data.NewSampler(examples, data.SamplerConfig{BatchSize: batchSize, AccumulationSteps: 1})
}

// Loss is the mean loss over all trained tokens of all examples, of which there are
// trained. progress, if not nil, hears of each micro-batch. It stops with
// context.Canceled when ctx ends, here or on another process.
func (e *Evaluator) Loss(ctx context.Context, progress func(done, total int)) (loss float64, trained int, err error) {
	losses, i := make([]float64, e.batches), 0
	for batch := range e.sampler.InOrder() {
		if err := e.interrupted(ctx, i); err != nil {
			return 0, 0, err
		}
		if e.grid.deals(i) {
			if losses[i], _, err = e.inference.Loss(batch); err != nil {
				return 0, 0, fmt.Errorf("train: evaluation: micro-batch %d: %w", i, err)
			}
		}
		trained += batch.Trained()
		if i++; progress != nil {
			progress(i, e.batches)
		}
	}
	if e.grid.Part > 0 {
		clear(losses) // part 0 has them too
	}
	err = e.grid.share(losses)
	return sum(losses) / float64(trained), trained, err
}

// interrupted asks all processes, once a micro-batch of each replica, whether to go on.
func (e *Evaluator) interrupted(ctx context.Context, i int) error {
	if i%e.grid.Data.Procs() > 0 {
		return nil
	}
	stop, err := e.grid.any(ctx.Err() != nil)
	if err == nil && stop {
		err = context.Canceled
	}
	return err
}
