package model

import (
	"fmt"

	"bdlora/data"
	"bdlora/kernels"
)

// Inference runs a model forward, without a graph: for evaluation and generation.
// With a Trainable it runs the adapter on top, seeing every change of its
// parameters at once.
type Inference struct {
	be     kernels.Backend
	model  *Model
	pass   *pass
	head   *head
	halves []half
	shards []kernels.Buf // parameters of the adapter; none without
	x      [2]kernels.Buf
	most   int
}

// NewInference prepares passes of up to tokens tokens. t may be nil.
func NewInference(be kernels.Backend, m *Model, t *Trainable, tokens int) *Inference {
	return newInference(be, m, t, tokens, tokens)
}

// newInference is NewInference with logits of up to rows tokens at a time.
func newInference(be kernels.Backend, m *Model, t *Trainable, tokens, rows int) *Inference {
	inf := &Inference{be: be, model: m, most: tokens}
	rank := 0
	if t != nil {
		rank, inf.shards = maxRank(t.Plan), t.Params
	}
	inf.pass = newPass(be, m.Config, tokens, rank, 0, false)
	inf.head = newHead(inf.pass, upload(be, m.norm), m.head, rows, false)
	tapes := &tapes{be: be, config: m.Config, tokens: tokens, shared: true}
	inf.halves = newHalves(inf.pass, m, t.plan(), tapes)
	inf.x = [2]kernels.Buf{be.Alloc(tokens * m.Config.Hidden), be.Alloc(tokens * m.Config.Hidden)}
	return inf
}

// Loss returns the sum of the batch's token losses and the number of tokens that it
// is the sum of.
func (inf *Inference) Loss(batch *data.Batch) (sum float64, trained int, err error) {
	if err := inf.check(batch.Tokens); err != nil {
		return 0, 0, err
	}
	inf.pass.begin(batch)
	inf.head.begin(batch.Targets, 1)
	x, err := inf.forward(batch.Tokens)
	if err != nil {
		return 0, 0, err
	}
	if err := inf.head.Forward(inf.pass.scratch.inv.Slice(0, 1), x, nil); err != nil {
		return 0, 0, err
	}
	return inf.head.sum, len(inf.head.rows), nil
}

// Logits returns the logits of every token of the batch, [tokens, vocab].
func (inf *Inference) Logits(batch *data.Batch) ([]float32, error) {
	if err := inf.check(batch.Tokens); err != nil {
		return nil, err
	}
	inf.pass.begin(batch)
	x, err := inf.forward(batch.Tokens)
	if err != nil {
		return nil, err
	}
	return inf.logits(x, 0, len(batch.Tokens)), nil
}

func (inf *Inference) check(tokens []int32) error {
	if len(tokens) < 1 || len(tokens) > inf.most {
		return fmt.Errorf("model: a pass of %d tokens, want 1 to %d", len(tokens), inf.most)
	}
	return inf.model.Config.checkTokens(tokens)
}

// forward embeds the tokens and sends them through all half-layers.
func (inf *Inference) forward(tokens []int32) (kernels.Buf, error) {
	x, y := inf.x[0], inf.x[1]
	inf.be.Embed(inf.pass.matrix(x, inf.model.Config.Hidden), inf.model.embed, tokens)
	for i := range inf.halves {
		h := &inf.halves[i]
		if err := h.Forward(y, x, h.params(inf.shards)); err != nil {
			return nil, err
		}
		x, y = y, x
	}
	return x, nil
}

// logits are those of rows [from, to) of the last half-layer's output, on the host.
func (inf *Inference) logits(x kernels.Buf, from, to int) []float32 {
	h, hidden, vocab := inf.head, inf.model.Config.Hidden, inf.model.head.Rows
	all := make([]float32, (to-from)*vocab)
	rows := inf.pass.matrix(x, hidden)
	for at := from; at < to; at += h.chunk {
		count := min(h.chunk, to-at)
		n, logits := kernels.NewMatrix(h.n, count, hidden), kernels.NewMatrix(h.logits, count, vocab)
		inf.be.RMSNorm(n, h.inv.Slice(0, count), rows.RowRange(at, at+count), h.norm, inf.model.Config.NormEps)
		inf.be.Linear(logits, n, h.weight)
		inf.be.Download(all[(at-from)*vocab:(at-from+count)*vocab], logits.Buf.Slice(0, count*vocab))
	}
	return all
}
