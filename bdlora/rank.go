package bdlora

import (
	"errors"
	"fmt"
)

// rankParams is what a unit of rank costs for one linear with n blocks: in + out for
// n = 1; with more, the block-diagonal factor has an n-th.
func rankParams(l Linear, n int) int64 {
	if l.Parallel == ColumnParallel {
		return int64(l.In + l.Out/n)
	}
	return int64(l.In/n + l.Out)
}

// MatchRank is the largest rank of an adapter with n blocks that has at most as many
// parameters as plain LoRA of rank loraRank on the same targets:
//
//	n·⌊loraRank·P₁ / (n·Pₙ)⌋,  Pₙ = parameters of a unit of rank with n blocks
//
// It is an error if a target or n does not fit base, as in [NewPlan], or if even
// rank n has more parameters. Source: the method of PEFT's BD-LoRA example, in
// closed form.
func MatchRank(base Base, targets []string, n, loraRank int) (int, error) {
	if n < 1 || loraRank < 1 {
		return 0, fmt.Errorf("bdlora: match rank: got nblocks %d and rank %d, want at least 1", n, loraRank)
	}
	selected, err := selectTargets(base, targets)
	if err := errors.Join(err, checkBlocks(base, linearsOf(selected), n)); err != nil {
		return 0, err
	}
	var plain, blocked int64
	for _, at := range selected {
		plain += rankParams(at.linear, 1)
		blocked += rankParams(at.linear, n)
	}
	units := int64(n) * blocked
	rank := n * int(int64(loraRank)*plain/units)
	if rank == 0 {
		return 0, fmt.Errorf("bdlora: match rank: the smallest rank of %d blocks has more parameters than LoRA of "+
			"rank %d, want at least rank %d", n, loraRank, (units+plain-1)/plain)
	}
	return rank, nil
}
