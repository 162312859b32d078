package bdlora

import (
	"fmt"
	"strings"
)

// Parallel says how tensor parallelism splits a linear's weight, and with it which
// factor of its adapter is block-diagonal.
type Parallel uint8

// The two ways to split a linear.
const (
	// ColumnParallel splits W [out, in] by its rows: shard i makes its own outputs.
	// B is block-diagonal.
	ColumnParallel Parallel = iota
	// RowParallel splits W [out, in] by its columns: shard i sees its own inputs, and
	// the shards' outputs are summed. A is block-diagonal.
	RowParallel
)

// String is "column" or "row".
func (p Parallel) String() string {
	if p == RowParallel {
		return "row"
	}
	return "column"
}

// Linear is one linear of a layer of the base model: y = x·Wᵀ, W [Out, In].
type Linear struct {
	Name     string // its path below the layer: "self_attn.q_proj"
	Out, In  int
	Heads    int // units that no shard's border may cut: heads (q, o), kv heads (k, v); 0 if none
	Parallel Parallel
}

// Half is the half-layer that the linear belongs to, the first element of its
// name: "self_attn" or "mlp".
func (l Linear) Half() string {
	half, _, _ := strings.Cut(l.Name, ".")
	return half
}

// Base is what an adapter has to know of the model that it adapts. Every layer has
// the same linears.
type Base struct {
	NameOrPath     string // written into adapter files as base_model_name_or_path
	Layers         int
	Heads, KVHeads int
	Linears        []Linear // of one layer, in the order of the forward pass
	Params         int64    // of the whole base model
}

// modulePath is the path of a linear in a Hugging Face checkpoint, without the
// ".weight" at its end.
func modulePath(layer int, linear string) string {
	return fmt.Sprintf("model.layers.%d.%s", layer, linear)
}
