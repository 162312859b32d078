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

// Trainable is an adapter, or the shards of one that a process holds, in a Backend's
// memory: a buffer of parameters and one of gradients for each shard, both laid out as
// Plan says.
type Trainable struct {
	Plan          *bdlora.Plan
	First         int           // the shard that Params and Grads begin with
	Params, Grads []kernels.Buf // [Plan.Shards()] of a whole adapter, each of Plan.ShardLen
}

// NewTrainable copies an adapter into a Backend's memory, with gradients of zero.
func NewTrainable(be kernels.Backend, a *bdlora.Adapter) *Trainable {
	t := &Trainable{Plan: a.Plan, First: a.First}
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

// maxRank is the most columns of h that one of so many processes makes for a group: for
// the modules of a half-layer that are split alike, and so read one input.
func maxRank(plan *bdlora.Plan, procs int) int {
	type split struct {
		layer    int
		half     string
		parallel bdlora.Parallel
	}
	ranks, largest := map[split]int{}, 0
	for _, m := range plan.Modules {
		s := split{m.Layer, m.Linear.Half(), m.Linear.Parallel}
		ranks[s] += m.A.Rows * plan.Shards() / procs
		largest = max(largest, ranks[s])
	}
	return largest
}

// GraphConfig is how a [Graph] is built.
type GraphConfig struct {
	Tokens     int     // the most that a micro-batch may have
	Dropout    float64 // probability of dropping an adapter's input
	Recompute  bool    // keep no activations but each half-layer's input; cost: about a third more time
	EvalTokens int     // the most that a micro-batch of Graph.Inference may have; 0 for none
	Watch      Watch   // sees every Run; nil for none
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
	parts *graphParts
	vm    G.VM
}

// NewGraph builds the graph that trains t on m. Of a model that has joined a group t has
// to be this process's part, too.
func NewGraph(be kernels.Backend, m *Model, t *Trainable, c GraphConfig) (*Graph, error) {
	if err := m.checkShards(t); err != nil {
		return nil, err
	}
	g := &Graph{be: be, parts: allocateGraph(be, m, t.Plan, c)}
	if g.parts.inference != nil {
		g.parts.inference.shards = t.Params
	}
	vm, err := compile(g, t)
	if err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	g.vm = vm
	return g, nil
}

// Inference runs the model with the adapter as it is, in the graph's own memory: not
// while Run does. It is nil if GraphConfig.EvalTokens was 0.
func (g *Graph) Inference() *Inference { return g.parts.inference }

// graphParts is what becomes a graph's nodes, with its memory, and the Inference that
// shares it.
type graphParts struct {
	pass      *pass
	embed     vocabulary
	halves    []half
	head      *head
	inputs    []kernels.Buf // of each half-layer, and the head's
	gradients []kernels.Buf // in them
	dparams   []kernels.Buf // of one half-layer, for each shard; all half-layers share them
	inference *Inference
}

// allocateGraph takes all the memory that a graph needs, in one piece but for the
// gains of the norms.
func allocateGraph(be kernels.Backend, m *Model, plan *bdlora.Plan, c GraphConfig) *graphParts {
	var training, evaluation arena
	newGraphParts(be.CountMemory(), &training, m, plan, c)
	if c.EvalTokens > 0 {
		inferenceIn(&evaluation, be.CountMemory(), m, plan, c.EvalTokens, c.EvalTokens)
	}
	memory := be.Alloc(max(training.plan(), evaluation.plan()))
	training.memory, evaluation.memory = memory, memory
	parts := newGraphParts(be, &training, m, plan, c)
	if c.EvalTokens > 0 {
		parts.inference = inferenceIn(&evaluation, be, m, plan, c.EvalTokens, c.EvalTokens)
	}
	return parts
}

func newGraphParts(be kernels.Backend, a *arena, m *Model, plan *bdlora.Plan, c GraphConfig) *graphParts {
	r := &room{arena: a, halves: 2 * m.Config.Layers, backward: true, recompute: c.Recompute}
	p := newPass(be, r, m, c.Tokens, maxRank(plan, m.Group().Procs()), c.Dropout)
	parts := &graphParts{pass: p, embed: m.vocabulary(m.embed), halves: newHalves(p, m, plan)}
	p.watchAll(parts.halves, c.Watch)
	parts.head = newHead(p, upload(be, m.norm), m.vocabulary(m.head), c.Tokens)
	for i := range r.halves + 1 {
		parts.inputs = append(parts.inputs, r.input(i).Alloc(c.Tokens*m.Config.Hidden))
		parts.gradients = append(parts.gradients, r.gradient(i).Alloc(c.Tokens*m.Config.Hidden))
	}
	longest := 0
	for _, h := range parts.halves {
		longest = max(longest, h.to-h.from)
	}
	for range plan.Shards() / m.Group().Procs() {
		parts.dparams = append(parts.dparams, r.allTheWayBack().Alloc(longest))
	}
	return parts
}

// compile builds the Gorgonia graph and its tape machine. Gorgonia tells nodes
// apart by a 32-bit hash of their names, so names get a salt until no two collide.
func compile(g *Graph, t *Trainable) (G.VM, error) {
	const salts = 8
	for salt := range salts {
		b := &graphBuilder{g: g, train: t, salt: fmt.Sprintf("%d:", salt), graph: G.NewGraph()}
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
	train      *Trainable
	salt       string
	graph      *G.ExprGraph
	learnables G.Nodes
}

func (b *graphBuilder) build() error {
	be, parts := b.g.be, b.g.parts
	shape := tensor.Shape{parts.pass.most, parts.pass.config.Hidden}
	x := G.NewMatrix(b.graph, be.Dtype(), G.WithShape(shape...), G.WithName(b.salt+"embedded"),
		G.WithValue(be.Value(parts.inputs[0], shape...)))
	for i := range parts.halves {
		y, err := b.half(i, x, shape)
		if err != nil {
			return err
		}
		x = y
	}
	last := len(parts.halves)
	head := kernels.Node{Backend: be, Func: named{parts.head, b.salt}, Y: parts.head.loss, DX: parts.gradients[last]}
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
	parts, be := b.g.parts, b.g.be
	h := &parts.halves[i]
	n := kernels.Node{Backend: be, Func: named{h.Func, b.salt}, Shape: shape, Y: parts.inputs[i+1]}
	if len(b.learnables) > 0 {
		n.DX = parts.gradients[i]
	}
	var params G.Nodes
	grads := h.params(b.train.Grads)
	for shard, values := range h.params(b.train.Params) {
		node := G.NewVector(b.graph, be.Dtype(), G.WithShape(values.Len()),
			G.WithName(fmt.Sprintf("%s%s.shard.%d", b.salt, h.Name(), shard)), G.WithValue(be.Value(values, values.Len())))
		G.WithGrad(be.Value(grads[shard], values.Len()))(node)
		params = append(params, node)
		n.DParams = append(n.DParams, parts.dparams[shard].Slice(0, values.Len()))
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
	p, h := g.parts.pass, g.parts.head
	if len(batch.Tokens) > p.most {
		return 0, fmt.Errorf("model: micro-batch of %d tokens, want at most %d", len(batch.Tokens), p.most)
	}
	if err := p.config.checkTokens(batch.Tokens); err != nil {
		return 0, err
	}
	p.begin(batch)
	p.dropout.key = dropoutKey
	h.begin(batch.Targets, lossScale)
	if len(h.rows) == 0 {
		return 0, fmt.Errorf("model: micro-batch of %d tokens, want 1 trained at least", len(batch.Tokens))
	}
	if err := p.embed(g.parts.inputs[0], g.parts.embed, batch.Tokens); err != nil {
		return 0, fmt.Errorf("model: %w", err)
	}
	defer g.vm.Reset()
	if err := g.vm.RunAll(); err != nil {
		return 0, fmt.Errorf("model: %w", err)
	}
	return h.sum, nil
}

// Close ends the graph's tape machine.
func (g *Graph) Close() error { return g.vm.Close() }

// keyOf is a 64-bit hash of a name.
func keyOf(name string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(name)) // a hash never fails
	return h.Sum64()
}
