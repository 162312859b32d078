package model

import (
	"fmt"
	"hash/fnv"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"bdlora/bdlora"
	"bdlora/data"
	"bdlora/kernels"
)

// Trainable is an adapter in a Backend's memory: a buffer of parameters and one of
// gradients for each shard, both laid out as Plan says.
type Trainable struct {
	Plan          *bdlora.Plan
	Params, Grads []kernels.Buf // [Plan.Shards()], each of Plan.ShardLen
}

// NewTrainable copies an adapter into a Backend's memory, with gradients of zero.
func NewTrainable(be kernels.Backend, a *bdlora.Adapter) *Trainable {
	t := &Trainable{Plan: a.Plan}
	for _, shard := range a.Shards {
		t.Params = append(t.Params, upload(be, shard))
		t.Grads = append(t.Grads, be.Alloc(len(shard)))
	}
	return t
}

// plan is t's plan; nil if there is no adapter.
func (t *Trainable) plan() *bdlora.Plan {
	if t == nil {
		return nil
	}
	return t.Plan
}

// maxRank is the largest rank that a shard has of any module.
func maxRank(plan *bdlora.Plan) int {
	rank := 0
	for _, m := range plan.Modules {
		rank = max(rank, m.A.Rows)
	}
	return rank
}

// GraphConfig is how a [Graph] is built.
type GraphConfig struct {
	Tokens    int     // the most that a micro-batch may have
	Dropout   float64 // probability of dropping an adapter's input
	Recompute bool    // keep no activations but each half-layer's input; cost: about a third more time
}

// Graph computes the loss of a micro-batch and its gradients in the adapter: the
// Gorgonia graph
//
//	embedded tokens → (attention half → MLP half) × layers → head and loss
//
// with one learnable vector for each half-layer and shard, a view into the shard's
// buffer. It is built once for up to GraphConfig.Tokens tokens and computes only on
// those that a micro-batch really has.
type Graph struct {
	be    kernels.Backend
	pass  *pass
	head  *head
	embed *kernels.Weight
	input kernels.Buf // [Tokens, hidden]
	most  int         // GraphConfig.Tokens
	vm    G.VM
}

// NewGraph builds the graph that trains t on m.
func NewGraph(be kernels.Backend, m *Model, t *Trainable, c GraphConfig) (*Graph, error) {
	g, parts := allocateGraph(be, m, t.Plan, c)
	vm, err := compile(g, parts, t)
	if err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	g.vm = vm
	return g, nil
}

// graphParts is what becomes a graph's nodes: half-layers and the memory of their
// outputs and gradients.
type graphParts struct {
	halves  []half
	outputs []kernels.Buf  // of each half-layer
	dx      [2]kernels.Buf // used in turn: a half-layer's dy is the next one's dx
	dparams []kernels.Buf  // of one half-layer, for each shard; all half-layers share them
}

// allocateGraph takes all the memory that a graph needs.
func allocateGraph(be kernels.Backend, m *Model, plan *bdlora.Plan, c GraphConfig) (*Graph, *graphParts) {
	activation := c.Tokens * m.Config.Hidden
	p := newPass(be, m.Config, c.Tokens, maxRank(plan), c.Dropout, true)
	g := &Graph{be: be, pass: p, embed: m.embed, input: be.Alloc(activation), most: c.Tokens}
	g.head = newHead(p, upload(be, m.norm), m.head, c.Tokens, true)
	parts := &graphParts{dx: [2]kernels.Buf{be.Alloc(activation), be.Alloc(activation)}}
	parts.halves = newHalves(p, m, plan, &tapes{be: be, config: m.Config, tokens: c.Tokens, shared: c.Recompute})
	longest := 0
	for _, h := range parts.halves {
		parts.outputs = append(parts.outputs, be.Alloc(activation))
		longest = max(longest, h.to-h.from)
	}
	for range plan.Shards() {
		parts.dparams = append(parts.dparams, be.Alloc(longest))
	}
	return g, parts
}

// compile builds the Gorgonia graph and its tape machine. Gorgonia tells nodes
// apart by a 32-bit hash of their names, so names get a salt until no two collide.
func compile(g *Graph, parts *graphParts, t *Trainable) (G.VM, error) {
	const salts = 8
	for salt := range salts {
		b := &graphBuilder{g: g, parts: parts, train: t, salt: fmt.Sprintf("%d:", salt), graph: G.NewGraph()}
		if err := b.build(); err != nil {
			return nil, err
		}
		if !hashesCollide(b.graph) {
			return G.NewTapeMachine(b.graph, G.BindDualValues(b.learnables...)), nil
		}
	}
	return nil, fmt.Errorf("the hashes of two graph nodes collide under each of %d namings", salts)
}

