package bdlora

import (
	"errors"
	"fmt"
)

// Factor is where one factor of a module lies: a row-major [Rows, Cols] matrix at
// Offset of a shard's buffer. It lies at the same place in every shard.
type Factor struct {
	Offset, Rows, Cols int
}

// Len is the number of elements.
func (f Factor) Len() int { return f.Rows * f.Cols }

// Of is the factor's numbers within a shard's buffer; it shares memory with it.
func (f Factor) Of(shard []float32) []float32 { return shard[f.Offset : f.Offset+f.Len()] }

// Module is one adapted linear of one layer. Shard i of N adds s·(x·A_iᵀ)·B_iᵀ to
// its part of the linear's output:
//
//	           A_i            B_i
//	column  [r/N, in]     [out/N, r/N]   from all inputs to the shard's outputs
//	row     [r/N, in/N]   [out, r/N]     from the shard's inputs to all outputs
type Module struct {
	Layer   int
	Linear  Linear
	Rank    int     // r, over all shards
	Alpha   float64 // numerator of Scaling
	Scaling float64 // s
	A, B    Factor
}

// Path is the module's path in a Hugging Face checkpoint:
// "model.layers.0.self_attn.q_proj".
func (m Module) Path() string { return modulePath(m.Layer, m.Linear.Name) }

// Plan is what an adapter is made of: its modules, and where each factor lies in a
// shard's flat buffer. Modules of a half-layer lie together. Nobody changes a Plan
// once NewPlan has returned it.
type Plan struct {
	Base     Base
	Config   Config   // with its defaults filled in
	Modules  []Module // by layer, half-layer, linear
	ShardLen int      // elements of one shard's buffer
}

// NewPlan lays out the adapter that cfg describes for base.
//
// N = cfg.Blocks has to divide the ranks, the heads and the key-value heads of the
// model, and each adapted linear where tensor parallelism splits it; each target and
// each pattern has to match a linear. All that is wrong is reported at once, with
// the numbers of blocks that would do and the target nearest to an unknown one.
func NewPlan(base Base, cfg Config) (*Plan, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Alpha == 0 {
		cfg.Alpha = DefaultAlpha(cfg.Blocks)
	}
	selected, targetErr := selectTargets(base, cfg.Targets)
	ranks, rankErr := compilePatterns("rank_pattern", cfg.RankPattern)
	alphas, alphaErr := compilePatterns("alpha_pattern", cfg.AlphaPattern)
	blocksErr := checkBlocks(base, linearsOf(selected), cfg.Blocks)
	err := errors.Join(targetErr, rankErr, alphaErr, blocksErr, checkRanks(cfg))
	if err != nil {
		return nil, err
	}
	p := &Plan{Base: base, Config: cfg}
	for _, at := range selected {
		rank, rankErr := ranks.pick(at.path(), cfg.Rank)
		alpha, alphaErr := alphas.pick(at.path(), cfg.Alpha)
		if err := errors.Join(rankErr, alphaErr); err != nil {
			return nil, err
		}
		p.add(at, rank, alpha)
	}
	if err := errors.Join(ranks.checkUsed(selected), alphas.checkUsed(selected)); err != nil {
		return nil, err
	}
	return p, nil
}

// add appends a module behind those that are there.
func (p *Plan) add(at place, rank int, alpha float64) {
	n, l := p.Shards(), at.linear
	m := Module{Layer: at.layer, Linear: l, Rank: rank, Alpha: alpha, Scaling: p.Config.scaling(rank, alpha)}
	m.A = Factor{Offset: p.ShardLen, Rows: rank / n, Cols: l.In}
	m.B = Factor{Rows: l.Out, Cols: rank / n}
	if l.Parallel == ColumnParallel {
		m.B.Rows /= n
	} else {
		m.A.Cols /= n
	}
	m.B.Offset = m.A.Offset + m.A.Len()
	p.ShardLen = m.B.Offset + m.B.Len()
	p.Modules = append(p.Modules, m)
}

// Shards is the number of shards, which is that of the blocks.
func (p *Plan) Shards() int { return p.Config.Blocks }

// Params is the number of trainable parameters, over all shards.
func (p *Plan) Params() int64 { return int64(p.Shards()) * int64(p.ShardLen) }

// Half is the modules of one half-layer ("self_attn" or "mlp") and the part
// [from, to) of a shard's buffer that their factors fill. There may be none: then
// from = to.
func (p *Plan) Half(layer int, half string) (modules []Module, from, to int) {
	for i, m := range p.Modules {
		if m.Layer != layer || m.Linear.Half() != half {
			continue
		}
		if len(modules) == 0 {
			from = m.A.Offset
		}
		modules = p.Modules[i-len(modules) : i+1 : i+1]
		to = m.B.Offset + m.B.Len()
	}
	return modules, from, to
}

// String sums the plan up in a line: "rank 16 in 4 blocks on 224 linears, alpha 64,
// 20971520 parameters".
func (p *Plan) String() string {
	return fmt.Sprintf("rank %d in %d blocks on %d linears, alpha %g, %d parameters",
		p.Config.Rank, p.Shards(), len(p.Modules), p.Config.Alpha, p.Params())
}

// places is where the modules are.
func (p *Plan) places() []place {
	all := make([]place, len(p.Modules))
	for i, m := range p.Modules {
		all[i] = place{m.Layer, m.Linear}
	}
	return all
}
