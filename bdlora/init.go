package bdlora

import (
	"hash/fnv"
	"math"
)

// InitShard draws one shard of a new adapter into values; see [New].
func InitShard(values []float32, plan *Plan, shard int, seed uint64) {
	for _, m := range plan.Modules {
		draw := uniform{key: initKey(seed, m.Path()), bound: initBound(plan, m)}
		whole := denseA(m)
		first := shard*whole.rowStep*whole.cols + shard*whole.colStep
		a := m.A.Of(values)
		for i := range a {
			row, col := i/m.A.Cols, i%m.A.Cols
			a[i] = draw.at(first + row*whole.cols + col)
		}
		clear(m.B.Of(values))
	}
}

// initBound is b of A's distribution U(−b, b).
func initBound(plan *Plan, m Module) float64 {
	inputs := float64(m.A.Cols)
	diagonal := m.Linear.Parallel == RowParallel && plan.Shards() > 1
	if plan.Config.Init == InitPEFT && diagonal {
		return math.Sqrt(6 / inputs) // PyTorch's kaiming_uniform_ with its default a = 0
	}
	return 1 / math.Sqrt(inputs) // kaiming_uniform_ with a = √5
}

// uniform is a stream of numbers of U(−bound, bound) that can be read at any place.
type uniform struct {
	key   uint64
	bound float64
}

// at is the number at index: SplitMix64 (https://doi.org/10.1145/2660193.2660195)
// seeded with the key, after index+1 steps.
func (u uniform) at(index int) float32 {
	bits := mix(u.key + uint64(index+1)*0x9e3779b97f4a7c15)
	return float32(u.bound * (float64(bits>>11)/(1<<52) - 1))
}

// initKey is a key that differs for each seed and module.
func initKey(seed uint64, path string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(path)) // never fails
	return mix(mix(seed) ^ h.Sum64())
}

// mix is the finaliser of SplitMix64.
func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
