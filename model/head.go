package model

import (
	"math"

	"bdlora/kernels"
	"bdlora/kernels/comm"
)

// headChunkBytes bounds the logits that exist at a time, but for headChunkRows of
// them: fewer do not repay reading the whole vocabulary.
const (
	headChunkBytes = 64 << 20
	headChunkRows  = 256
)

// head is the end of the model with the loss inside:
//
//	n    = rmsnorm(x)                            rows with a target only
//	loss = scale·Σ −log softmax(n·Wᵀ)[target]
//
// Rows without a target are skipped before the product with the vocabulary, the
// others go through it in chunks, and each chunk's gradient is made in the same
// pass: logits for the whole micro-batch never exist. Processes that share the
// vocabulary exchange three numbers a row, and the sum of their gradients in n.
type head struct {
	pass   *pass
	norm   kernels.Buf
	weight vocabulary // [its part of the vocabulary, hidden]

	targets []int32 // of the micro-batch, -1 for none
	scale   float64 // of the loss: one over the trained tokens of the optimizer step
	sum     float64 // of the last Forward, not scaled

	chunk          int   // rows
	rows           []int // that have a target
	x, n           kernels.Buf
	inv, dn, dx    kernels.Buf
	logits, loss   kernels.Buf
	wanted         []int32             // targets of a chunk
	softmax        kernels.SoftmaxRows // of a chunk
	sums           []float64           // of softmax, on their way between processes
	factors        []float64           // of a chunk's gradient
	makesGradients bool
}

// newHead allocates for up to tokens rows, and for their gradients if the pass goes
// back.
func newHead(p *pass, norm kernels.Buf, weight vocabulary, tokens int) *head {
	h := &head{pass: p, norm: norm, weight: weight, makesGradients: p.room.backward}
	h.chunk = min(tokens, max(headChunkRows, headChunkBytes/4/weight.most))
	hidden, r := p.config.Hidden, p.room.head()
	h.x, h.n, h.inv = r.Alloc(h.chunk*hidden), r.Alloc(h.chunk*hidden), r.Alloc(h.chunk)
	h.logits, h.loss = r.Alloc(h.chunk*weight.Rows), r.Alloc(1)
	h.softmax, h.factors = kernels.NewSoftmaxRows(h.chunk), make([]float64, h.chunk)
	if h.makesGradients {
		h.dn, h.dx = r.Alloc(tokens*hidden), r.Alloc(h.chunk*hidden)
	}
	return h
}

// begin takes the targets of the micro-batch.
func (h *head) begin(targets []int32, scale float64) {
	h.targets, h.scale, h.rows = targets, scale, h.rows[:0]
	for i, target := range targets {
		if target >= 0 {
			h.rows = append(h.rows, i)
		}
	}
}

// Name is unique in the graph.
func (h *head) Name() string { return "lm_head" }

// Forward sets loss [1] from x [tokens, hidden], and keeps the gradient in the
// normed rows.
func (h *head) Forward(loss, xBuf kernels.Buf, _ []kernels.Buf) error {
	p, hidden := h.pass, h.pass.config.Hidden
	x := p.matrix(xBuf, hidden)
	h.sum = 0
	for from := 0; from < len(h.rows); from += h.chunk {
		rows := h.rows[from:min(from+h.chunk, len(h.rows))]
		n := kernels.NewMatrix(h.n, len(rows), hidden)
		logits := kernels.NewMatrix(h.logits, len(rows), h.weight.Rows)
		p.be.RMSNorm(n, h.inv.Slice(0, len(rows)), h.gather(x, rows), h.norm, p.config.NormEps)
		p.be.Linear(logits, n, h.weight.Weight)
		targets, softmax := h.targetsOf(rows), h.softmax.First(len(rows))
		p.be.CrossEntropy(softmax, logits, targets)
		if err := h.join(softmax); err != nil {
			return err
		}
		h.sum += softmax.Loss()
		if h.makesGradients {
			p.be.CrossEntropyBackward(logits, targets, h.factors[:len(rows)], h.scale)
			dn := kernels.NewMatrix(h.dn.Slice(from*hidden, h.dn.Len()), len(rows), hidden)
			p.be.LinearBackward(dn, logits, h.weight.Weight, false)
		}
	}
	p.be.Upload(loss, []float32{float32(h.sum * h.scale)})
	return nil
}

