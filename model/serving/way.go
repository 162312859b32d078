package serving

import (
	"fmt"

	"bdlora/bdlora"
)

// Way is a way of serving an adapter on a tensor-parallel model. Shard i of N holds of
// an adapter of rank r
//
//	            column-parallel linear         row-parallel linear
//	            A_i           B_i              A_i           B_i
//	S-LoRA      [r/N, in]     [out/N, r]       [r, in/N]     [out/N, r]
//	NFS-LoRA    [r, in]       [out/N, r]       [r, in/N]     [out, r]
//	BD-LoRA     [r/N, in]     [out/N, r/N]     [r/N, in/N]   [out, r/N]
//
// S-LoRA has to gather h = x·Aᵀ behind the A of a column-parallel linear and to sum it
// behind that of a row-parallel one; the other two exchange nothing of their own.
type Way uint8

// The ways.
const (
	// None serves no adapter.
	None Way = iota
	// SLoRA splits both factors of ordinary LoRA (arXiv 2311.03285, section 5), as vLLM
	// does with fully_sharded_loras.
	SLoRA
	// NFSLoRA splits one factor of ordinary LoRA and repeats the other on every shard:
	// not fully sharded, which is vLLM's default.
	NFSLoRA
	// BDLoRA splits an adapter that has a block for each shard (arXiv 2510.23346).
	BDLoRA
)

// Ways are all of them.
func Ways() []Way { return []Way{None, SLoRA, NFSLoRA, BDLoRA} }

// String is "none", "S-LoRA", "NFS-LoRA" or "BD-LoRA".
func (w Way) String() string { return [...]string{"none", "S-LoRA", "NFS-LoRA", "BD-LoRA"}[w] }

// MarshalText makes a Way its name in JSON.
func (w Way) MarshalText() ([]byte, error) { return []byte(w.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (w *Way) UnmarshalText(text []byte) error {
	for _, way := range Ways() {
		if way.String() == string(text) {
			*w = way
			return nil
		}
	}
	return fmt.Errorf("serving: way is %q, want one of %v", text, Ways())
}

// factors are the rows and columns of a shard's A and B.
func (w Way) factors(l bdlora.Linear, rank, shards int) (a, b [2]int) {
	part := rank / shards
	column := l.Parallel == bdlora.ColumnParallel
	switch {
	case w == SLoRA && column:
		return [2]int{part, l.In}, [2]int{l.Out / shards, rank}
	case w == SLoRA:
		return [2]int{rank, l.In / shards}, [2]int{l.Out / shards, rank}
	case w == NFSLoRA && column:
		return [2]int{rank, l.In}, [2]int{l.Out / shards, rank}
	case w == NFSLoRA:
		return [2]int{rank, l.In / shards}, [2]int{l.Out, rank}
	case w == BDLoRA && column:
		return [2]int{part, l.In}, [2]int{l.Out / shards, part}
	case w == BDLoRA:
		return [2]int{part, l.In / shards}, [2]int{l.Out, part}
	}
	return a, b
}
