package model

import "bdlora/kernels"

// group is the linears that read one x: q, k and v, say. For every linear, and
// every shard i of its adapter,
//
//	h_i  = drop(x_i)·A_iᵀ
//	y    = x·Wᵀ,  y_i += s·h_i·B_iᵀ
//
//	dh_i = s·dy_i·B_i
//	dB_i = s·dy_iᵀ·h_i
//	dA_i = dh_iᵀ·drop(x_i)
//	dx   = Σ dy·W,  dx_i += drop(dh_i·A_i)
//
// where x_i and y_i are the columns of x and y that the shard reads and writes:
//
//	                     column-parallel   row-parallel
//	x_i [tokens, ·]      in                in/N
//	A_i [rank/N, ·]      in                in/N
//	B_i [·, rank/N]      out/N             out
//	y_i [tokens, ·]      out/N             out
//
// No shard reads what another one made: that is BD-LoRA (arXiv 2510.23346). All h_i
// lie side by side in one h, so that factors which share x_i or y_i go through one
// product: see [factors].
type group struct {
	linears []linear
	rank    int         // of all adapters together
	h       kernels.Buf // [tokens, rank], kept for backward
	between exchange    // between A and B, of adapters that are not BD-LoRA's

	a, b    factors
	addends []kernels.Addend
}

// newGroup leaves h to the caller.
func newGroup(linears ...linear) group {
	g := group{linears: linears, b: factors{sideBySide: true}}
	for _, l := range linears {
		if l.adapter != nil {
			g.rank += l.shards * l.adapter.A.Rows
		}
	}
	return g
}

// forward computes ys, one of each linear, and h.
func (g *group) forward(p *pass, x kernels.Matrix, params []kernels.Buf, ys ...kernels.Matrix) error {
	g.compress(p, x, params)
	if err := g.exchange(p); err != nil {
		return err
	}
	for i := range g.linears {
		p.be.Linear(ys[i], x, g.linears[i].weight, g.expand(p, i)...)
	}
	return nil
}

// compress computes h, the part of forward that backward needs.
func (g *group) compress(p *pass, x kernels.Matrix, params []kernels.Buf) {
	g.collect(p, params, nil)
	h := p.matrix(g.h, g.rank)
	for _, a := range g.a.joined {
		p.be.MatMul(a.low.of(h), 1, g.drop(p, x, a), a.value.T(), false)
	}
}

// expand is what the adapter of linear i makes of h, to be added to its y.
func (g *group) expand(p *pass, i int) []kernels.Addend {
	g.addends = g.addends[:0]
	h := g.whole(p)
	for _, b := range g.b.joined {
		if b.linear == i {
			g.addends = append(g.addends, kernels.Addend{
				Col: b.wide.from, Alpha: g.linears[i].adapter.Scaling, A: b.low.of(h), B: b.value.T(),
			})
		}
	}
	return g.addends
}

// backward writes the gradient in x to dx, unless dx has no buffer since nobody
// wants it, and those in the factors to dparams. It reads h.
func (g *group) backward(p *pass, dx, x kernels.Matrix, params, dparams []kernels.Buf, dys ...kernels.Matrix) {
	g.collect(p, params, dparams)
	h, dh := p.matrix(g.h, g.rank), p.matrix(p.scratch.dh, g.rank)
	for _, b := range g.b.joined {
		s, dy := g.linears[b.linear].adapter.Scaling, b.wide.of(dys[b.linear])
		p.be.MatMul(b.low.of(dh), s, dy, b.value, false)
		p.be.MatMul(b.grad, s, dy.T(), b.low.of(h), false)
	}
	for _, a := range g.a.joined {
		p.be.MatMul(a.grad, 1, a.low.of(dh).T(), g.drop(p, x, a), false)
	}
	g.a.scatter(p.be)
	g.b.scatter(p.be)
	if dx.Buf != nil {
		g.inputGradient(p, dx, dh, dys)
	}
}

// inputGradient computes dx. Without dropout the adapters' part of it goes with the
// product of the first weight.
func (g *group) inputGradient(p *pass, dx, dh kernels.Matrix, dys []kernels.Matrix) {
	g.addends = g.addends[:0]
	if p.dropout.p == 0 {
		for _, a := range g.a.joined {
			g.addends = append(g.addends, kernels.Addend{Col: a.wide.from, Alpha: 1, A: a.low.of(dh), B: a.value})
		}
	}
	for i := range g.linears {
		p.be.LinearBackward(dx, dys[i], g.linears[i].weight, i > 0, g.addends...)
		g.addends = g.addends[:0]
	}
	if p.dropout.p == 0 {
		return
	}
	for _, a := range g.a.joined {
		dropped := p.matrix(p.scratch.ddrop, a.value.Cols)
		p.be.MatMul(dropped, 1, a.low.of(dh), a.value, false)
		p.be.Dropout(a.wide.of(dx), dropped, g.mask(p, a), true)
	}
}

// drop is what a reads of x, with some of its elements dropped: the same ones in
// forward and backward, and for every shard.
func (g *group) drop(p *pass, x kernels.Matrix, a factor) kernels.Matrix {
	x = a.wide.of(x)
	if p.dropout.p == 0 {
		return x
	}
	dropped := p.matrix(p.scratch.drop, x.Cols)
	p.be.Dropout(dropped, x, g.mask(p, a), false)
	return dropped
}

func (g *group) mask(p *pass, a factor) kernels.Dropout {
	l := &g.linears[a.linear]
	return kernels.Dropout{P: p.dropout.p, Key: p.dropout.key ^ l.key, FirstCol: l.firstIn + a.wide.from}
}

// collect lists the factors in params and their gradients in dparams, which may be
// nil, and joins them.
func (g *group) collect(p *pass, params, dparams []kernels.Buf) {
	g.a.reset()
	g.b.reset()
	made, read := columns{}, columns{} // of h, by A and by B
	for i := range g.linears {
		l := &g.linears[i]
		if l.adapter == nil {
			continue
		}
		for shard := range params {
			made = columns{made.to, made.to + l.adapter.A.Rows}
			read = columns{read.to, read.to + l.adapter.B.Cols}
			a, b := factor{linear: i, low: made}, factor{linear: i, low: read}
			a.value, a.wide = l.in(params[shard], shard)
			b.value, b.wide = l.out(params[shard], shard)
			if dparams != nil {
				a.grad, _ = l.in(dparams[shard], shard)
				b.grad, _ = l.out(dparams[shard], shard)
			}
			g.a.parts, g.b.parts = append(g.a.parts, a), append(g.b.parts, b)
		}
	}
	g.a.join(p, p.dropout.p == 0)
	g.b.join(p, false)
}
