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
	decoder *Decoder
}

// NewGenerator allocates caches for prompt and continuation of together at most
// tokens. t may be nil.
func NewGenerator(be kernels.Backend, m *Model, t *Trainable, tokens int) *Generator {
	return &Generator{NewDecoder(be, m, t, DecoderConfig{Sequences: 1, Tokens: tokens, PassTokens: prefillTokens})}
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
	d := g.decoder
	if most := d.config.Tokens; len(prompt) == 0 || len(prompt)+c.MaxNewTokens > most {
		return fmt.Errorf("model: a prompt of %d tokens and %d new ones, want 1 or more and together at most %d",
			len(prompt), c.MaxNewTokens, most)
	}
	if err := d.inf.model.Config.checkTokens(prompt); err != nil {
		return err
	}
	d.sequences, d.past = 1, 0
	sampler := newSampler(c.Sampling)
	next := prompt
	for range c.MaxNewTokens {
		logits, err := d.feed(ctx, next)
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
