package train

import (
	"fmt"
	"math"

	"bdlora/data"
	"bdlora/kernels"
	"bdlora/model"
)

// optimizer is AdamW over the shards of an adapter: each shard's parameters,
// gradients and two moments lie in one buffer each.
type optimizer struct {
	be        kernels.Backend
	trainable *model.Trainable
	m, v      []kernels.Buf // moments, one a shard
}

func newOptimizer(be kernels.Backend, t *model.Trainable) *optimizer {
	o := &optimizer{be: be, trainable: t}
	for range t.Params {
		o.m = append(o.m, be.Alloc(t.Plan.ShardLen))
		o.v = append(o.v, be.Alloc(t.Plan.ShardLen))
	}
	return o
}

// zeroGrad forgets the gradients.
func (o *optimizer) zeroGrad() {
	for _, grad := range o.trainable.Grads {
		o.be.Clear(grad)
	}
}

// gradNorm is the Euclidean norm of all gradients: shard after shard, so that it
// does not depend on who holds them.
func (o *optimizer) gradNorm() float64 {
	sum := 0.0
	for _, grad := range o.trainable.Grads {
		sum += o.be.SumSquares(grad)
	}
	return math.Sqrt(sum)
}

// step moves every shard.
func (o *optimizer) step(a kernels.AdamW) {
	for i, params := range o.trainable.Params {
		o.be.AdamW(params, o.trainable.Grads[i], o.m[i], o.v[i], a)
	}
}

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
	micro := t.sampler.Step(done)
	r := stepResult{lr: t.schedule.At(done)}
	for _, batch := range micro {
		r.tokens += len(batch.Tokens)
		r.trained += batch.Trained()
	}
	t.optimizer.zeroGrad()
	sum, err := t.accumulate(micro, done, 1/float64(r.trained))
	if err != nil {
		return r, err
	}
	r.loss, r.gradNorm = sum/float64(r.trained), t.optimizer.gradNorm()
	if !finite(r.loss) || !finite(r.gradNorm) {
		return r, fmt.Errorf("train: step %d: loss is %g and the gradient's norm %g, want finite numbers: %w",
			done+1, r.loss, r.gradNorm, ErrDiverged)
	}
	t.optimizer.step(kernels.AdamW{
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
