package kernelstest

import (
	"fmt"
	"hash"
	"hash/fnv"
	"slices"
	"testing"

	"github.com/chewxy/hm"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Gradients compares the gradient that [G.Grad] gives of a random weighting of
// op's output with central differences, in float64, for every element of every
// input. op builds the node under test from inputs of the shapes; it is called
// twice, for a graph with gradients and for one without. It fails too if the node
// changes one of its inputs.
func Gradients(t testing.TB, op func(in ...*G.Node) (*G.Node, error), shapes ...tensor.Shape) {
	t.Helper()
	data := make([][]float64, len(shapes))
	for i, shape := range shapes {
		data[i] = normals(fmt.Sprint("input ", i), shape.TotalSize())
	}
	trained, err := newGraph(op, shapes, true)
	if err != nil {
		t.Fatalf("graph with gradients: %v", err)
	}
	defer trained.machine.Close()
	forward, err := newGraph(op, shapes, false)
	if err != nil {
		t.Fatalf("graph: %v", err)
	}
	defer forward.machine.Close()

	trained.run(t, data)
	for i := range data {
		want := Differences(data[i], func() float64 { return forward.run(t, data) })
		closeNamed(t, fmt.Sprintf("gradient in input %d: ", i), floats(trained.grads[i].Value()), want,
			gradientRtol, gradientAtol)
	}
}

// graph is the node under test, weighted and summed.
type graph struct {
	inputs  []*tensor.Dense
	cost    *G.Node
	grads   G.Nodes
	machine G.VM
}

func newGraph(op func(in ...*G.Node) (*G.Node, error), shapes []tensor.Shape, grads bool) (*graph, error) {
	g, in, built := G.NewGraph(), make(G.Nodes, len(shapes)), &graph{}
	for i, shape := range shapes {
		value := tensor.New(tensor.WithShape(shape...), tensor.Of(tensor.Float64))
		built.inputs = append(built.inputs, value)
		in[i] = G.NewTensor(g, tensor.Float64, len(shape), G.WithShape(shape...),
			G.WithName(fmt.Sprint("input ", i)), G.WithValue(value))
	}
	y, err := op(in...)
	if err != nil {
		return nil, err
	}
	if built.cost, err = G.ApplyOp(newWeighting(y), y); err != nil {
		return nil, err
	}
	if grads {
		if built.grads, err = G.Grad(built.cost, in...); err != nil {
			return nil, err
		}
	}
	built.machine = G.NewTapeMachine(g)
	return built, nil
}

// run returns the weighted sum for inputs of these numbers.
func (g *graph) run(t testing.TB, data [][]float64) float64 {
	t.Helper()
	for i, in := range g.inputs {
		copy(in.Float64s(), data[i])
	}
	g.machine.Reset()
	if err := g.machine.RunAll(); err != nil {
		t.Fatal(err)
	}
	for i, in := range g.inputs {
		if !slices.Equal(in.Float64s(), data[i]) {
			t.Fatalf("input %d: the node has changed it", i)
		}
	}
	return floats(g.cost.Value())[0]
}

// floats are the numbers of a value.
func floats(v G.Value) []float64 {
	switch x := v.Data().(type) {
	case float64:
		return []float64{x}
	default:
		return x.([]float64)
	}
}

// weighting is the op Σ weights·y, and its backward op: weights·dcost. Gorgonia's
// own product and sum would do, but that they may work in y's memory, and that
// nothing in their gradient waits for y.
type weighting struct {
	weights  []float64
	shape    tensor.Shape // of y
	of       hm.Type      // of y
	backward bool
}

var _ G.SDOp = (*weighting)(nil)

func newWeighting(y *G.Node) *weighting {
	return &weighting{weights: normals("weights", y.Shape().TotalSize()), shape: y.Shape().Clone(), of: y.Type()}
}

// Arity is one for y, or two for the cost, which orders the backward pass after
// the forward one, and its gradient.
func (w *weighting) Arity() int {
	if w.backward {
		return 2
	}
	return 1
}

// Type is that of y to a number, or back.
func (w *weighting) Type() hm.Type {
	if w.backward {
		return hm.NewFnType(tensor.Float64, tensor.Float64, w.of)
	}
	return hm.NewFnType(w.of, tensor.Float64)
}

// InferShape is that of y, or a scalar.
func (w *weighting) InferShape(...G.DimSizer) (tensor.Shape, error) {
	if w.backward {
		return w.shape, nil
	}
	return tensor.ScalarShape(), nil
}

// Do computes the sum, or the gradient of y.
func (w *weighting) Do(in ...G.Value) (G.Value, error) {
	if !w.backward {
		return G.NewF64(dot(w.weights, floats(in[0]))), nil
	}
	dcost := floats(in[1])[0]
	dy := make([]float64, len(w.weights))
	for i := range dy {
		dy[i] = w.weights[i] * dcost
	}
	if w.shape.IsScalar() {
		return G.NewF64(dy[0]), nil
	}
	return tensor.New(tensor.WithShape(w.shape...), tensor.WithBacking(dy)), nil
}

// SymDiff is the backward op of the cost and its gradient.
func (w *weighting) SymDiff(_ G.Nodes, cost, dcost *G.Node) (G.Nodes, error) {
	back := *w
	back.backward = true
	dy, err := G.ApplyOp(&back, cost, dcost)
	return G.Nodes{dy}, err
}

// DiffWRT is y, but not twice.
func (w *weighting) DiffWRT(inputs int) []bool {
	wrt := make([]bool, inputs)
	wrt[0] = !w.backward
	return wrt
}

// ReturnsPtr, CallsExtern and OverwritesInput: each result has its own memory.
func (w *weighting) ReturnsPtr() bool { return false }

// CallsExtern says that no device is involved.
func (w *weighting) CallsExtern() bool { return false }

// OverwritesInput is none.
func (w *weighting) OverwritesInput() int { return -1 }

func (w *weighting) String() string { return fmt.Sprintf("weighting{backward: %t}", w.backward) }

// WriteHash writes the name: there is one weighting in a graph.
func (w *weighting) WriteHash(h hash.Hash) { fmt.Fprint(h, w) }

// Hashcode is the hash of the name.
func (w *weighting) Hashcode() uint32 {
	h := fnv.New32a()
	w.WriteHash(h)
	return h.Sum32()
}
