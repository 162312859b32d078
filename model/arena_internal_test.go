package model

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"bdlora/bdlora"
	"bdlora/kernels"
	"bdlora/kernels/ref"
)

// checkPlaces fails t where two buffers share memory at a moment when both are wanted,
// and returns the most that is wanted at any moment.
func checkPlaces(t *testing.T, a *arena, length int) (most int) {
	t.Helper()
	for i, p := range a.places {
		if p.from < 0 || p.to() > length {
			t.Errorf("buffer %d is [%d, %d) of an arena of %d", i, p.from, p.to(), length)
		}
		for j, q := range a.places[:i] {
			if p.life.meets(q.life) && p.from < q.to() && q.from < p.to() && p.length > 0 && q.length > 0 {
				t.Errorf("buffers %d %v and %d %v share [%d, %d) and [%d, %d)", i, p.life, j, q.life, p.from, p.to(), q.from, q.to())
			}
		}
		for _, s := range p.life { // the most begins where a buffer does
			wanted := 0
			for _, q := range a.places {
				if q.life.meets(lifetime{{s.from, s.from}}) {
					wanted += q.length
				}
			}
			most = max(most, wanted)
		}
	}
	return most
}

func TestBuffersThatLiveTogetherLieApart(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 0))
		var a arena
		for range 1 + rng.IntN(40) {
			var life []span
			for from, left := rng.IntN(10), 1+rng.IntN(3); left > 0; left-- {
				to := from + rng.IntN(4)
				life = append(life, span{from, to})
				from = to + 1 + rng.IntN(4)
			}
			a.during(life...).Alloc(rng.IntN(100))
		}
		checkPlaces(t, &a, a.plan())
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// Law: the arena of a graph is hardly longer than what is wanted at its fullest moment.
func TestGraphsArenaIsTight(t *testing.T) {
	const tight = 1.01
	for _, shape := range []string{"smollm2-135m", "llama-3.1-8b"} {
		for _, recompute := range []bool{false, true} {
			for _, dropout := range []float64{0, 0.1} {
				t.Run(fmt.Sprintf("%s/recompute=%t/dropout=%g", shape, recompute, dropout), func(t *testing.T) {
					a := arenaOf(t, shape, GraphConfig{Tokens: 512, Recompute: recompute, Dropout: dropout})
					length := a.plan()
					most := checkPlaces(t, a, length)
					t.Logf("%d buffers, %d MiB, %d MiB wanted at most", len(a.places), length>>18, most>>18)
					if float64(length) > tight*float64(most) {
						t.Errorf("arena of %d elements, want at most %g times the %d wanted at most", length, tight, most)
					}
				})
			}
		}
	}
}

// arenaOf is what a graph for a public model's shape asks for.
func arenaOf(t *testing.T, shape string, c GraphConfig) *arena {
	t.Helper()
	config, err := Shape(shape)
	if err != nil {
		t.Fatal(err)
	}
	m := hollow(config)
	plan, err := bdlora.NewPlan(m.Base(), bdlora.Config{Rank: 16, Blocks: 1, Targets: []string{bdlora.AllLinear}, Init: bdlora.InitLoRA})
	if err != nil {
		t.Fatal(err)
	}
	var a arena
	newGraphParts(ref.New[float32]().CountMemory(), &a, m, plan, c)
	return &a
}

// hollow is a model of c's shape without numbers.
func hollow(c *Config) *Model {
	m := &Model{Config: c, head: &kernels.Weight{Rows: c.Vocab, Cols: c.Hidden}}
	m.embed = m.head
	for range c.Layers {
		m.layers = append(m.layers, layerWeights{linears: map[string]*kernels.Weight{}})
		for _, l := range c.Linears() {
			m.layers[len(m.layers)-1].linears[l.Name] = &kernels.Weight{Rows: l.Out, Cols: l.In}
		}
	}
	return m
}
