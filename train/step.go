package train

import (
	"fmt"
	"math"

	"bdlora/data"
	"bdlora/kernels"
	"bdlora/kernels/comm"
)

// clipScale is the factor that brings gradients of that norm down to maxNorm, as
// torch.nn.utils.clip_grad_norm_ has it; 1 with a maxNorm of 0.
func clipScale(norm, maxNorm float64) float64 {
	const eps = 1e-6
	if maxNorm == 0 {
		return 1
	}
	return min(1, maxNorm/(norm+eps))
}

// stepResult is what one optimizer step saw.
type stepResult struct {
	loss            float64 // mean over the trained tokens of all its micro-batches
	gradNorm        float64 // before clipping
	lr              float64
	tokens, trained int
}

// step makes optimizer step number done, counted from 0. The loss is the sum over
// the tokens of all micro-batches, divided once by their number: how the rows are
// spread over micro-batches, and these over replicas, makes no difference.
//
// It returns an error, and moves nothing, if loss or gradients are not finite.
func (t *trainer) step(done int) (stepResult, error) {
	micro := t.layout.train.Step(done)
	r := stepResult{lr: t.schedule.At(done)}
	for _, batch := range micro {
		r.tokens += len(batch.Tokens)
		r.trained += batch.Trained()
	}
	t.optimizer.ZeroGrad()
	losses, err := t.accumulate(micro, done, 1/float64(r.trained))
	if err != nil {
		return r, err
	}
	if err := t.sumGradients(); err != nil {
		return r, err
	}
	lossSum, squares, err := t.shareStep(losses)
	if err != nil {
		return r, err
	}
	r.loss, r.gradNorm = lossSum/float64(r.trained), math.Sqrt(squares)
	if !finite(r.loss) || !finite(r.gradNorm) {
		return r, t.grid.agree(fmt.Errorf("train: step %d: loss is %g and the gradient's norm %g, want finite numbers: %w",
			done+1, r.loss, r.gradNorm, ErrDiverged))
	}
	t.optimizer.Step(kernels.AdamW{
		LR: r.lr, Beta1: t.cfg.AdamBeta1, Beta2: t.cfg.AdamBeta2, Eps: t.cfg.AdamEpsilon,
		WeightDecay: t.cfg.WeightDecay, GradScale: clipScale(r.gradNorm, t.cfg.MaxGradNorm), T: done + 1,
	})
	return r, nil
}

// accumulate adds up the gradients of this replica's micro-batches of a step and returns
// the sums of their token losses, with 0 for the other replicas' micro-batches.
func (t *trainer) accumulate(micro []*data.Batch, done int, lossScale float64) (losses []float64, err error) {
	losses = make([]float64, len(micro))
	for i, batch := range micro {
		if !t.grid.deals(i) {
			continue
		}
		if losses[i], err = t.graph.Run(batch, lossScale, dropoutKey(t.cfg.Seed, done, i)); err != nil {
			return nil, fmt.Errorf("train: step %d: micro-batch %d: %w", done+1, i, err)
		}
	}
	return losses, nil
}

// sumGradients adds up the replicas' gradients.
func (t *trainer) sumGradients() error {
	for _, grad := range t.trainable.Grads {
		numbers := t.be.Value(grad, grad.Len()).Data()
		if err := t.grid.Data.AllReduce(comm.Replicas, comm.Sum, numbers); err != nil {
			return err
		}
	}
	return nil
}

// shareStep puts together what the processes have of a step: the losses of its
// micro-batches and the squared gradients of the shards. Both are added up in their
// order, so that the sums do not depend on who has them.
func (t *trainer) shareStep(losses []float64) (lossSum, squares float64, err error) {
	shards := make([]float64, t.trainable.Plan.Shards())
	if t.grid.Replica == 0 {
		t.optimizer.SumSquares(shards)
	}
	if t.grid.Part > 0 {
		clear(losses) // part 0 has them too
	}
	numbers := append(losses, shards...)
	err = t.grid.share(numbers)
	return sum(numbers[:len(losses)]), sum(numbers[len(losses):]), err
}

func sum(numbers []float64) float64 {
	total := 0.0
	for _, x := range numbers {
		total += x
	}
	return total
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// dropoutKey is what dropout of one micro-batch depends on, mixed by the finaliser of
// SplitMix64.
func dropoutKey(seed uint64, step, microStep int) uint64 {
	z := seed
	for _, word := range []uint64{uint64(step), uint64(microStep)} {
		z += 0x9e3779b97f4a7c15 * (word + 1)
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		z ^= z >> 31
	}
	return z
}
