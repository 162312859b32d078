package train

import (
	"fmt"
	"slices"
	"strings"

	"bdlora/bdlora"
)

// cutPlan is the plan of the run, of at least a block for each process of a replica: with
// fewer, those of a run that is resumed are cut.
func (t *trainer) cutPlan(plan *bdlora.Plan, checkpoint *Checkpoint) (*bdlora.Plan, error) {
	parts := t.grid.Tensor.Procs()
	switch {
	case plan.Shards()%parts == 0:
		return plan, nil
	case checkpoint == nil:
		return nil, fmt.Errorf("config: tensor_parallel_size: got %d, want a divisor of nblocks %d with nothing to resume",
			parts, plan.Shards())
	}
	return bdlora.RecutPlan(plan, parts)
}

// cuts reports whether a checkpoint's blocks have to be cut for an adapter of plan.
func (c *Checkpoint) cuts(plan *bdlora.Plan) bool {
	return c.Config.Blocks < plan.Shards() && plan.Shards()%c.Config.Blocks == 0
}

// cutConfig is the settings of a checkpoint once its adapter is cut into plan's blocks.
func (t *trainer) cutConfig(c *Checkpoint, plan *bdlora.Plan) (Config, error) {
	if !c.cuts(plan) {
		return c.Config, nil
	}
	was, err := c.Config.Plan(t.model)
	if err != nil {
		return Config{}, err
	}
	is, err := bdlora.RecutPlan(was, plan.Shards())
	if err != nil {
		return Config{}, err
	}
	return c.Config.settled(is), nil
}

// loadCut reads what this process holds of a checkpoint that [trainer.checkSame] has
// passed. Cut blocks compute what they did; moments are cut like the adapter, so that
// where one number becomes several, each goes on with the moments of that one.
func (t *trainer) loadCut(c *Checkpoint, plan *bdlora.Plan) (*Snapshot, error) {
	if !c.cuts(plan) {
		return c.Load(t.grid, plan.Base)
	}
	s, err := c.Load(oneProcess(), plan.Base)
	if err != nil {
		return nil, err
	}
	from, to := t.grid.shards(plan.Shards())
	cut := func(shards [][]float32) [][]float32 {
		return slices.Clone(bdlora.Recut(plan, s.Adapter.Plan, shards)[from:to])
	}
	s.First, s.Second = cut(s.First), cut(s.Second)
	s.Adapter = &bdlora.Adapter{Plan: plan, First: from, Shards: cut(s.Adapter.Shards)}
	s.Config = s.Config.settled(plan)
	return s, nil
}

// regrid says how a run goes on in another way than the checkpoint was written.
func (c Config) regrid(was Config) string {
	var changes []string
	if was.TensorParallelSize != c.TensorParallelSize || was.DataParallelSize != c.DataParallelSize {
		changes = append(changes, fmt.Sprintf("on tensor_parallel_size %d × data_parallel_size %d instead of %d × %d, "+
			"to the same but for rounding",
			c.TensorParallelSize, c.DataParallelSize, was.TensorParallelSize, was.DataParallelSize))
	}
	if was.Blocks != c.Blocks {
		changes = append(changes, fmt.Sprintf("its %d blocks cut into %d that compute the same: "+
			"rank %d instead of %d, alpha %g instead of %g",
			was.Blocks, c.Blocks, c.LoraR, was.LoraR, c.LoraAlpha, was.LoraAlpha))
	}
	return strings.Join(changes, "; ")
}
