package model

import (
	"context"
	"fmt"

	"bdlora/kernels"
)

// Decoder continues several sequences of one length side by side, with a key-value cache
// for each.
type Decoder struct {
	inf    *Inference
	config DecoderConfig
	caches [][]kvCache // [layers][sequences]

	sequences int // that are under way
	past      int // tokens of each in the caches
}

// DecoderConfig is how a [Decoder] is built.
type DecoderConfig struct {
	Sequences  int // the most of them
	Tokens     int // the most of a sequence
	PassTokens int // the most that go through the model at a time
}

// kvCache holds the rotated keys and the values of a layer, [most, kvHeads·headDim].
type kvCache struct {
	k, v kernels.Buf
}

// NewDecoder allocates the caches. t may be nil.
func NewDecoder(be kernels.Backend, m *Model, t *Trainable, c DecoderConfig) *Decoder {
	d := &Decoder{config: c, inf: newInference(be, m, t, max(c.Sequences, min(c.Tokens, c.PassTokens)), c.Sequences)}
	length := c.Tokens * d.inf.pass.config.KVHeads * m.Config.HeadDim
	for range m.Config.Layers {
		layer := make([]kvCache, c.Sequences)
		for i := range layer {
			layer[i] = kvCache{be.Alloc(length), be.Alloc(length)}
		}
		d.caches = append(d.caches, layer)
	}
	return d
}

// Begin makes prompt the beginning of a single sequence, and returns the logits of its
// last token.
//
// It refuses a prompt that there is no room for.
func (d *Decoder) Begin(ctx context.Context, prompt []int32) ([]float32, error) {
	if len(prompt) == 0 || len(prompt) > d.config.Tokens {
		return nil, fmt.Errorf("model: a prompt of %d tokens, want 1 to %d", len(prompt), d.config.Tokens)
	}
	if err := d.inf.model.Config.checkTokens(prompt); err != nil {
		return nil, err
	}
	d.sequences, d.past = 1, 0
	return d.feed(ctx, prompt)
}

// Fork goes on with so many sequences that all begin with the first tokens of the first
// one.
//
// It refuses more sequences than there is room for, and more tokens than the first has.
func (d *Decoder) Fork(sequences, tokens int) error {
	if sequences < 1 || sequences > d.config.Sequences || tokens < 1 || tokens > d.past {
		return fmt.Errorf("model: %d sequences from %d tokens, want 1 to %d from 1 to %d",
			sequences, tokens, d.config.Sequences, d.past)
	}
	d.sequences, d.past = sequences, tokens
	width := d.inf.pass.config.KVHeads * d.inf.pass.config.HeadDim
	rows := func(cached kernels.Buf) kernels.Matrix { return kernels.NewMatrix(cached, tokens, width) }
	for _, layer := range d.caches {
		for _, cache := range layer[1:sequences] {
			d.inf.be.Copy(rows(cache.k), rows(layer[0].k))
			d.inf.be.Copy(rows(cache.v), rows(layer[0].v))
		}
	}
	return nil
}

// Step puts a token behind each of the sequences and returns the logits of what follows
// them, [sequences, vocab].
//
// It refuses a number of tokens that is not that of the sequences, and any where there
// is no room.
func (d *Decoder) Step(tokens []int32) ([]float32, error) {
	if len(tokens) == 0 || len(tokens) != d.sequences || d.past == d.config.Tokens {
		return nil, fmt.Errorf("model: %d tokens behind %d sequences of %d, want one for each and room for %d",
			len(tokens), d.sequences, d.past, d.config.Tokens)
	}
	if err := d.inf.model.Config.checkTokens(tokens); err != nil {
		return nil, err
	}
	x, err := d.forward(tokens)
	if err != nil {
		return nil, err
	}
	return d.inf.logits(x, 0, len(tokens))
}

// feed sends tokens of a single sequence through the model behind what is cached, and
// returns the logits of the last one.
func (d *Decoder) feed(ctx context.Context, tokens []int32) ([]float32, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		part := tokens[:min(len(tokens), d.inf.most)]
		x, err := d.forward(part)
		if err != nil {
			return nil, err
		}
		if tokens = tokens[len(part):]; len(tokens) == 0 {
			return d.inf.logits(x, len(part)-1, len(part))
		}
	}
}

// forward is [Inference.forward] with the caches in the attention halves. The tokens are
// as many of each sequence, one sequence after another.
func (d *Decoder) forward(tokens []int32) (kernels.Buf, error) {
	p, each := d.inf.pass, len(tokens)/d.sequences
	p.tokens, p.positions = len(tokens), p.positions[:0]
	for i := range tokens {
		p.positions = append(p.positions, int32(d.past+i%each))
	}
	p.attention.Queries, p.attention.Keys = []int{each}, []int{d.past + each} // of one sequence
	if err := p.embed(d.inf.inputs[0], d.inf.embed, tokens); err != nil {
		return nil, err
	}
	for i := range d.inf.halves {
		if err := d.half(i); err != nil {
			return nil, err
		}
	}
	d.past += each
	return d.inf.inputs[len(d.inf.halves)], nil
}

// half runs half-layer i.
func (d *Decoder) half(i int) error {
	h, x, y := &d.inf.halves[i], d.inf.inputs[i], d.inf.inputs[i+1]
	params := h.params(d.inf.shards)
	if attention, ok := h.Func.(*attentionHalf); ok {
		return attention.decode(y, x, d.caches[i/2][:d.sequences], d.past, params)
	}
	return h.Forward(y, x, params)
}

// decode is Forward with the keys and values of what came before in caches, one a
// sequence, to which it adds those of x.
func (h *attentionHalf) decode(yBuf, xBuf kernels.Buf, caches []kvCache, past int, params []kernels.Buf) error {
	p := h.pass
	x, y := p.matrix(xBuf, p.config.Hidden), p.matrix(yBuf, p.config.Hidden)
	q, k, v, a := h.views()
	if err := h.project(q, k, v, x, params); err != nil {
		return err
	}
	each := p.tokens / len(caches)
	for i, cache := range caches {
		from, to := i*each, (i+1)*each
		keys := extend(p.be, cache.k, past, k.RowRange(from, to))
		values := extend(p.be, cache.v, past, v.RowRange(from, to))
		lse := h.lse().Slice(from*p.config.Heads, to*p.config.Heads)
		p.be.Attention(a.RowRange(from, to), lse, q.RowRange(from, to), keys, values, &p.attention)
	}
	if err := h.o.forward(p, a, params, y); err != nil {
		return err
	}
	return p.addResidual(y, x)
}

// extend copies rows behind the past ones in cached and returns them all.
func extend(be kernels.Backend, cached kernels.Buf, past int, rows kernels.Matrix) kernels.Matrix {
	all := kernels.NewMatrix(cached, past+rows.Rows, rows.Cols)
	be.Copy(all.RowRange(past, all.Rows), rows)
	return all
}
