package model

import (
	"fmt"
	"strings"
)

// shape is the config of a public model.
type shape struct {
	name   string
	config Config
}

// shapes are what the config.json of public models say about their maths.
func shapes() []shape {
	tied := func(c Config) Config {
		c.TiedHead = true
		return c
	}
	smol := func(theta float64, c Config) Config {
		c.Vocab, c.MaxSeqLen, c.NormEps, c.RopeTheta = 49152, 8192, 1e-5, theta
		return tied(c)
	}
	llama := func(factor float64, c Config) Config {
		c.Vocab, c.MaxSeqLen, c.NormEps, c.RopeTheta = 128256, 131072, 1e-5, 5e5
		c.RopeScaling = &Rope{Type: "llama3", Factor: factor, LowFreqFactor: 1, HighFreqFactor: 4, OriginalMaxSeqLen: 8192}
		return c
	}
	return []shape{
		{"smollm2-135m", smol(1e5, Config{Hidden: 576, Intermediate: 1536, Layers: 30, Heads: 9, KVHeads: 3})},
		{"smollm2-360m", smol(1e5, Config{Hidden: 960, Intermediate: 2560, Layers: 32, Heads: 15, KVHeads: 5})},
		{"smollm2-1.7b", smol(1.3e5, Config{Hidden: 2048, Intermediate: 8192, Layers: 24, Heads: 32, KVHeads: 32})},
		{"llama-3.2-1b", tied(llama(32, Config{Hidden: 2048, Intermediate: 8192, Layers: 16, Heads: 32, KVHeads: 8}))},
		{"llama-3.2-3b", tied(llama(32, Config{Hidden: 3072, Intermediate: 8192, Layers: 28, Heads: 24, KVHeads: 8}))},
		{"llama-3.1-8b", llama(8, Config{Hidden: 4096, Intermediate: 14336, Layers: 32, Heads: 32, KVHeads: 8})},
		{"llama-3.1-70b", llama(8, Config{Hidden: 8192, Intermediate: 28672, Layers: 80, Heads: 64, KVHeads: 8})},
	}
}

// Shapes are the names of the public models whose shapes [Shape] knows.
func Shapes() []string {
	var names []string
	for _, s := range shapes() {
		names = append(names, s.name)
	}
	return names
}

// Shape is the config of a public model, for models with random weights.
//
// It returns an error that lists [Shapes] if name is none of them.
func Shape(name string) (*Config, error) {
	for _, s := range shapes() {
		if s.name == name {
			s.config.fill()
			return &s.config, nil
		}
	}
	return nil, fmt.Errorf("model: shape is %q, want one of %s", name, strings.Join(Shapes(), ", "))
}
