package serving

import (
	"slices"

	"bdlora/bdlora"
	"bdlora/kernels"
	"bdlora/kernels/comm"
	"bdlora/model"
)

// Setup is a model that so many shards serve, with adapters of one kind.
type Setup struct {
	Config   *model.Config
	Shards   int
	Way      Way
	Linears  []bdlora.Linear // that have an adapter, in every layer
	Rank     int             // of an adapter, over all shards
	Adapters int             // different ones among the sequences of a step, each of which is read; 0 is 1
	Widths   Widths
}

// Widths are the bytes of a number.
type Widths struct {
	Weight, Adapter, Cache int // in memory: of the base model, of an adapter, of keys and values
	Base, Exchange         int // on the wire: of activations, and of an adapter's h
}

// Ours are the widths of this program: weights in bfloat16, all else in float32.
func Ours() Widths { return Widths{Weight: 2, Adapter: 4, Cache: 4, Base: 4, Exchange: 4} }

// VLLM are those of vLLM, which keeps h in float32 and all else in bfloat16.
// Source: vllm/lora/layers, column_parallel_linear.py and row_parallel_linear.py.
func VLLM() Widths { return Widths{Weight: 2, Adapter: 2, Cache: 2, Base: 2, Exchange: 4} }

// Step is one pass through the model: Tokens new tokens of each sequence, behind Past
// others. A prompt is a Step of many tokens, decoding one of a single token.
type Step struct {
	Sequences, Tokens, Past int
}

// rows is the tokens that go through.
func (s Step) rows() int { return s.Sequences * s.Tokens }

// attention is the shape of a layer's attention.
func (s Step) attention(c *model.Config) *kernels.AttentionShape {
	shape := &kernels.AttentionShape{Heads: c.Heads, KVHeads: c.KVHeads, HeadDim: c.HeadDim}
	for range s.Sequences {
		shape.Queries, shape.Keys = append(shape.Queries, s.Tokens), append(shape.Keys, s.Past+s.Tokens)
	}
	return shape
}

// linears are those that have an adapter.
func (s Setup) linears() []bdlora.Linear {
	if s.Way == None {
		return nil
	}
	return s.Linears
}

// inputs are what the adapted linears of a layer read.
func (s Setup) inputs() []input {
	var all []input
	for _, l := range s.linears() {
		i := slices.IndexFunc(all, func(in input) bool { return in.half == l.Half() && in.parallel == l.Parallel })
		if i < 0 {
			i = len(all)
			all = append(all, input{half: l.Half(), parallel: l.Parallel})
		}
		all[i].linears++
	}
	return all
}

// input is what so many linears of a half-layer read, which are split alike.
type input struct {
	half     string
	parallel bdlora.Parallel
	linears  int
}

// Params is the number of an adapter's parameters over all shards, each counted once
// however many shards hold it.
func (s Setup) Params() int64 {
	blocks := 1
	if s.Way == BDLoRA {
		blocks = s.Shards
	}
	params := 0
	for _, l := range s.linears() {
		if l.Parallel == bdlora.ColumnParallel {
			params += s.Rank * (l.In + l.Out/blocks)
		} else {
			params += s.Rank * (l.In/blocks + l.Out)
		}
	}
	return int64(s.Config.Layers) * int64(params)
}

// ShardParams is the number of parameters of an adapter that each shard holds.
func (s Setup) ShardParams() int64 {
	params := 0
	for _, l := range s.linears() {
		a, b := s.Way.factors(l, s.Rank, s.Shards)
		params += a[0]*a[1] + b[0]*b[1]
	}
	return int64(s.Config.Layers) * int64(params)
}

// Call is Count collectives of one kind in a step.
type Call struct {
	Why     comm.Purpose
	Kind    comm.Collective
	Payload int64 // bytes of the result of each; see [comm.Entry]
	Count   int
}

// LayerCalls are the collectives of a step in each layer. Those of the base model are
// two all-reduces of rows·hidden numbers. Those of S-LoRA, whose linears of one input
// share theirs:
//
//	q, k, v    all-gather [rows, 3·rank]       o       all-reduce [rows, rank]
//	gate, up   all-gather [rows, 2·rank]       down    all-reduce [rows, rank]
func (s Setup) LayerCalls(step Step) []Call {
	if s.Shards == 1 {
		return nil
	}
	rows := int64(step.rows())
	calls := []Call{{comm.Base, comm.AllReduce, rows * int64(s.Config.Hidden*s.Widths.Base), 2}}
	if s.Way != SLoRA {
		return calls
	}
	for _, in := range s.inputs() {
		call := Call{comm.Adapter, comm.AllReduce, rows * int64(in.linears*s.Rank*s.Widths.Exchange), 1}
		if in.parallel == bdlora.ColumnParallel {
			call.Kind = comm.AllGather
		}
		calls = append(calls, call)
	}
	return calls
}

// Calls are all the collectives of a step: those of every layer, an all-reduce behind
// the embedding, and the gathering of the last tokens' logits.
func (s Setup) Calls(step Step) []Call {
	calls := s.LayerCalls(step)
	if len(calls) == 0 {
		return nil
	}
	embedding := calls[0]
	embedding.Count = 1
	for i := range calls {
		calls[i].Count *= s.Config.Layers
	}
	vocabulary := (s.Config.Vocab + s.Shards - 1) / s.Shards * s.Shards // shards of one size are gathered
	logits := int64(step.Sequences) * int64(vocabulary*s.Widths.Base)
	return append(calls, embedding, Call{comm.Base, comm.AllGather, logits, 1})
}

// WireBytes is what a process sends in each of these collectives by a ring: (N−1)/N of
// the payload to gather it, twice that to sum it.
func (c Call) WireBytes(procs int) float64 {
	sent := float64(c.Payload) * float64(procs-1) / float64(procs)
	if c.Kind == comm.AllReduce {
		return 2 * sent
	}
	return sent
}

// Work is what each shard has to do in a step, exchanges aside.
type Work struct {
	Bytes    float64 // to read: weights, adapters, keys and values
	Flops    float64
	Products int // of the adapter, linears of one input taken together
}

// Work is that of a step.
func (s Setup) Work(step Step) Work {
	c, shards := s.Config, float64(s.Shards)
	rows, last := float64(step.rows()), float64(step.Sequences)
	linears, head := 0.0, float64(c.Hidden*c.Vocab)/shards
	for _, l := range c.Linears() {
		linears += float64(c.Layers) * float64(l.In*l.Out) / shards
	}
	layerCache := float64(step.Sequences * (step.Past + step.Tokens) * 2 * c.KVHeads * c.HeadDim)
	adapter := float64(s.ShardParams())
	return Work{
		Bytes: float64(s.Widths.Weight)*(linears+head) + float64(s.Widths.Cache*c.Layers)*layerCache/shards +
			float64(s.Widths.Adapter*max(1, s.Adapters))*adapter,
		Flops:    2*rows*(linears+adapter) + 2*last*head + float64(c.Layers)*step.attention(c).Flops()/shards,
		Products: 2 * len(s.inputs()) * c.Layers,
	}
}
