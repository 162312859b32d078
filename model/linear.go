package model

import (
	"bdlora/bdlora"
	"bdlora/kernels"
)

// linear is a frozen weight and the block-diagonal adapter on it, if it has one.
// With x_i and y_i the columns of x and y that shard i reads and writes (all of
// them where the linear is not split that way):
//
//	y   = x·Wᵀ
//	y_i += s·(drop(x_i)·A_iᵀ)·B_iᵀ   for every shard i
//
//	                     column-parallel   row-parallel
//	x_i [tokens, ·]      in                in/N
//	A_i [rank/N, ·]      in                in/N
//	B_i [·, rank/N]      out/N             out
//	y_i [tokens, ·]      out/N             out
//
// No shard reads what another one made: that is BD-LoRA (arXiv 2510.23346).
type linear struct {
	weight  *kernels.Weight
	adapter *bdlora.Module // nil if none
	base    int            // where the half-layer's params begin in a shard's buffer
	key     uint64         // tells this linear's dropout from the others'
}

// factor is the view of one factor in a shard's params of the half-layer.
func (l *linear) factor(params kernels.Buf, f bdlora.Factor) kernels.Matrix {
	from := f.Offset - l.base
	return kernels.NewMatrix(params.Slice(from, from+f.Rows*f.Cols), f.Rows, f.Cols)
}

// in and out are the columns of a shard: of a linear's input, and of its output.
func (l *linear) in(x kernels.Matrix, shard, shards int) kernels.Matrix {
	if l.adapter.Linear.Parallel == bdlora.RowParallel {
		return columnBlock(x, shard, shards)
	}
	return x
}

func (l *linear) out(y kernels.Matrix, shard, shards int) kernels.Matrix {
	if l.adapter.Linear.Parallel == bdlora.ColumnParallel {
		return columnBlock(y, shard, shards)
	}
	return y
}

func columnBlock(m kernels.Matrix, block, blocks int) kernels.Matrix {
	width := m.Cols / blocks
	return m.ColRange(block*width, (block+1)*width)
}

func (l *linear) forward(p *pass, y, x kernels.Matrix, params []kernels.Buf) {
	p.be.Linear(y, x, l.weight)
	if l.adapter == nil {
		return
	}
	x = l.drop(p, x)
	for i, shard := range params {
		a, b := l.factor(shard, l.adapter.A), l.factor(shard, l.adapter.B)
		h := p.matrix(p.scratch.h, a.Rows)
		p.be.MatMul(h, 1, l.in(x, i, len(params)), a.T(), false)
		p.be.MatMul(l.out(y, i, len(params)), l.adapter.Scaling, h, b.T(), true)
	}
}

// backward adds the gradient in x to dx, or writes it there if add is not set, and
// writes those in the factors to dparams. With a dx that has no buffer, nobody
// wants the gradient in x. Per shard:
//
//	h_i  = drop(x_i)·A_iᵀ
//	dh_i = s·dy_i·B_i
//	dB_i = s·dy_iᵀ·h_i
//	dA_i = dh_iᵀ·drop(x_i)
//	dx   = dy·W,  dx_i += drop(dh_i·A_i)
func (l *linear) backward(p *pass, dx, dy, x kernels.Matrix, add bool, params, dparams []kernels.Buf) {
	if dx.Buf != nil {
		p.be.LinearBackward(dx, dy, l.weight, add)
	}
	if l.adapter == nil {
		return
	}
	x = l.drop(p, x)
	for i := range params {
		l.shardBackward(p, dx, dy, x, i, params, dparams)
	}
}

func (l *linear) shardBackward(p *pass, dx, dy, x kernels.Matrix, i int, params, dparams []kernels.Buf) {
	s, shards := l.adapter.Scaling, len(params)
	xi, dyi := l.in(x, i, shards), l.out(dy, i, shards)
	a, b := l.factor(params[i], l.adapter.A), l.factor(params[i], l.adapter.B)
	da, db := l.factor(dparams[i], l.adapter.A), l.factor(dparams[i], l.adapter.B)
	h, dh := p.matrix(p.scratch.h, a.Rows), p.matrix(p.scratch.dh, a.Rows)

	p.be.MatMul(h, 1, xi, a.T(), false)
	p.be.MatMul(dh, s, dyi, b, false)
	p.be.MatMul(db, s, dyi.T(), h, false)
	p.be.MatMul(da, 1, dh.T(), xi, false)
	if dx.Buf == nil {
		return
	}
	dxi := l.in(dx, i, shards)
	if p.dropout.p == 0 {
		p.be.MatMul(dxi, 1, dh, a, true)
		return
	}
	dropped := p.matrix(p.scratch.ddrop, a.Cols)
	p.be.MatMul(dropped, 1, dh, a, false)
	mask := l.mask(p)
	if l.adapter.Linear.Parallel == bdlora.RowParallel {
		mask.FirstCol = i * a.Cols
	}
	p.be.Dropout(dxi, dropped, mask, true)
}

// drop is the adapter's input with some of its elements dropped, the same ones for
// every shard and in forward and backward.
func (l *linear) drop(p *pass, x kernels.Matrix) kernels.Matrix {
	if p.dropout.p == 0 {
		return x
	}
	dropped := p.matrix(p.scratch.drop, x.Cols)
	p.be.Dropout(dropped, x, l.mask(p), false)
	return dropped
}

func (l *linear) mask(p *pass) kernels.Dropout {
	return kernels.Dropout{P: p.dropout.p, Key: p.dropout.key ^ l.key}
}
