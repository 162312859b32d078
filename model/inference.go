package model

import (
	"fmt"

	"bdlora/bdlora"
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
	embed  vocabulary
	head   *head
	halves []half
	shards []kernels.Buf // parameters of the adapter; none without
	inputs []kernels.Buf // of each half-layer, and the head's
	most   int
}

// NewInference prepares passes of up to tokens tokens. t may be nil.
func NewInference(be kernels.Backend, m *Model, t *Trainable, tokens int) *Inference {
	return newInference(be, m, t, tokens, tokens)
}

// newInference is NewInference with logits of up to rows tokens at a time.
func newInference(be kernels.Backend, m *Model, t *Trainable, tokens, rows int) *Inference {
	var a arena
	inferenceIn(&a, be.CountMemory(), m, t.plan(), tokens, rows)
	a.memory = be.Alloc(a.plan())
	inf := inferenceIn(&a, be, m, t.plan(), tokens, rows)
	if t != nil {
		inf.shards = t.Params
	}
	return inf
}

// inferenceIn is an Inference in the memory of an arena, that has yet to be told
// where the adapter's parameters are.
func inferenceIn(a *arena, be kernels.Backend, m *Model, plan *bdlora.Plan, tokens, rows int) *Inference {
	r := &room{arena: a, halves: 2 * m.Config.Layers}
	rank := 0
	if plan != nil {
		rank = maxRank(plan, m.Group().Procs())
	}
	inf := &Inference{be: be, model: m, most: tokens, embed: m.vocabulary(m.embed), pass: newPass(be, r, m, tokens, rank, 0)}
	inf.head = newHead(inf.pass, upload(be, m.norm), m.vocabulary(m.head), rows)
	inf.halves = newHalves(inf.pass, m, plan)
	for i := range r.halves + 1 {
		inf.inputs = append(inf.inputs, r.input(i).Alloc(tokens*m.Config.Hidden))
	}
	return inf
}

// Loss returns the sum of the batch's token losses and the number of tokens that it
// is the sum of.
func (inf *Inference) Loss(batch *data.Batch) (sum float64, trained int, err error) {
	if err := inf.check(batch.Tokens); err != nil {
		return 0, 0, err
	}
	if err := inf.loss(batch); err != nil {
		return 0, 0, err
	}
	return inf.head.sum, len(inf.head.rows), nil
}

// loss leaves the loss of a batch in inf.head.
func (inf *Inference) loss(batch *data.Batch) error {
	inf.pass.begin(batch)
	inf.head.begin(batch.Targets, 1)
	x, err := inf.forward(batch.Tokens)
	if err != nil {
		return err
	}
	return inf.head.Forward(inf.head.loss, x, nil)
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
	return inf.logits(x, 0, len(batch.Tokens))
}

func (inf *Inference) check(tokens []int32) error {
	if len(tokens) < 1 || len(tokens) > inf.most {
		return fmt.Errorf("model: a pass of %d tokens, want 1 to %d", len(tokens), inf.most)
	}
	return inf.model.Config.checkTokens(tokens)
}

// forward embeds the tokens and sends them through all half-layers.
func (inf *Inference) forward(tokens []int32) (kernels.Buf, error) {
	if err := inf.pass.embed(inf.inputs[0], inf.embed, tokens); err != nil {
		return nil, err
	}
	for i := range inf.halves {
		h := &inf.halves[i]
		if err := h.Forward(inf.inputs[i+1], inf.inputs[i], h.params(inf.shards)); err != nil {
			return nil, err
		}
	}
	return inf.inputs[len(inf.halves)], nil
}

// logits are those of rows [from, to) of the last half-layer's output, on the host.
func (inf *Inference) logits(x kernels.Buf, from, to int) ([]float32, error) {
	h, hidden, vocab := inf.head, inf.model.Config.Hidden, inf.head.weight.all
	all := make([]float32, (to-from)*vocab)
	rows := inf.pass.matrix(x, hidden)
	for at := from; at < to; at += h.chunk {
		count := min(h.chunk, to-at)
		n, logits := kernels.NewMatrix(h.n, count, hidden), kernels.NewMatrix(h.logits, count, h.weight.Rows)
		inf.be.RMSNorm(n, h.inv.Slice(0, count), rows.RowRange(at, at+count), h.norm, inf.model.Config.NormEps)
		inf.be.Linear(logits, n, h.weight.Weight)
		if err := inf.pass.gather(all[(at-from)*vocab:(at-from+count)*vocab], logits, h.weight); err != nil {
			return nil, err
		}
	}
	return all, nil
}
