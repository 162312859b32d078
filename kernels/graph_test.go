package kernels_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"bdlora/kernels"
	"bdlora/kernels/kernelstest"
	"bdlora/kernels/ref"
)

// squash is y = tanh(p₀·x + p₁), summed over all params; enough of a Func to differ
// in x and in every param.
type squash struct {
	name string
	fail error
}

func (f squash) Name() string { return f.name }

func (f squash) Forward(y, x kernels.Buf, params []kernels.Buf) error {
	ys, xs := y.(kernels.F64), x.(kernels.F64)
	clear(ys)
	for _, p := range params {
		p := p.(kernels.F64)
		for i := range xs {
			ys[i] += math.Tanh(p[0]*xs[i] + p[1])
		}
	}
	return f.fail
}

func (f squash) Backward(dx kernels.Buf, dparams []kernels.Buf, dy, x kernels.Buf, params []kernels.Buf) error {
	dys, xs := dy.(kernels.F64), x.(kernels.F64)
	if dx != nil {
		clear(dx.(kernels.F64))
	}
	for k, p := range params {
		p, dp := p.(kernels.F64), dparams[k].(kernels.F64)
		clear(dp)
		for i := range xs {
			t := math.Tanh(p[0]*xs[i] + p[1])
			d := dys[i] * (1 - t*t)
			dp[0] += d * xs[i]
			dp[1] += d
			if dx != nil {
				dx.(kernels.F64)[i] += d * p[0]
			}
		}
	}
	return nil
}

// apply makes a node of squash with buffers of its own.
func apply(f squash, x *G.Node, params ...*G.Node) (*G.Node, error) {
	be := ref.New[float64]()
	n := kernels.Node{Backend: be, Func: f, Shape: x.Shape(), Y: be.Alloc(x.Shape().TotalSize()), DX: be.Alloc(x.Shape().TotalSize())}
	for _, p := range params {
		n.DParams = append(n.DParams, be.Alloc(p.Shape().TotalSize()))
	}
	return kernels.Apply(n, x, params...)
}

func TestApplyIsDifferentiableInAllInputs(t *testing.T) {
	two := func(in ...*G.Node) (*G.Node, error) {
		y, err := apply(squash{name: "first"}, in[0], in[1], in[2])
		if err != nil {
			return nil, err
		}
		return apply(squash{name: "second"}, y, in[3])
	}
	kernelstest.Gradients(t, two, tensor.Shape{3, 2}, tensor.Shape{2}, tensor.Shape{2}, tensor.Shape{2})
}

func TestApplyNeedsAGradientBufferForEachParam(t *testing.T) {
	g, be := G.NewGraph(), ref.New[float64]()
	x := G.NewVector(g, tensor.Float64, G.WithShape(2), G.WithName("x"))
	_, err := kernels.Apply(kernels.Node{Backend: be, Func: squash{name: "f"}, Shape: tensor.Shape{2}, Y: be.Alloc(2)}, x, x)
	if err == nil || !strings.Contains(err.Error(), "f: 0 gradient buffers for 1 params") {
		t.Errorf("got error %v, want one that counts the buffers", err)
	}
}

// Gorgonia makes one node of two that hash alike.
func TestNodesOfDifferentNamesAreNotMerged(t *testing.T) {
	g := G.NewGraph()
	x := G.NewVector(g, tensor.Float64, G.WithShape(2), G.WithName("x"))
	p := G.NewVector(g, tensor.Float64, G.WithShape(2), G.WithName("p"))
	a, errA := apply(squash{name: "a"}, x, p)
	b, errB := apply(squash{name: "b"}, x, p)
	if err := errors.Join(errA, errB); err != nil {
		t.Fatal(err)
	}
	if a == b || a.Hashcode() == b.Hashcode() {
		t.Errorf("nodes a and b hash alike: %x", a.Hashcode())
	}
}

func TestErrorsOfAFuncEndTheRun(t *testing.T) {
	broken := errors.New("no luck")
	for name, want := range map[string]string{"error": "no luck", "panic": "f panicked"} {
		t.Run(name, func(t *testing.T) {
			g := G.NewGraph()
			x := G.NewVector(g, tensor.Float64, G.WithShape(2), G.WithName("x"),
				G.WithValue(tensor.New(tensor.WithShape(2), tensor.WithBacking([]float64{1, 2}))))
			length, f := 2, squash{name: "f", fail: broken}
			if name == "panic" {
				length, f.fail = 1, nil // p[1] is out of range
			}
			p := G.NewVector(g, tensor.Float64, G.WithShape(length), G.WithName("p"),
				G.WithValue(tensor.New(tensor.WithShape(length), tensor.WithBacking(make([]float64, length)))))
			if _, err := apply(f, x, p); err != nil {
				t.Fatal(err)
			}
			vm := G.NewTapeMachine(g)
			defer vm.Close()
			if err := vm.RunAll(); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got error %v, want %q in it", err, want)
			}
		})
	}
}
