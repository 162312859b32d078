package model

import (
	"errors"
	"fmt"
	"math"

	"bdlora/kernels"
)

// Rope is config.json's rope_scaling (transformers 4) or rope_parameters
// (transformers 5).
type Rope struct {
	Type              string  `json:"rope_type"` // "", "default", "linear" or "llama3"
	OldType           string  `json:"type"`      // the key before transformers 4.43
	Theta             float64 `json:"rope_theta"`
	Factor            float64 `json:"factor"`
	LowFreqFactor     float64 `json:"low_freq_factor"`
	HighFreqFactor    float64 `json:"high_freq_factor"`
	OriginalMaxSeqLen int     `json:"original_max_position_embeddings"`
}

func (r *Rope) kind() string {
	switch {
	case r.Type != "":
		return r.Type
	case r.OldType != "":
		return r.OldType
	}
	return "default"
}

func (r *Rope) validate() error {
	var errs []error
	if !(r.Theta > 0) {
		errs = append(errs, fmt.Errorf("rope_theta is %g, want more than 0", r.Theta))
	}
	kind := r.kind()
	if kind != "default" && kind != "linear" && kind != "llama3" {
		errs = append(errs, fmt.Errorf("rope_type is %q, want default, linear or llama3", kind))
	}
	if kind != "default" && !(r.Factor >= 1) {
		errs = append(errs, fmt.Errorf("the factor of rope_type %s is %g, want at least 1", kind, r.Factor))
	}
	if kind == "llama3" && !(0 < r.LowFreqFactor && r.LowFreqFactor < r.HighFreqFactor) {
		errs = append(errs, fmt.Errorf("low_freq_factor is %g and high_freq_factor %g, want 0 < low < high",
			r.LowFreqFactor, r.HighFreqFactor))
	}
	return errors.Join(errs...)
}

// Rotary returns the angles of headDim/2 pairs: thetaᵉ with e = −2j/headDim,
// scaled as r says.
//
//	linear:  freq/factor
//	llama3:  with wavelengths λ = 2π/freq and L the original context length:
//	         freq where λ < L/high, freq/factor where λ > L/low, in between
//	         (1−s)·freq/factor + s·freq with s = (L/λ − low)/(high − low)
//
// Source: the rope utilities of transformers and Meta's Llama 3.1 reference.
func (r *Rope) Rotary(headDim int) *kernels.Rotary {
	freq := make([]float64, headDim/2)
	for j := range freq {
		freq[j] = r.scaled(math.Pow(r.Theta, -float64(2*j)/float64(headDim)))
	}
	return &kernels.Rotary{Freq: freq, Scale: 1}
}

func (r *Rope) scaled(freq float64) float64 {
	switch r.kind() {
	case "linear":
		return freq / r.Factor
	case "llama3":
		turns := float64(r.OriginalMaxSeqLen) * freq / (2 * math.Pi) // L/λ
		smooth := (turns - r.LowFreqFactor) / (r.HighFreqFactor - r.LowFreqFactor)
		smooth = math.Min(math.Max(smooth, 0), 1)
		return (1-smooth)*freq/r.Factor + smooth*freq
	}
	return freq
}
