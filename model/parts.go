package model

import (
	"fmt"

	"bdlora/kernels"
)

// Linear is the frozen weight of a linear of [Config.Linears] in a layer.
func (m *Model) Linear(layer int, name string) *kernels.Weight { return m.layers[layer].linears[name] }

// Head is the weight that makes logits, [vocab, hidden]; the embedding if it is tied.
func (m *Model) Head() *kernels.Weight { return m.head }

// FirstLayers is the model of m's first layers, embedding, last norm and head. It
// shares m's weights: m is still the one to close.
//
// Its error names the layers that m has if it has not that many.
func (m *Model) FirstLayers(layers int) (*Model, error) {
	if layers < 1 || layers > m.Config.Layers {
		return nil, fmt.Errorf("model: %d layers, want 1 to the model's %d", layers, m.Config.Layers)
	}
	config, part := *m.Config, *m
	config.Layers = layers
	part.Config, part.layers, part.files, part.quantized = &config, m.layers[:layers], nil, nil
	return &part, nil
}
