package model

import (
	"bdlora/data"
	"bdlora/kernels"
	"bdlora/kernels/comm"
)

// pass is what every half-layer of a model shares: where it computes, the
// micro-batch that is going through, and the memory that only one half-layer needs
// at a time.
type pass struct {
	be     kernels.Backend
	procs  comm.Comm // that compute this pass together
	room   *room
	config *Config // of this process's part
	rotary *kernels.Rotary
	most   int // rows that there is room for

	tokens    int     // rows of the activations
	rows      []int32 // of the embedding, for the tokens
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

// addResidual ends a half-layer: y = x plus what all processes have of y.
func (p *pass) addResidual(y, x kernels.Matrix) error {
	if err := p.sum(y); err != nil {
		return err
	}
	p.be.Add(y, x)
	return nil
}

// residualBackward ends the backward pass of y = x + f(rmsnorm(x)): dx = dy plus
// what comes back through the norm, of which every process has a part in dn.
func (p *pass) residualBackward(dxBuf kernels.Buf, dn, dy, x kernels.Matrix, gain kernels.Buf) error {
	if dxBuf == nil {
		return nil
	}
	if err := p.sum(dn); err != nil {
		return err
	}
	dx := p.matrix(dxBuf, p.config.Hidden)
	p.be.Copy(dx, dy)
	p.be.RMSNormBackward(dx, dn, x, p.inv(), gain)
	return nil
}

// scratch are the buffers that one half-layer uses and the next may overwrite.
type scratch struct {
	norm, inv kernels.Buf // normed input and its row scales
	dnorm     kernels.Buf // gradient in the normed input
	wide      kernels.Buf // product of the MLP, or gradient in the attention's output
	dwide     kernels.Buf // gradient in the MLP's product, or in the queries
	dk, dv    kernels.Buf // gradients in keys and values
	dh        kernels.Buf // gradient in a group's h
	factors   kernels.Buf // joined factors: all of those are hidden wide
	dfactors  kernels.Buf // gradients in them
	drop      kernels.Buf // an adapter's input after dropout
	ddrop     kernels.Buf // the gradient in it
}

// newPass allocates for up to most rows. rank is the largest of a group of linears.
func newPass(be kernels.Backend, r *room, m *Model, most, rank int, dropoutP float64) *pass {
	c := m.Config.part(m.Group().Procs())
	p := &pass{
		be: be, procs: m.Group(), room: r, config: c, most: most,
		rotary: c.RopeScaling.Rotary(c.HeadDim), dropout: dropout{p: dropoutP},
	}
	p.attention = kernels.AttentionShape{Heads: c.Heads, KVHeads: c.KVHeads, HeadDim: c.HeadDim, Scale: c.attnScale()}
	wide, s := max(c.Intermediate, c.Heads*c.HeadDim), r.scratch()
	p.scratch = scratch{
		norm: s.Alloc(most * c.Hidden), inv: s.Alloc(most), wide: s.Alloc(most * wide), factors: s.Alloc(rank * c.Hidden),
	}
	if dropoutP > 0 {
		p.scratch.drop = s.Alloc(most * max(wide, c.Hidden))
	}
	if r.backward {
		p.scratch.addBackward(r.backScratch(), c, most, rank, dropoutP)
	}
	return p
}

func (s *scratch) addBackward(back allocator, c *Config, most, rank int, dropoutP float64) {
	wide, narrow := max(c.Intermediate, c.Heads*c.HeadDim), c.KVHeads*c.HeadDim
	s.dnorm, s.dwide, s.dh = back.Alloc(most*c.Hidden), back.Alloc(most*wide), back.Alloc(most*rank)
	s.dk, s.dv = back.Alloc(most*narrow), back.Alloc(most*narrow)
	s.dfactors = back.Alloc(rank * c.Hidden)
	if dropoutP > 0 {
		s.ddrop = back.Alloc(most * max(wide, c.Hidden))
	}
}
