package train

import (
	"bdlora/kernels"
	"bdlora/model"
)

// Optimizer is AdamW over the shards of an adapter that are here: each shard's
// parameters, gradients and two moments lie in one buffer each.
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

// SumSquares sets squares[i] to the sum of the squared gradients of shard i, for those
// that are here.
func (o *Optimizer) SumSquares(squares []float64) {
	for i, grad := range o.trainable.Grads {
		squares[o.trainable.First+i] = o.be.SumSquares(grad)
	}
}

// Step moves every shard.
func (o *Optimizer) Step(a kernels.AdamW) {
	for i, params := range o.trainable.Params {
		o.be.AdamW(params, o.trainable.Grads[i], o.First[i], o.Second[i], a)
	}
}
