package bdlora

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// size is something that shards divide among themselves.
type size struct {
	units int
	of    string // "heads", "outputs of q_proj"
}

// sizes lists what N has to divide: the model's heads, and each linear along the
// axis that tensor parallelism splits.
func sizes(base Base, linears []Linear) []size {
	all := []size{{base.Heads, "heads"}, {base.KVHeads, "key-value heads"}}
	for _, l := range linears {
		split := size{l.Out, "outputs of " + l.Name}
		if l.Parallel == RowParallel {
			split = size{l.In, "inputs of " + l.Name}
		}
		all = append(all, split)
		if l.Heads > 0 && l.Heads != base.Heads && l.Heads != base.KVHeads {
			all = append(all, size{l.Heads, "heads of " + l.Name})
		}
	}
	return all
}

// checkBlocks reports every size that n does not divide, and the numbers of blocks
// that divide all of them.
func checkBlocks(base Base, linears []Linear, n int) error {
	var cut []string
	common := 0
	for _, s := range sizes(base, linears) {
		common = gcd(common, s.units)
		if s.units%n != 0 {
			cut = append(cut, fmt.Sprintf("%d %s", s.units, s.of))
		}
	}
	if len(cut) == 0 {
		return nil
	}
	return fmt.Errorf("bdlora: nblocks: %d does not divide %s; want %s",
		n, strings.Join(cut, ", "), oneOf(divisors(common)))
}

// checkRanks reports every rank of cfg that its blocks do not divide.
func checkRanks(cfg Config) error {
	n := cfg.Blocks
	var errs []error
	check := func(key string, rank int) {
		if rank%n == 0 {
			return
		}
		want := fmt.Sprintf("a multiple of nblocks %d: %s", n, oneOf([]int{rank - rank%n, rank - rank%n + n}))
		errs = append(errs, fmt.Errorf("bdlora: %s: got %d, want %s", key, rank, want))
	}
	check("lora_r", cfg.Rank)
	for _, key := range sortedKeys(cfg.RankPattern) {
		check("rank_pattern: "+key, cfg.RankPattern[key])
	}
	return errors.Join(errs...)
}

// linearsOf is the linears of modules, each once.
func linearsOf(modules []place) []Linear {
	var linears []Linear
	for _, at := range modules {
		if !slices.Contains(linears, at.linear) {
			linears = append(linears, at.linear)
		}
	}
	return linears
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// divisors of n, ascending.
func divisors(n int) []int {
	var all []int
	for d := 1; d <= n; d++ {
		if n%d == 0 {
			all = append(all, d)
		}
	}
	return all
}

// oneOf lists the numbers above 0 as alternatives: "1, 2 or 4".
func oneOf(numbers []int) string {
	var words []string
	for _, n := range numbers {
		if n > 0 {
			words = append(words, strconv.Itoa(n))
		}
	}
	last := len(words) - 1
	if last < 1 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:last], ", ") + " or " + words[last]
}
