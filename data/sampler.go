package data

import (
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
)

// SamplerConfig says how examples become micro-batches. The names in brackets are
// those of the configuration file, which messages use.
type SamplerConfig struct {
	// Seed shuffles each epoch anew [data_seed].
	Seed uint64
	// BatchSize is the number of rows of a micro-batch [per_device_train_batch_size]:
	// packed ones of up to MaxLength tokens, or single examples.
	BatchSize int
	// AccumulationSteps is the number of micro-batches whose gradients an optimizer
	// step adds up [gradient_accumulation_steps].
	AccumulationSteps int
	// Packing puts several examples into a row [packing].
	Packing bool
	// MaxLength is the number of tokens of a packed row [max_length]; without
	// Packing it is not used.
	MaxLength int
}

// Validate reports every value that is out of range.
func (c SamplerConfig) Validate() error {
	var errs []error
	atLeastOne := func(key string, value int) {
		if value < 1 {
			errs = append(errs, fmt.Errorf("data: %s is %d, want at least 1", key, value))
		}
	}
	atLeastOne("per_device_train_batch_size", c.BatchSize)
	atLeastOne("gradient_accumulation_steps", c.AccumulationSteps)
	if c.Packing {
		atLeastOne("max_length", c.MaxLength)
	}
	return errors.Join(errs...)
}

// Sampler says which micro-batches each optimizer step trains on. It is immutable:
// what a step gets depends on the examples, the configuration and the step's number
// alone, so a resumed run sees what an unbroken one would have seen. An epoch visits
// each example once, in an order of its own; its last step may have fewer
// micro-batches than the others, and the last of these fewer rows. Which examples
// share a packed row is the same in all epochs. It may be used concurrently.
type Sampler struct {
	examples []Example
	rows     [][]int // indices of the examples in each row
	cfg      SamplerConfig
}

// NewSampler refuses an invalid configuration, no examples at all, and, with
// packing, an example of more than MaxLength tokens. It keeps examples, which must
// not change afterwards.
func NewSampler(examples []Example, cfg SamplerConfig) (*Sampler, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if len(examples) == 0 {
		return nil, errors.New("data: got no examples, want at least 1")
	}
	s := &Sampler{examples: examples, cfg: cfg}
	if !cfg.Packing {
		s.rows = make([][]int, len(examples))
		for i := range s.rows {
			s.rows[i] = []int{i}
		}
		return s, nil
	}
	lengths := make([]int, len(examples))
	for i := range examples {
		e := &examples[i]
		if lengths[i] = len(e.Tokens); lengths[i] > cfg.MaxLength {
			err := fmt.Errorf("%w: %d tokens, want at most %d (max_length)", ErrRowTooLong, lengths[i], cfg.MaxLength)
			return nil, &RowError{File: e.File, Line: e.Line, Err: err}
		}
	}
	rows, err := Pack(lengths, cfg.MaxLength)
	s.rows = rows
	return s, err
}

// StepsPerEpoch is the number of optimizer steps of an epoch, the last, maybe
// shorter one included.
func (s *Sampler) StepsPerEpoch() int {
	rowsPerStep := s.cfg.BatchSize * s.cfg.AccumulationSteps
	return (len(s.rows) + rowsPerStep - 1) / rowsPerStep
}

// Steps is the number of optimizer steps in that many epochs, rounded up.
func (s *Sampler) Steps(epochs float64) int {
	return int(math.Ceil(epochs * float64(s.StepsPerEpoch())))
}

// Epoch is the epoch, counted from 0, that a step belongs to.
func (s *Sampler) Epoch(step int) int { return step / s.StepsPerEpoch() }

// Step returns the micro-batches of an optimizer step, counted from 0 over all
// epochs. It costs a shuffle of the rows' numbers, a millisecond for 50,000, wherever
// the step lies.
func (s *Sampler) Step(step int) []*Batch {
	rowsPerStep := s.cfg.BatchSize * s.cfg.AccumulationSteps
	order := Order(s.cfg.Seed, s.Epoch(step), len(s.rows))
	start := step % s.StepsPerEpoch() * rowsPerStep
	return slices.Collect(s.batches(order[start:min(start+rowsPerStep, len(order))]))
}

// InOrder yields micro-batches that hold each example once, unshuffled: what an
// evaluation goes through.
func (s *Sampler) InOrder() iter.Seq[*Batch] { return s.batches(s.order()) }

func (s *Sampler) order() []int {
	order := make([]int, len(s.rows))
	for i := range order {
		order[i] = i
	}
	return order
}

// MaxTokens is the number of tokens of the largest micro-batch that any epoch could
// have: that of the BatchSize longest rows.
func (s *Sampler) MaxTokens() int {
	tokens := make([]int, len(s.rows))
	for row := range s.rows {
		tokens[row] = s.rowTokens(row)
	}
	slices.Sort(tokens)
	most := 0
	for _, n := range tokens[max(0, len(tokens)-s.cfg.BatchSize):] {
		most += n
	}
	return most
}

// MostTokens is the number of tokens of the largest micro-batch of the first steps
// optimizer steps. It costs a shuffle an epoch, until one is as large as any could be.
func (s *Sampler) MostTokens(steps int) int {
	most, bound := 0, s.MaxTokens()
	for epoch := 0; steps > 0 && most < bound; epoch++ {
		order := Order(s.cfg.Seed, epoch, len(s.rows))
		rows := min(steps, s.StepsPerEpoch()) * s.cfg.BatchSize * s.cfg.AccumulationSteps
		most = max(most, s.mostTokens(order[:min(rows, len(order))]))
		steps -= s.StepsPerEpoch()
	}
	return most
}

// MostTokensInOrder is the number of tokens of the largest micro-batch of InOrder.
func (s *Sampler) MostTokensInOrder() int { return s.mostTokens(s.order()) }

// mostTokens is the number of tokens of the largest micro-batch of rows.
func (s *Sampler) mostTokens(rows []int) int {
	most := 0
	for some := range slices.Chunk(rows, s.cfg.BatchSize) {
		tokens := 0
		for _, row := range some {
			tokens += s.rowTokens(row)
		}
		most = max(most, tokens)
	}
	return most
}

func (s *Sampler) rowTokens(row int) int {
	tokens := 0
	for _, example := range s.rows[row] {
		tokens += len(s.examples[example].Tokens)
	}
	return tokens
}

// batches cuts rows into micro-batches of BatchSize.
func (s *Sampler) batches(rows []int) iter.Seq[*Batch] {
	return func(yield func(*Batch) bool) {
		for some := range slices.Chunk(rows, s.cfg.BatchSize) {
			var examples []Example
			for _, row := range some {
				for _, example := range s.rows[row] {
					examples = append(examples, s.examples[example])
				}
			}
			if !yield(NewBatch(examples...)) {
				return
			}
		}
	}
}
