package bdlora

import (
	"errors"
	"math"
	"regexp"
)

// Loss is what a conversion changed of one module.
type Loss struct {
	Module Module // of the new adapter
	// Error is ‖ΔW' − ΔW‖/‖ΔW‖ in the Frobenius norm, ΔW = s·B·A being the module's
	// old and ΔW' its new change of the weight: 0 where nothing was lost.
	Error float64
}

// Convert cuts an adapter into another number of blocks, and gives each of its linears
// the rank that is asked for, 0 being that of [RecutPlan]. s stays. A module whose new
// rank is at least that of RecutPlan keeps its function exactly, padded with zeros
// inside the blocks; any other gets the nearest to it that blocks of that rank hold:
// in each, the largest singular values of ΔW's part. There is a Loss for each module,
// in their order.
//
// It is an error if blocks or rank do not fit, as in [NewPlan], if a does not hold all
// of its shards, and if numbers of a module that cannot stay exact are not finite.
func Convert(a *Adapter, blocks, rank int) (*Adapter, []Loss, error) {
	exact, err := RecutPlan(a.Plan, blocks)
	if err := errors.Join(err, a.checkWhole()); err != nil {
		return nil, nil, err
	}
	plan := exact
	if rank != 0 {
		if plan, err = exact.withRank(rank); err != nil {
			return nil, nil, err
		}
	}
	converted := newAdapter(plan)
	losses := make([]Loss, len(plan.Modules))
	for k, m := range plan.Modules {
		losses[k].Module = m
		old := blocksOf(a.Plan.Modules[k], a.Shards)
		if m.Rank < exact.Modules[k].Rank {
			if losses[k].Error, err = old.approximate(m, converted.Shards); err != nil {
				return nil, nil, err
			}
			continue
		}
		for i, shard := range converted.Shards {
			old.recut(m.pair(shard), i, plan.Shards())
		}
	}
	return converted, losses, nil
}

// withRank is the plan with the same rank in each of its linears, of which each keeps
// its s.
func (p *Plan) withRank(rank int) (*Plan, error) {
	cfg := p.Config
	cfg.Rank, cfg.RankPattern = rank, nil
	alphas := make([]float64, len(p.Modules))
	for i, m := range p.Modules {
		alphas[i] = cfg.growAlpha(m.Alpha, rank, m.Rank)
	}
	cfg.Alpha, cfg.AlphaPattern = exceptions(p.Modules, alphas)
	return NewPlan(p.Base, cfg)
}

// exceptions is the value that most modules have, and patterns for those that have
// another: for a linear by its name if it has the same in all layers, otherwise by
// its path.
func exceptions(modules []Module, values []float64) (common float64, patterns map[string]float64) {
	count, ofLinear := make(map[float64]int), make(map[string]float64)
	for i, m := range modules {
		count[values[i]]++
		if count[values[i]] > count[common] {
			common = values[i]
		}
		if value, known := ofLinear[m.Linear.Name]; known && value != values[i] {
			ofLinear[m.Linear.Name] = math.NaN()
		} else {
			ofLinear[m.Linear.Name] = values[i]
		}
	}
	for i, m := range modules {
		if values[i] == common {
			continue
		}
		if patterns == nil {
			patterns = make(map[string]float64)
		}
		name := m.Path()
		if ofLinear[m.Linear.Name] == values[i] {
			name = m.Linear.Name
		}
		patterns[regexp.QuoteMeta(name)] = values[i]
	}
	return common, patterns
}
