package model

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
)

// Sampling says how the next token is drawn from the logits. The zero value is
// greedy: always the likeliest, the first of equals.
type Sampling struct {
	Temperature float64 // divides the logits; 0 is greedy
	TopK        int     // only the k likeliest; 0 is all
	TopP        float64 // only the likeliest that together reach p; 0 and 1 are all
	Seed        uint64
}

type sampler struct {
	Sampling
	rng        *rand.Rand
	candidates []candidate
}

type candidate struct {
	token       int32
	probability float64
}

func newSampler(s Sampling) *sampler {
	return &sampler{Sampling: s, rng: rand.New(rand.NewPCG(s.Seed, 0))}
}

// next draws a token: softmax of logits/Temperature, cut to TopK, then to TopP, as
// transformers orders them.
func (s *sampler) next(logits []float32) int32 {
	if s.Temperature <= 0 {
		best := 0
		for i, l := range logits {
			if l > logits[best] {
				best = i
			}
		}
		return int32(best)
	}
	s.rank(logits)
	total := 0.0
	for _, c := range s.candidates {
		total += c.probability
	}
	at := s.rng.Float64() * total
	for _, c := range s.candidates {
		if at -= c.probability; at < 0 {
			return c.token
		}
	}
	return s.candidates[len(s.candidates)-1].token
}

// rank fills candidates, likeliest first, with those that TopK and TopP leave.
func (s *sampler) rank(logits []float32) {
	s.candidates = s.candidates[:0]
	highest := float64(slices.Max(logits))
	for i, l := range logits {
		s.candidates = append(s.candidates, candidate{int32(i), math.Exp((float64(l) - highest) / s.Temperature)})
	}
	slices.SortStableFunc(s.candidates, func(a, b candidate) int { return cmp.Compare(b.probability, a.probability) })
	if s.TopK > 0 && s.TopK < len(s.candidates) {
		s.candidates = s.candidates[:s.TopK]
	}
	if s.TopP > 0 && s.TopP < 1 {
		s.candidates = s.candidates[:nucleus(s.candidates, s.TopP)]
	}
}

// nucleus is how many of the likeliest candidates it takes to reach the share p of
// their total.
func nucleus(candidates []candidate, p float64) int {
	total, sum := 0.0, 0.0
	for _, c := range candidates {
		total += c.probability
	}
	for i, c := range candidates {
		if sum += c.probability; sum >= p*total {
			return i + 1
		}
	}
	return len(candidates)
}
