package model

import "bdlora/kernels"

// attentionHalf is the first half of a layer, with its residual:
//
//	n       = rmsnorm(x)                   [tokens, hidden]
//	q, k, v = n·Wqᵀ, n·Wkᵀ, n·Wvᵀ          [tokens, heads·headDim], k and v [tokens, kvHeads·headDim]
//	q, k    = rope(q), rope(k)
//	a       = attention(q, k, v)           [tokens, heads·headDim]
//	y       = x + a·Woᵀ                    [tokens, hidden]
//
// where every linear has its adapter inside.
type attentionHalf struct {
	pass      *pass
	name      string
	norm      kernels.Buf
	qkv, o    group
	tape      *attentionTape
	recompute bool // the tape is shared: run forward again before backward
}

// attentionTape is what backward needs of forward.
type attentionTape struct {
	q, k, v, a, lse kernels.Buf
}

func newAttentionTape(tape allocator, c *Config, tokens int) *attentionTape {
	wide, narrow := tokens*c.Heads*c.HeadDim, tokens*c.KVHeads*c.HeadDim
	return &attentionTape{
		q: tape.Alloc(wide), k: tape.Alloc(narrow), v: tape.Alloc(narrow), a: tape.Alloc(wide),
		lse: tape.Alloc(tokens * c.Heads),
	}
}

// Name is the checkpoint's path of the half-layer.
func (h *attentionHalf) Name() string { return h.name }

// Forward computes y from x, both [tokens, hidden].
func (h *attentionHalf) Forward(yBuf, xBuf kernels.Buf, params []kernels.Buf) error {
	p := h.pass
	x, y := p.matrix(xBuf, p.config.Hidden), p.matrix(yBuf, p.config.Hidden)
	if err := h.attend(x, params); err != nil {
		return err
	}
	_, _, _, a := h.views()
	if err := h.o.forward(p, a, params, y); err != nil {
		return err
	}
	return p.addResidual(y, x)
}

// attend fills the tape: everything up to the attention's output.
func (h *attentionHalf) attend(x kernels.Matrix, params []kernels.Buf) error {
	p := h.pass
	q, k, v, a := h.views()
	if err := h.project(q, k, v, x, params); err != nil {
		return err
	}
	p.be.Attention(a, h.lse(), q, k, v, &p.attention)
	return nil
}

// project computes q, k and v of the rows x, rotated to their positions.
func (h *attentionHalf) project(q, k, v, x kernels.Matrix, params []kernels.Buf) error {
	p := h.pass
	n := p.matrix(p.scratch.norm, p.config.Hidden)
	p.be.RMSNorm(n, p.inv(), x, h.norm, p.config.NormEps)
	if err := h.qkv.forward(p, n, params, q, k, v); err != nil {
		return err
	}
	p.be.RoPE(q, p.positions, p.rotary, false)
	p.be.RoPE(k, p.positions, p.rotary, false)
	return nil
}

func (h *attentionHalf) views() (q, k, v, a kernels.Matrix) {
	p, c := h.pass, h.pass.config
	wide, narrow := c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
	return p.matrix(h.tape.q, wide), p.matrix(h.tape.k, narrow), p.matrix(h.tape.v, narrow), p.matrix(h.tape.a, wide)
}

// lse is the tape's logarithms of the rows that are in use.
func (h *attentionHalf) lse() kernels.Buf {
	return h.tape.lse.Slice(0, h.pass.tokens*h.pass.config.Heads)
}

// Backward is Forward read from the bottom up.
func (h *attentionHalf) Backward(dxBuf kernels.Buf, dparams []kernels.Buf,
	dyBuf, xBuf kernels.Buf, params []kernels.Buf) error {
	p, be := h.pass, h.pass.be
	x, dy := p.matrix(xBuf, p.config.Hidden), p.matrix(dyBuf, p.config.Hidden)
	q, k, v, a := h.views()
	if h.recompute {
		if err := h.attend(x, params); err != nil {
			return err
		}
		h.o.compress(p, a, params)
	}
	da, dq := p.matrix(p.scratch.wide, a.Cols), p.matrix(p.scratch.dwide, q.Cols)
	dk, dv := p.matrix(p.scratch.dk, k.Cols), p.matrix(p.scratch.dv, v.Cols)

	h.o.backward(p, da, a, params, dparams, dy)
	be.AttentionBackward(dq, dk, dv, da, a, h.lse(), q, k, v, &p.attention)
	be.RoPE(dq, p.positions, p.rotary, true)
	be.RoPE(dk, p.positions, p.rotary, true)

	n := p.matrix(p.scratch.norm, p.config.Hidden)
	be.RMSNorm(n, p.inv(), x, h.norm, p.config.NormEps)
	dn := p.normGradient(dxBuf)
	h.qkv.backward(p, dn, n, params, dparams, dq, dk, dv)
	return p.residualBackward(dxBuf, dn, dy, x, h.norm)
}
