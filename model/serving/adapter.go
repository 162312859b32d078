package serving

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"

	"bdlora/bdlora"
)

// plan is where the factors of a shard lie, in the shapes of the Way; nil with None.
func (s Setup) plan() *bdlora.Plan {
	if s.Way == None {
		return nil
	}
	p := &bdlora.Plan{Base: s.Config.Base(""), Config: bdlora.Config{Rank: s.Rank, Blocks: s.Shards}}
	for layer := range s.Config.Layers {
		for _, l := range s.linears() {
			a, b := s.Way.factors(l, s.Rank, s.Shards)
			m := bdlora.Module{Layer: layer, Linear: l, Rank: s.Rank, Scaling: 1}
			m.A = bdlora.Factor{Offset: p.ShardLen, Rows: a[0], Cols: a[1]}
			m.B = bdlora.Factor{Offset: p.ShardLen + m.A.Len(), Rows: b[0], Cols: b[1]}
			p.ShardLen = m.B.Offset + m.B.Len()
			p.Modules = append(p.Modules, m)
		}
	}
	return p
}

// draw fills a shard with its part of a random adapter, which is the same adapter for
// any number of shards, and for every Way but BDLoRA: that one has zeros off the
// diagonal, of which a shard holds none.
func (s Setup) draw(plan *bdlora.Plan, shard int, seed uint64) []float32 {
	values := make([]float32, plan.ShardLen)
	for _, m := range plan.Modules {
		a, b := whole{rows: m.Rank, cols: m.Linear.In}, whole{rows: m.Linear.Out, cols: m.Rank}
		a.bound, b.bound = 1/math.Sqrt(float64(a.cols)), 1/math.Sqrt(float64(b.cols))
		a.seed, b.seed = seed^keyOf(m.Path()+".A"), seed^keyOf(m.Path()+".B")
		a.part(m.A.Of(values), m.A, shard)
		b.part(m.B.Of(values), m.B, shard)
	}
	return values
}

// whole is a random matrix, U(−bound, bound), of which shards have parts.
type whole struct {
	rows, cols int
	bound      float64
	seed       uint64
}

// part sets dst to a shard's part, of f's rows and columns: the shards of a matrix that
// is cut by rows, by columns or by both lie one behind the other in what is cut.
func (w whole) part(dst []float32, f bdlora.Factor, shard int) {
	firstRow, firstCol := 0, 0
	if f.Rows < w.rows {
		firstRow = shard * f.Rows
	}
	if f.Cols < w.cols {
		firstCol = shard * f.Cols
	}
	line := make([]float32, firstCol+f.Cols)
	for row := range f.Rows {
		source := rand.New(rand.NewPCG(w.seed, uint64(firstRow+row)))
		for i := range line {
			line[i] = float32(w.bound * (2*source.Float64() - 1))
		}
		copy(dst[row*f.Cols:], line[firstCol:])
	}
}

func keyOf(name string) uint64 {
	h := fnv.New64a()
	fmt.Fprint(h, name) // a hash never fails
	return h.Sum64()
}