func hashesCollide(g *G.ExprGraph) bool {
	seen := map[uint32]bool{}
	for _, n := range g.AllNodes() {
		if seen[n.Hashcode()] {
			return true
		}
		seen[n.Hashcode()] = true
	}
	return false
}

// graphBuilder makes the nodes of one Graph.
type graphBuilder struct {
	g          *Graph
	parts      *graphParts
	train      *Trainable
	salt       string
	graph      *G.ExprGraph
	learnables G.Nodes
}

func (b *graphBuilder) build() error {
	be, shape := b.g.be, tensor.Shape{b.g.most, b.g.pass.config.Hidden}
	x := G.NewMatrix(b.graph, be.Dtype(), G.WithShape(shape...), G.WithName(b.salt+"embedded"),
		G.WithValue(be.Value(b.g.input, shape...)))
	for i := range b.parts.halves {
		y, err := b.half(i, x, shape)
		if err != nil {
			return err
		}
		x = y
	}
	last := len(b.parts.halves)
	head := kernels.Node{Backend: be, Func: named{b.g.head, b.salt}, Y: be.Alloc(1), DX: b.parts.dx[last%2]}
	loss, err := kernels.Apply(head, x)
	if err != nil {
		return err
	}
	_, err = G.Grad(loss, b.learnables...)
	return err
}

// half adds half-layer i behind x. Its gradient in x is wanted only if a half-layer
// before it has params.
func (b *graphBuilder) half(i int, x *G.Node, shape tensor.Shape) (*G.Node, error) {
	h, be := &b.parts.halves[i], b.g.be
	n := kernels.Node{Backend: be, Func: named{h.Func, b.salt}, Shape: shape, Y: b.parts.outputs[i]}
	if len(b.learnables) > 0 {
		n.DX = b.parts.dx[i%2]
	}
	var params G.Nodes
	grads := h.params(b.train.Grads)
	for shard, values := range h.params(b.train.Params) {
		node := G.NewVector(b.graph, be.Dtype(), G.WithShape(values.Len()),
			G.WithName(fmt.Sprintf("%s%s.shard.%d", b.salt, h.Name(), shard)), G.WithValue(be.Value(values, values.Len())))
		G.WithGrad(be.Value(grads[shard], values.Len()))(node)
		params = append(params, node)
		n.DParams = append(n.DParams, b.parts.dparams[shard].Slice(0, values.Len()))
	}
	b.learnables = append(b.learnables, params...)
	return kernels.Apply(n, x, params...)
}

// named is a Func under another name.
type named struct {
	kernels.Func
	prefix string
}

func (n named) Name() string { return n.prefix + n.Func.Name() }

// Run adds the gradients of lossScale·(sum of the batch's token losses) to the
// Trainable's and returns that sum, not scaled. dropoutKey decides what dropout
// drops.
//
// It refuses a batch with more tokens than the graph was built for, or none trained.
func (g *Graph) Run(batch *data.Batch, lossScale float64, dropoutKey uint64) (lossSum float64, err error) {
	if len(batch.Tokens) > g.most {
		return 0, fmt.Errorf("model: micro-batch of %d tokens, want at most %d", len(batch.Tokens), g.most)
	}
	if err := g.pass.config.checkTokens(batch.Tokens); err != nil {
		return 0, err
	}
	g.pass.begin(batch)
	g.pass.dropout.key = dropoutKey
	g.head.begin(batch.Targets, lossScale)
	if len(g.head.rows) == 0 {
		return 0, fmt.Errorf("model: micro-batch of %d tokens, want 1 trained at least", len(batch.Tokens))
	}
	g.be.Embed(g.pass.matrix(g.input, g.pass.config.Hidden), g.embed, batch.Tokens)
	defer g.vm.Reset()
	if err := g.vm.RunAll(); err != nil {
		return 0, fmt.Errorf("model: %w", err)
	}
	return g.head.sum, nil
}

// Close ends the graph's tape machine.
func (g *Graph) Close() error { return g.vm.Close() }

// keyOf is a 64-bit hash of a name.
func keyOf(name string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(name)) // a hash never fails
	return h.Sum64()
}
