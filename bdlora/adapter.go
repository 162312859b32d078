package bdlora

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// Adapter is a plan with its numbers: one flat buffer a shard, laid out as the
// plan's modules say. Where several processes hold an adapter together, each has some
// of the shards.
type Adapter struct {
	Plan   *Plan
	First  int         // the shard that Shards begins with
	Shards [][]float32 // [Plan.Shards()] of a whole adapter, each of Plan.ShardLen
}

// newAdapter is an adapter of zeros.
func newAdapter(plan *Plan) *Adapter { return newPart(plan, 0, plan.Shards()) }

// newPart is shards [from, to) of an adapter of zeros.
func newPart(plan *Plan, from, to int) *Adapter {
	a := &Adapter{Plan: plan, First: from, Shards: make([][]float32, to-from)}
	for i := range a.Shards {
		a.Shards[i] = make([]float32, plan.ShardLen)
	}
	return a
}

// New draws an untrained adapter: A uniform as plan.Config.Init says, B zero, so
// that the model's answers are the base's.
//
// Each number depends on the seed, the module's path and its place in the whole
// [r, in] factor alone: not on the other targets, on the number of layers, or on
// which process draws it.
func New(plan *Plan, seed uint64) *Adapter { return NewPart(plan, seed, 0, plan.Shards()) }

// NewPart draws shards [from, to) of what [New] draws.
func NewPart(plan *Plan, seed uint64, from, to int) *Adapter {
	a := newPart(plan, from, to)
	for i, shard := range a.Shards {
		InitShard(shard, plan, from+i, seed)
	}
	return a
}

// Part is shards [from, to) of a whole adapter. It shares their memory with it, and
// keeps none of the others'.
func (a *Adapter) Part(from, to int) *Adapter {
	return &Adapter{Plan: a.Plan, First: from, Shards: slices.Clone(a.Shards[from:to])}
}

// Whole reports whether all shards are here.
func (a *Adapter) Whole() bool { return len(a.Shards) == a.Plan.Shards() }

// checkFinite reports the first factor with a number that is NaN or infinite.
func (a *Adapter) checkFinite() error {
	for i, shard := range a.Shards {
		for _, m := range a.Plan.Modules {
			err := errors.Join(checkFinite("A", m.A.Of(shard)), checkFinite("B", m.B.Of(shard)))
			if err != nil {
				return fmt.Errorf("%s: shard %d: %w", m.Path(), a.First+i, err)
			}
		}
	}
	return nil
}

func checkFinite(factor string, values []float32) error {
	for i, x := range values {
		if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
			return fmt.Errorf("number %d of %s is %g, want a finite one", i, factor, x)
		}
	}
	return nil
}

// checkWhole refuses what needs all shards and has some.
func (a *Adapter) checkWhole() error {
	if a.Whole() {
		return nil
	}
	return fmt.Errorf("bdlora: got %d of the adapter's shards, want all %d", len(a.Shards), a.Plan.Shards())
}
