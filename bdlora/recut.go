package bdlora

import "math"

// RecutPlan is the plan of p's adapter cut into M instead of N blocks, computing the
// same function. A new block takes the r/N components of every old one that it
// overlaps, of which there are at most c, so that the rank becomes M·c·r/N:
//
//	r          where M divides N: blocks are joined, with zeros around them
//	r·M/N      where N divides M: blocks are cut, and the other factor is repeated
//	M·c·r/N    otherwise; less than by way of a common divisor or multiple
//
// Plain LoRA is N = 1. Alphas grow with the ranks, by their root with rank-stabilised
// LoRA, so that s stays. It is an error if M does not fit the base, as in [NewPlan].
func RecutPlan(p *Plan, blocks int) (*Plan, error) {
	cfg := p.Config
	cfg.Blocks = blocks
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	times, over := blocks*mostOverlaps(blocks, p.Shards()), p.Shards()
	cfg.Rank = cfg.Rank * times / over
	cfg.Alpha = cfg.growAlpha(cfg.Alpha, times, over)
	cfg.RankPattern = mapValues(cfg.RankPattern, func(rank int) int { return rank * times / over })
	cfg.AlphaPattern = mapValues(cfg.AlphaPattern, func(alpha float64) float64 {
		return cfg.growAlpha(alpha, times, over)
	})
	return NewPlan(p.Base, cfg)
}

// growAlpha is the alpha that keeps s when the rank becomes times/over of what it
// was.
func (c Config) growAlpha(alpha float64, times, over int) float64 {
	if c.RSLoRA {
		return alpha * math.Sqrt(float64(times)/float64(over))
	}
	return alpha * float64(times) / float64(over)
}

// mapValues is m with every value passed through f; nil stays nil.
func mapValues[K comparable, V any](m map[K]V, f func(V) V) map[K]V {
	if m == nil {
		return nil
	}
	mapped := make(map[K]V, len(m))
	for key, value := range m {
		mapped[key] = f(value)
	}
	return mapped
}

// Recut is the numbers of an adapter of plan from, or others that are laid out like
// them (moments), as an adapter of plan to has them, to being [RecutPlan] of from.
// They are copied; what no old number fills is zero.
//
// Where blocks are cut, a number of the factor that is not block-diagonal arrives in
// several shards.
func Recut(to, from *Plan, shards [][]float32) [][]float32 {
	recut := newAdapter(to).Shards
	for k, m := range to.Modules {
		old := blocksOf(from.Modules[k], shards)
		for i, shard := range recut {
			old.recut(m.pair(shard), i, to.Shards())
		}
	}
	return recut
}

// blocks are the factors of a module, one pair a shard.
type blocks struct {
	linear Linear
	pairs  []pair
}

func blocksOf(m Module, shards [][]float32) blocks {
	b := blocks{linear: m.Linear}
	for _, shard := range shards {
		b.pairs = append(b.pairs, m.pair(shard))
	}
	return b
}

// recut copies what block i of n computes into dst, whose rank may be larger than
// that takes.
func (b blocks) recut(dst pair, i, n int) {
	first, end := overlaps(i, n, len(b.pairs))
	for old := first; old < end; old++ {
		src := b.pairs[old]
		at, rank := (old-first)*src.a.rows, src.a.rows
		from, to := span(b.linear.split(), i, n)
		oldFrom, oldTo := span(b.linear.split(), old, len(b.pairs))
		left, right := max(from, oldFrom), min(to, oldTo)
		if b.linear.Parallel == RowParallel {
			dst.a.part(at, left-from, rank, right-left).copy(src.a.part(0, left-oldFrom, rank, right-left))
			dst.b.part(0, at, dst.b.rows, rank).copy(src.b)
			continue
		}
		dst.a.part(at, 0, rank, dst.a.cols).copy(src.a)
		dst.b.part(left-from, at, right-left, rank).copy(src.b.part(left-oldFrom, 0, right-left, rank))
	}
}

// split is how many features tensor parallelism divides among the shards: outputs
// or inputs.
func (l Linear) split() int {
	if l.Parallel == RowParallel {
		return l.In
	}
	return l.Out
}

// span is the part [from, to) of so many features that belongs to block i of n.
func span(features, i, n int) (from, to int) { return i * features / n, (i + 1) * features / n }

// overlaps lists the blocks [first, end) of old that block i of n has a part of.
func overlaps(i, n, old int) (first, end int) { return i * old / n, ((i+1)*old + n - 1) / n }

// mostOverlaps is the largest number of old blocks that a block of n has a part of.
func mostOverlaps(n, old int) int {
	most := 0
	for i := range n {
		first, end := overlaps(i, n, old)
		most = max(most, end-first)
	}
	return most
}