// Backward sets dx from the gradients that Forward kept.
func (h *head) Backward(dxBuf kernels.Buf, _ []kernels.Buf, dloss, xBuf kernels.Buf, _ []kernels.Buf) error {
	p, hidden := h.pass, h.pass.config.Hidden
	x, dx := p.matrix(xBuf, hidden), p.matrix(dxBuf, hidden)
	factor := make([]float32, 1)
	p.be.Download(factor, dloss)
	p.be.Clear(dx.Buf.Slice(0, p.tokens*hidden))
	if err := p.sum(kernels.NewMatrix(h.dn, len(h.rows), hidden)); err != nil {
		return err
	}
	for from := 0; from < len(h.rows); from += h.chunk {
		rows := h.rows[from:min(from+h.chunk, len(h.rows))]
		n := kernels.NewMatrix(h.n, len(rows), hidden)
		dn := kernels.NewMatrix(h.dn.Slice(from*hidden, h.dn.Len()), len(rows), hidden)
		xs, dxs := h.gather(x, rows), kernels.NewMatrix(h.dx, len(rows), hidden)
		inv := h.inv.Slice(0, len(rows))
		p.be.RMSNorm(n, inv, xs, h.norm, p.config.NormEps)
		p.be.Scale(dn.Buf.Slice(0, len(rows)*hidden), float64(factor[0]))
		p.be.Clear(dxs.Buf.Slice(0, len(rows)*hidden))
		p.be.RMSNormBackward(dxs, dn, xs, inv, h.norm)
		eachRun(rows, func(at, row, count int) {
			p.be.Copy(dx.RowRange(row, row+count), dxs.RowRange(at, at+count))
		})
	}
	return nil
}

// join makes s, of a chunk and this process's part of the vocabulary, that of the whole
// vocabulary, and sets the factors that make gradients of the part's exponentials.
func (h *head) join(s kernels.SoftmaxRows) error {
	factors := h.factors[:len(s.Max)]
	copy(factors, s.Max)
	if err := h.pass.reduce(comm.Max, s.Max); err != nil {
		return err
	}
	for i := range factors {
		factors[i] = math.Exp(factors[i] - s.Max[i])
		s.Sum[i] *= factors[i]
	}
	h.sums = append(append(h.sums[:0], s.Sum...), s.Target...)
	if err := h.pass.reduce(comm.Sum, h.sums); err != nil {
		return err
	}
	copy(s.Sum, h.sums)
	copy(s.Target, h.sums[len(s.Sum):])
	for i, sum := range s.Sum {
		factors[i] *= h.scale / sum
	}
	return nil
}

// gather copies rows of x side by side.
func (h *head) gather(x kernels.Matrix, rows []int) kernels.Matrix {
	gathered := kernels.NewMatrix(h.x, len(rows), x.Cols)
	eachRun(rows, func(at, row, count int) {
		h.pass.be.Copy(gathered.RowRange(at, at+count), x.RowRange(row, row+count))
	})
	return gathered
}

// eachRun calls f for every run of successive rows: the run begins at rows[at],
// which is row.
func eachRun(rows []int, f func(at, row, count int)) {
	for at := 0; at < len(rows); {
		count := 1
		for at+count < len(rows) && rows[at+count] == rows[at]+count {
			count++
		}
		f(at, rows[at], count)
		at += count
	}
}

func (h *head) targetsOf(rows []int) []int32 {
	h.wanted = h.wanted[:0]
	for _, row := range rows {
		h.wanted = append(h.wanted, h.weight.row(h.targets[row]))
	}
	return h.wanted
}
