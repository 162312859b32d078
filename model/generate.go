package model

import (
	"context"
	"fmt"
	"slices"

	"bdlora/kernels"
)

// prefillTokens is the most of a prompt that goes through the model at a time.
const prefillTokens = 512

// Generator continues sequences of tokens, one at a time, with a key-value cache.
type Generator struct {
	inf    *Inference
	caches []kvCache // one a layer
	past   int       // tokens in the caches
	most   int
}

// kvCache holds the rotated keys and the values of a layer, [most, kvHeads·headDim].
type kvCache struct {
	k, v kernels.Buf
}

// NewGenerator allocates caches for prompt and continuation of together at most
// tokens. t may be nil.
func NewGenerator(be kernels.Backend, m *Model, t *Trainable, tokens int) *Generator {
	g := &Generator{inf: newInference(be, m, t, min(tokens, prefillTokens), 1), most: tokens}
	width := g.inf.pass.config.KVHeads * m.Config.HeadDim
	for range m.Config.Layers {
		g.caches = append(g.caches, kvCache{be.Alloc(tokens * width), be.Alloc(tokens * width)})
	}
	return g
}

// GenerateConfig says how to continue a prompt.
type GenerateConfig struct {
	MaxNewTokens int
	Sampling     Sampling
	Stop         []int32 // tokens that end the continuation, not part of it
}

// Generate continues prompt and hands each new token to emit as it comes. It stops
// at a stop token, after MaxNewTokens, when ctx ends (whose error it returns), or
// when emit returns an error, which it returns.
func (g *Generator) Generate(ctx context.Context, prompt []int32, c GenerateConfig, emit func(int32) error) error {
	if len(prompt) == 0 || len(prompt)+c.MaxNewTokens > g.most {
		return fmt.Errorf("model: a prompt of %d tokens and %d new ones, want 1 or more and together at most %d",
			len(prompt), c.MaxNewTokens, g.most)
	}
	if err := g.inf.model.Config.checkTokens(prompt); err != nil {
		return err
	}
	g.past = 0
	sampler := newSampler(c.Sampling)
	next := prompt
	for range c.MaxNewTokens {
		logits, err := g.feed(ctx, next)
		if err != nil {
			return err
		}
		token := sampler.next(logits)
		if slices.Contains(c.Stop, token) {
			return nil
		}
		if err := emit(token); err != nil {
			return err
		}
		next = []int32{token}
	}
	return nil
}

// feed sends tokens through the model behind what is cached, and returns the logits
// of the last one.
func (g *Generator) feed(ctx context.Context, tokens []int32) ([]float32, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		part := tokens[:min(len(tokens), g.inf.most)]
		x, err := g.forward(part)
		if err != nil {
			return nil, err
		}
		if tokens = tokens[len(part):]; len(tokens) == 0 {
			return g.inf.logits(x, len(part)-1, len(part))
		}
	}
}

// forward is [Inference.forward] with the caches in the attention halves.
func (g *Generator) forward(tokens []int32) (kernels.Buf, error) {
	p := g.inf.pass
	p.tokens, p.positions = len(tokens), p.positions[:0]
	for i := range tokens {
		p.positions = append(p.positions, int32(g.past+i))
	}
	p.attention.Queries, p.attention.Keys = []int{len(tokens)}, []int{g.past + len(tokens)}
	if err := p.embed(g.inf.inputs[0], g.inf.embed, tokens); err != nil {
		return nil, err
	}
	for i := range g.inf.halves {
		if err := g.half(i); err != nil {
			return nil, err
		}
	}
	g.past += len(tokens)
	return g.inf.inputs[len(g.inf.halves)], nil
}

// half runs half-layer i.
func (g *Generator) half(i int) error {
	h, x, y := &g.inf.halves[i], g.inf.inputs[i], g.inf.inputs[i+1]
	params := h.params(g.inf.shards)
	if attention, ok := h.Func.(*attentionHalf); ok {
		return attention.decode(y, x, &g.caches[i/2], g.past, params)
	}
	return h.Forward(y, x, params)
}

// decode is Forward with the keys and values of what came before in cache, to which
// it adds those of x.
func (h *attentionHalf) decode(yBuf, xBuf kernels.Buf, cache *kvCache, past int, params []kernels.Buf) error {
	p, width := h.pass, h.pass.config.KVHeads*h.pass.config.HeadDim
	x, y := p.matrix(xBuf, p.config.Hidden), p.matrix(yBuf, p.config.Hidden)
	q, _, _, a := h.views()
	keys := kernels.NewMatrix(cache.k, past+p.tokens, width)
	values := kernels.NewMatrix(cache.v, past+p.tokens, width)
	h.project(q, keys.RowRange(past, keys.Rows), values.RowRange(past, values.Rows), x, params)
	p.be.Attention(a, h.lse(), q, keys, values, &p.attention)
	h.o.forward(p, a, params, y)
	return p.addResidual(y, x)
}
