package model

import (
	"bdlora/data"
	"bdlora/kernels"
)

// pass is what every half-layer of a model shares: where it computes, the
// micro-batch that is going through, and the memory that only one half-layer needs
// at a time.
type pass struct {
	be     kernels.Backend
	config *Config
	rotary *kernels.Rotary

	tokens    int // rows of the activations
	positions []int32
	attention kernels.AttentionShape
	dropout   dropout
	scratch   scratch
}

// dropout is how adapters drop their inputs in this pass.
type dropout struct {
	p   float64
	key uint64 // of the seed and the micro-step
}

// begin makes batch the one that is going through.
func (p *pass) begin(batch *data.Batch) {
	p.tokens = len(batch.Tokens)
	p.positions = batch.Positions
	p.attention.Queries, p.attention.Keys = batch.Lengths, batch.Lengths
}

// matrix is the [tokens, cols] view of buf.
func (p *pass) matrix(buf kernels.Buf, cols int) kernels.Matrix {
	return kernels.NewMatrix(buf, p.tokens, cols)
}

// inv is the row scales of the rows that are in use.
func (p *pass) inv() kernels.Buf { return p.scratch.inv.Slice(0, p.tokens) }

// normGradient is where the gradient in the normed input goes; without a dx it has
// no buffer, since nobody wants it.
func (p *pass) normGradient(dx kernels.Buf) kernels.Matrix {
	if dx == nil {
		return kernels.Matrix{}
	}
	return p.matrix(p.scratch.dnorm, p.config.Hidden)
}

// residualBackward ends the backward pass of y = x + f(rmsnorm(x)): dx = dy plus
// what comes back through the norm.
func (p *pass) residualBackward(dxBuf kernels.Buf, dn, dy, x kernels.Matrix, gain kernels.Buf) {
	if dxBuf == nil {
		return
	}
	dx := p.matrix(dxBuf, p.config.Hidden)
	p.be.Copy(dx, dy)
	p.be.RMSNormBackward(dx, dn, x, p.inv(), gain)
}

// scratch are the buffers that one half-layer uses and the next may overwrite.
type scratch struct {
	norm, inv kernels.Buf // normed input and its row scales
	dnorm     kernels.Buf // gradient in the normed input
	wide      kernels.Buf // product of the MLP, or gradient in the attention's output
	dwide     kernels.Buf // gradient in the MLP's product, or in the queries
	dk, dv    kernels.Buf // gradients in keys and values
	h, dh     kernels.Buf // [tokens, rank of a shard] between A and B
	drop      kernels.Buf // an adapter's input after dropout
	ddrop     kernels.Buf // the gradient in it
}

// newPass allocates for up to tokens rows. rank is the adapter's rank on a shard;
// with backward false, nothing is kept for a backward pass.
func newPass(be kernels.Backend, c *Config, tokens, rank int, dropoutP float64, backward bool) *pass {
	p := &pass{be: be, config: c, rotary: c.RopeScaling.Rotary(c.HeadDim), dropout: dropout{p: dropoutP}}
	p.attention = kernels.AttentionShape{Heads: c.Heads, KVHeads: c.KVHeads, HeadDim: c.HeadDim, Scale: c.attnScale()}
	wide := max(c.Intermediate, c.Heads*c.HeadDim)
	alloc := func(cols int) kernels.Buf { return be.Alloc(tokens * cols) }
	p.scratch = scratch{norm: alloc(c.Hidden), inv: alloc(1), wide: alloc(wide), h: alloc(rank)}
	if backward {
		s := &p.scratch
		s.dnorm, s.dwide, s.dh = alloc(c.Hidden), alloc(wide), alloc(rank)
		s.dk, s.dv = alloc(c.KVHeads*c.HeadDim), alloc(c.KVHeads*c.HeadDim)
	}
	if dropoutP > 0 {
		p.scratch.drop, p.scratch.ddrop = alloc(max(wide, c.Hidden)), alloc(max(wide, c.Hidden))
	}
	return p
}
