package train

import (
	"fmt"
	"math"

	"bdlora/data"
	"bdlora/kernels"
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
// spread over micro-batches makes no difference.
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
	sum, err := t.accumulate(micro, done, 1/float64(r.trained))
	if err != nil {
		return r, err
	}
	r.loss, r.gradNorm = sum/float64(r.trained), t.optimizer.GradNorm()
	if !finite(r.loss) || !finite(r.gradNorm) {
		return r, fmt.Errorf("train: step %d: loss is %g and the gradient's norm %g, want finite numbers: %w",
			done+1, r.loss, r.gradNorm, ErrDiverged)
	}
	t.optimizer.Step(kernels.AdamW{
		LR: r.lr, Beta1: t.cfg.AdamBeta1, Beta2: t.cfg.AdamBeta2, Eps: t.cfg.AdamEpsilon,
		WeightDecay: t.cfg.WeightDecay, GradScale: clipScale(r.gradNorm, t.cfg.MaxGradNorm), T: done + 1,
	})
	return r, nil
}

// accumulate adds up the gradients of the micro-batches of a step and returns the
// sum of their token losses.
func (t *trainer) accumulate(micro []*data.Batch, done int, lossScale float64) (sum float64, err error) {
	for i, batch := range micro {
		batchSum, err := t.graph.Run(batch, lossScale, dropoutKey(t.cfg.Seed, done, i))
		if err != nil {
			return 0, fmt.Errorf("train: step %d: micro-batch %d: %w", done+1, i, err)
		}
		sum += batchSum
	}
	return sum, nil
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
