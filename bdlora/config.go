package bdlora

import (
	"errors"
	"fmt"
	"math"
	"strconv"
)

// AllLinear is the target that stands for every linear of every layer.
const AllLinear = "all-linear"

// Ways to draw A at the start; B is zero in both.
const (
	// InitLoRA draws U(−1/√n, 1/√n), n being the inputs that a row of A_i really
	// sees. x·Aᵀ then has the variance that plain LoRA gives it, whatever N is.
	InitLoRA = "lora"
	// InitPEFT draws what PEFT draws: as InitLoRA where A is dense, but
	// U(−√(6/n), √(6/n)), which is √6 times as wide, where A is block-diagonal.
	InitPEFT = "peft"
)

// maxRank bounds the rank far above any use, so that sizes do not overflow.
const maxRank = 1 << 16

// baseAlpha is the default alpha of plain LoRA, that of QLoRA (arXiv 2305.14314).
const baseAlpha = 16

// Config says what an adapter is. The keys are those of a run's configuration.
type Config struct {
	Rank int `json:"lora_r"` // total rank r, over all blocks; a multiple of Blocks; default 16
	// Alpha is the numerator of the scaling; 0 means [DefaultAlpha] of Blocks.
	Alpha   float64 `json:"lora_alpha"`
	Dropout float64 `json:"lora_dropout"` // probability in [0, 1) of dropping an input of A; default 0
	RSLoRA  bool    `json:"use_rslora"`   // scale by Alpha/√Rank instead of Alpha/Rank; default false
	Blocks  int     `json:"nblocks"`      // N, the shards that will serve it; 1 is plain LoRA, the default
	// Targets are the linears to adapt: the end of a module's path ("q_proj",
	// "self_attn.q_proj", "model.layers.0.self_attn.q_proj"), or [AllLinear], the
	// default.
	Targets []string `json:"target_modules"`
	Init    string   `json:"bd_init"` // InitLoRA (default) or InitPEFT

	// RankPattern and AlphaPattern give linears another rank or alpha than Rank and
	// Alpha. A key is a regular expression for the end of a module's path, as in PEFT:
	// it begins at the path's start or after a dot. Of several that match, the
	// alphabetically first counts. Empty means none.
	RankPattern  map[string]int     `json:"rank_pattern,omitempty"`
	AlphaPattern map[string]float64 `json:"alpha_pattern,omitempty"`
}

// DefaultConfig is plain LoRA of rank 16 on every linear.
func DefaultConfig() Config {
	return Config{Rank: 16, Blocks: 1, Targets: []string{AllLinear}, Init: InitLoRA}
}

// DefaultAlpha is the alpha of an adapter of so many blocks: 16·blocks.
//
// An output of a linear sees s·(x·Aᵀ)·Bᵀ through r/N components where plain LoRA has
// r, so that an optimizer's step moves it N times less at the same alpha. Alpha
// grows with N to make up for that. It does not grow with the rank, since r
// components times s = alpha/r do not depend on it.
func DefaultAlpha(blocks int) float64 { return float64(baseAlpha * blocks) }

// Validate reports every value that no base model could make right.
func (c Config) Validate() error {
	var errs []error
	want := func(ok bool, key string, got any, want string) {
		if !ok {
			errs = append(errs, fmt.Errorf("bdlora: %s: got %v, want %s", key, got, want))
		}
	}
	wantRank := func(key string, rank int) {
		want(rank >= 1, key, rank, "at least 1")
		want(rank <= maxRank, key, rank, fmt.Sprintf("at most %d", maxRank))
	}
	want(c.Blocks >= 1, "nblocks", c.Blocks, "at least 1")
	wantRank("lora_r", c.Rank)
	want(c.Alpha >= 0 && !math.IsInf(c.Alpha, 0), "lora_alpha", c.Alpha, "a number above 0, or 0 for the default")
	want(c.Dropout >= 0 && c.Dropout < 1, "lora_dropout", c.Dropout, "at least 0 and below 1")
	if len(c.Targets) == 0 {
		errs = append(errs, errNoTarget)
	}
	want(c.Init == InitLoRA || c.Init == InitPEFT, "bd_init", strconv.Quote(c.Init),
		fmt.Sprintf("%q or %q", InitLoRA, InitPEFT))
	for _, key := range sortedKeys(c.RankPattern) {
		wantRank("rank_pattern: "+key, c.RankPattern[key])
	}
	for _, key := range sortedKeys(c.AlphaPattern) {
		alpha := c.AlphaPattern[key]
		want(alpha > 0 && !math.IsInf(alpha, 0), "alpha_pattern: "+key, alpha, "a number above 0")
	}
	return errors.Join(errs...)
}

// scaling is s of a linear of so much rank and alpha: alpha/rank, or alpha/√rank
// with rank-stabilised LoRA (arXiv 2312.03732).
func (c Config) scaling(rank int, alpha float64) float64 {
	if c.RSLoRA {
		return alpha / math.Sqrt(float64(rank))
	}
	return alpha / float64(rank)
}
