package bdlora

// Adapter is a plan with its numbers: one flat buffer a shard, laid out as the
// plan's modules say.
type Adapter struct {
	Plan   *Plan
	Shards [][]float32 // [Plan.Shards()][Plan.ShardLen]
}

// newAdapter is an adapter of zeros.
func newAdapter(plan *Plan) *Adapter {
	a := &Adapter{Plan: plan, Shards: make([][]float32, plan.Shards())}
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
func New(plan *Plan, seed uint64) *Adapter {
	a := newAdapter(plan)
	for i, shard := range a.Shards {
		InitShard(shard, plan, i, seed)
	}
	return a
}
