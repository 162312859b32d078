package model

import "bdlora/kernels"

// mlpHalf is the second half of a layer, with its residual:
//
//	n    = rmsnorm(x)               [tokens, hidden]
//	g, u = n·Wgateᵀ, n·Wupᵀ         [tokens, intermediate]
//	s    = silu(g) ⊙ u              [tokens, intermediate]
//	y    = x + s·Wdownᵀ             [tokens, hidden]
//
// where every linear has its adapter inside.
type mlpHalf struct {
	pass         *pass
	name         string
	norm         kernels.Buf
	gateUp, down group
	tape         *mlpTape
	recompute    bool // the tape is shared: run forward again before backward
}

// mlpTape is what backward needs of forward. Backward overwrites it with the
// gradients in the same places.
type mlpTape struct {
	gate, up kernels.Buf
}

func newMLPTape(tape allocator, c *Config, tokens int) *mlpTape {
	return &mlpTape{gate: tape.Alloc(tokens * c.Intermediate), up: tape.Alloc(tokens * c.Intermediate)}
}

// Name is the checkpoint's path of the half-layer.
func (h *mlpHalf) Name() string { return h.name }

// Forward computes y from x, both [tokens, hidden].
func (h *mlpHalf) Forward(yBuf, xBuf kernels.Buf, params []kernels.Buf) error {
	p := h.pass
	x, y := p.matrix(xBuf, p.config.Hidden), p.matrix(yBuf, p.config.Hidden)
	if err := h.project(x, params); err != nil {
		return err
	}
	g, u, s := h.views()
	p.be.SwiGLU(s, g, u)
	if err := h.down.forward(p, s, params, y); err != nil {
		return err
	}
	return p.addResidual(y, x)
}

// project fills the tape: gate and up.
func (h *mlpHalf) project(x kernels.Matrix, params []kernels.Buf) error {
	p := h.pass
	n := p.matrix(p.scratch.norm, p.config.Hidden)
	g, u, _ := h.views()
	p.be.RMSNorm(n, p.inv(), x, h.norm, p.config.NormEps)
	return h.gateUp.forward(p, n, params, g, u)
}

func (h *mlpHalf) views() (g, u, s kernels.Matrix) {
	p, width := h.pass, h.pass.config.Intermediate
	return p.matrix(h.tape.gate, width), p.matrix(h.tape.up, width), p.matrix(p.scratch.wide, width)
}

// Backward is Forward read from the bottom up.
func (h *mlpHalf) Backward(dxBuf kernels.Buf, dparams []kernels.Buf,
	dyBuf, xBuf kernels.Buf, params []kernels.Buf) error {
	p, be := h.pass, h.pass.be
	x, dy := p.matrix(xBuf, p.config.Hidden), p.matrix(dyBuf, p.config.Hidden)
	if h.recompute {
		if err := h.project(x, params); err != nil {
			return err
		}
	}
	g, u, s := h.views()
	ds := p.matrix(p.scratch.dwide, s.Cols)

	be.SwiGLU(s, g, u)
	if h.recompute {
		h.down.compress(p, s, params)
	}
	h.down.backward(p, ds, s, params, dparams, dy)
	dg, du := g, u
	be.SwiGLUBackward(dg, du, ds, g, u)

	n := p.matrix(p.scratch.norm, p.config.Hidden)
	be.RMSNorm(n, p.inv(), x, h.norm, p.config.NormEps)
	dn := p.normGradient(dxBuf)
	h.gateUp.backward(p, dn, n, params, dparams, dg, du)
	return p.residualBackward(dxBuf, dn, dy, x, h.norm)
}
