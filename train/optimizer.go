package train

import (
	"math"

	"bdlora/kernels"
	"bdlora/model"
)

// Optimizer is AdamW over the shards of an adapter: each shard's parameters,
// gradients and two moments lie in one buffer each.
type Optimizer struct {
	First, Second []kernels.Buf // moments, one of each a shard

	be        kernels.Backend
	trainable *model.Trainable
}

// NewOptimizer allocates moments of zero for t.
func NewOptimizer(be kernels.Backend, t *model.Trainable) *Optimizer {
	o := &Optimizer{be: be, trainable: t}
	for range t.Params {
		o.First = append(o.First, be.Alloc(t.Plan.ShardLen))
		o.Second = append(o.Second, be.Alloc(t.Plan.ShardLen))
	}
	return o
}

// ZeroGrad forgets the gradients.
func (o *Optimizer) ZeroGrad() {
	for _, grad := range o.trainable.Grads {
		o.be.Clear(grad)
	}
}

// GradNorm is the Euclidean norm of all gradients: shard after shard, so that it
// does not depend on who holds them.
func (o *Optimizer) GradNorm() float64 {
	sum := 0.0
	for _, grad := range o.trainable.Grads {
		sum += o.be.SumSquares(grad)
	}
	return math.Sqrt(sum)
}

// Step moves every shard.
func (o *Optimizer) Step(a kernels.AdamW) {
	for i, params := range o.trainable.Params {
		o.be.AdamW(params, o.trainable.Grads[i], o.First[i], o.Second[i], a)
	}
}
