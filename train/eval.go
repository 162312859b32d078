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
	return newEvaluator(sampler, model.NewInference(be, m, t, sampler.MostTokensInOrder())), nil
}

func newEvaluator(sampler *data.Sampler, inference *model.Inference) *Evaluator {
	return &Evaluator{sampler: sampler, inference: inference, batches: sampler.StepsPerEpoch()}
}

func evalSampler(examples []data.Example, batchSize int) (*data.Sampler, error) {
	if batchSize < 1 {
		return nil, fmt.Errorf("train: per_device_eval_batch_size is %d, want at least 1", batchSize)
	}
	return data.NewSampler(examples, data.SamplerConfig{BatchSize: batchSize, AccumulationSteps: 1})
}

// Loss is the mean loss over all trained tokens of all examples, of which there are
// trained. progress, if not nil, hears of each micro-batch. It stops with ctx's error
// when ctx ends.
func (e *Evaluator) Loss(ctx context.Context, progress func(done, total int)) (loss float64, trained int, err error) {
	sum, done := 0.0, 0
	for batch := range e.sampler.InOrder() {
		if err := ctx.Err(); err != nil {
			return 0, 0, err
		}
		batchSum, batchTrained, err := e.inference.Loss(batch)
		if err != nil {
			return 0, 0, fmt.Errorf("train: evaluation: micro-batch %d: %w", done, err)
		}
		sum += batchSum
		trained += batchTrained
		if done++; progress != nil {
			progress(done, e.batches)
		}
	}
	return sum / float64(trained), trained, nil
}
