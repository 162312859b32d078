package bdlora_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bdlora/bdlora"
)

// shape is a Llama's sizes.
type shape struct {
	hidden, kv, intermediate, layers, heads, kvHeads int
}

var (
	tiny     = shape{16, 8, 24, 2, 8, 4} // that of testdata/model
	smol     = shape{576, 192, 1536, 30, 9, 3}
	llama1B  = shape{2048, 512, 8192, 16, 32, 8}
	llama3B  = shape{3072, 1024, 8192, 28, 24, 8}
	llama8B  = shape{4096, 1024, 14336, 32, 32, 8}
	llama70B = shape{8192, 1024, 28672, 80, 64, 8}
)

var mlp = []string{"gate_proj", "up_proj", "down_proj"}

// base is the model of that shape.
func (s shape) base() bdlora.Base {
	column, row := bdlora.ColumnParallel, bdlora.RowParallel
	return bdlora.Base{
		NameOrPath: "tiny", Layers: s.layers, Heads: s.heads, KVHeads: s.kvHeads,
		Linears: []bdlora.Linear{
			{Name: "self_attn.q_proj", Out: s.hidden, In: s.hidden, Heads: s.heads, Parallel: column},
			{Name: "self_attn.k_proj", Out: s.kv, In: s.hidden, Heads: s.kvHeads, Parallel: column},
			{Name: "self_attn.v_proj", Out: s.kv, In: s.hidden, Heads: s.kvHeads, Parallel: column},
			{Name: "self_attn.o_proj", Out: s.hidden, In: s.hidden, Heads: s.heads, Parallel: row},
			{Name: "mlp.gate_proj", Out: s.intermediate, In: s.hidden, Parallel: column},
			{Name: "mlp.up_proj", Out: s.intermediate, In: s.hidden, Parallel: column},
			{Name: "mlp.down_proj", Out: s.hidden, In: s.intermediate, Parallel: row},
		},
	}
}

// config is the default one with so much rank in so many blocks.
func config(rank, blocks int) bdlora.Config {
	c := bdlora.DefaultConfig()
	c.Rank, c.Blocks = rank, blocks
	return c
}

func mustPlan(t *testing.T, base bdlora.Base, c bdlora.Config) *bdlora.Plan {
	t.Helper()
	plan, err := bdlora.NewPlan(base, c)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// trained is an adapter of the tiny model none of whose numbers is zero.
func trained(t *testing.T, c bdlora.Config) *bdlora.Adapter {
	t.Helper()
	return drawn(t, tiny.base(), c)
}

// drawn is an adapter of a model none of whose numbers is zero.
func drawn(t *testing.T, base bdlora.Base, c bdlora.Config) *bdlora.Adapter {
	t.Helper()
	a := bdlora.New(mustPlan(t, base, c), 1)
	random := rand.New(rand.NewPCG(7, uint64(c.Blocks)))
	for _, shard := range a.Shards {
		for i := range shard {
			shard[i] = float32(random.NormFloat64())
		}
	}
	return a
}

// wantSame fails unless the adapters have the same modules and the same bits.
func wantSame(t *testing.T, got, want *bdlora.Adapter) {
	t.Helper()
	if !slices.Equal(got.Plan.Modules, want.Plan.Modules) {
		t.Fatalf("got modules %+v, want %+v", got.Plan.Modules, want.Plan.Modules)
	}
	for i := range want.Shards {
		if !slices.Equal(got.Shards[i], want.Shards[i]) {
			t.Errorf("shard %d differs", i)
		}
	}
}

// wantError fails unless err says all of the parts.
func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("got no error, want one that says %q", parts)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("got error %q, want it to say %q", err, part)
		}
	}
}

// wantSameFile fails unless the two files have the same bytes.
func wantSameFile(t *testing.T, got, want string) {
	t.Helper()
	a, b := readFile(t, got), readFile(t, want)
	if !bytes.Equal(a, b) {
		t.Errorf("%s (%d bytes) differs from %s (%d bytes)", got, len(a), want, len(b))
	}
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func writeFile(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o666); err != nil {
		t.Fatal(err)
	}
}

func golden(names ...string) string {
	return filepath.Join(append([]string{"testdata"}, names...)...)
}
