package kernels

import (
	"fmt"
	"hash"
	"hash/fnv"
	"runtime/debug"

	"github.com/chewxy/hm"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Func is a differentiable function y = f(x; params) over a [Backend]: x and y are
// activations, params flat vectors of trainable numbers. [Apply] makes it a node
// of a Gorgonia graph.
type Func interface {
	// Name is unique in the graph: Gorgonia merges nodes of equal names.
	Name() string
	// Forward overwrites y. What Backward needs of it, f keeps.
	Forward(y, x Buf, params []Buf) error
	// Backward overwrites dx (unless it is nil: nobody wants it) and every
	// dparams[i] with the gradients of a scalar whose gradient in y is dy.
	Backward(dx Buf, dparams []Buf, dy, x Buf, params []Buf) error
}

// Node is what [Apply] needs to know beside the function. The memory is the
// caller's, so that buffers which are never alive together may be one.
type Node struct {
	Backend Backend
	Func    Func
	Shape   tensor.Shape // of y; empty for a scalar
	Y       Buf          // y, of Shape's size
	DX      Buf          // gradient in x, of x's size; nil if x needs none
	DParams []Buf        // gradients in params, of their sizes
}

// Apply adds f(x; params) to the graph of x. It is differentiable in every param,
// and in x if n.DX is not nil.
//
// Each input may have no other consumer that is differentiated: Gorgonia would add
// the gradients with an Add of its own, which knows tensors on the host alone.
func Apply(n Node, x *G.Node, params ...*G.Node) (*G.Node, error) {
	in := append(G.Nodes{x}, params...)
	wanted := make([]bool, len(in))
	for i := range wanted {
		wanted[i] = i > 0 || n.DX != nil
	}
	if len(n.DParams) != len(params) {
		return nil, fmt.Errorf("kernels: %s: %d gradient buffers for %d params", n.Func.Name(), len(n.DParams), len(params))
	}
	op := &forwardOp{opBase: newOpBase(n.Func.Name(), n.Backend.Dtype(), n.Shape, in), node: n}
	op.wanted = wanted
	return G.ApplyOp(op, in...)
}

// opBase is what Gorgonia asks of every op. Ops are told apart by name alone.
type opBase struct {
	name   string
	shape  tensor.Shape
	types  []hm.Type // of the inputs, then of the output
	wanted []bool    // in which inputs it is differentiable
}

func newOpBase(name string, of tensor.Dtype, shape tensor.Shape, in G.Nodes) opBase {
	b := opBase{name: name, shape: shape, wanted: make([]bool, len(in))}
	for _, n := range in {
		b.types = append(b.types, n.Type())
	}
	var out hm.Type = of
	if len(shape) > 0 {
		out = G.TensorType{Dims: len(shape), Of: of}
	}
	b.types = append(b.types, out)
	return b
}

func (b *opBase) Arity() int                                     { return len(b.types) - 1 }
func (b *opBase) Type() hm.Type                                  { return hm.NewFnType(b.types...) }
func (b *opBase) InferShape(...G.DimSizer) (tensor.Shape, error) { return b.shape, nil }
func (b *opBase) ReturnsPtr() bool                               { return false }
func (b *opBase) CallsExtern() bool                              { return false }
func (b *opBase) OverwritesInput() int                           { return -1 }
func (b *opBase) WriteHash(h hash.Hash)                          { fmt.Fprintf(h, "bdlora.%s", b.name) }
func (b *opBase) String() string                                 { return b.name }
func (b *opBase) DiffWRT(int) []bool                             { return b.wanted }

func (b *opBase) Hashcode() uint32 {
	h := fnv.New32a()
	b.WriteHash(h)
	return h.Sum32()
}

func (b *opBase) SymDiff(G.Nodes, *G.Node, *G.Node) (G.Nodes, error) {
	return nil, fmt.Errorf("kernels: %s: not differentiable", b.name)
}

// forwardOp computes y.
type forwardOp struct {
	opBase
	node Node
}

var _ G.SDOp = (*forwardOp)(nil)

func (op *forwardOp) Do(in ...G.Value) (y G.Value, err error) {
	defer catchPanic(op.name, &err)
	be := op.node.Backend
	bufs := bufsOf(be, in)
	if err := op.node.Func.Forward(op.node.Y, bufs[0], bufs[1:]); err != nil {
		return nil, fmt.Errorf("%s: %w", op.name, err)
	}
	return be.Value(op.node.Y, op.shape...), nil
}

// SymDiff adds one node that computes all gradients and one per wanted input that
// hands its gradient out.
func (op *forwardOp) SymDiff(in G.Nodes, _, dy *G.Node) (G.Nodes, error) {
	backIn := append(append(G.Nodes{}, in...), dy)
	back := &backwardOp{
		opBase: newOpBase(op.name+".backward", op.node.Backend.Dtype(), tensor.Shape{1}, backIn),
		node:   op.node,
		done:   op.node.Backend.Alloc(1),
	}
	all, err := G.ApplyOp(back, backIn...)
	if err != nil {
		return nil, err
	}
	grads := make(G.Nodes, len(in))
	for i, n := range in {
		if !op.wanted[i] {
			continue
		}
		pick := &pickOp{
			opBase: newOpBase(fmt.Sprintf("%s.gradient%d", op.name, i), op.node.Backend.Dtype(), n.Shape(), G.Nodes{all}),
			be:     op.node.Backend,
			grad:   op.node.grad(i),
		}
		if grads[i], err = G.ApplyOp(pick, all); err != nil {
			return nil, err
		}
	}
	return grads, nil
}

// grad is the gradient buffer of input i: x, then the params.
func (n *Node) grad(i int) Buf {
	if i == 0 {
		return n.DX
	}
	return n.DParams[i-1]
}

// backwardOp computes every gradient; its own value only orders what follows.
type backwardOp struct {
	opBase
	node Node
	done Buf
}

func (op *backwardOp) Do(in ...G.Value) (done G.Value, err error) {
	defer catchPanic(op.name, &err)
	be, last := op.node.Backend, len(in)-1
	bufs := bufsOf(be, in)
	if err := op.node.Func.Backward(op.node.DX, op.node.DParams, bufs[last], bufs[0], bufs[1:last]); err != nil {
		return nil, fmt.Errorf("%s: %w", op.name, err)
	}
	return be.Value(op.done, 1), nil
}

// pickOp hands out one of the gradients that a backwardOp computed.
type pickOp struct {
	opBase
	be   Backend
	grad Buf
}

func (op *pickOp) Do(...G.Value) (G.Value, error) { return op.be.Value(op.grad, op.shape...), nil }

func bufsOf(be Backend, values []G.Value) []Buf {
	bufs := make([]Buf, len(values))
	for i, v := range values {
		bufs[i] = be.BufOf(v)
	}
	return bufs
}

// catchPanic makes an error of a panic: the tape machine runs ops on a goroutine
// of its own, where nobody else could.
func catchPanic(name string, err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("kernels: %s panicked: %v\n%s", name, r, debug.Stack())
	}
}
