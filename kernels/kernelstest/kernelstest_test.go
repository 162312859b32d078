package kernelstest_test

import (
	"math"
	"runtime"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"bdlora/kernels"
	"bdlora/kernels/kernelstest"
	"bdlora/kernels/ref"
)

// recorder is a testing.TB that remembers failures instead of reporting them.
type recorder struct {
	testing.TB
	failed bool
}

func (r *recorder) Errorf(string, ...any) { r.failed = true }
func (r *recorder) Fatal(...any)          { r.failed = true; runtime.Goexit() }
func (r *recorder) Fatalf(string, ...any) { r.failed = true; runtime.Goexit() }

// fails reports whether f fails its testing.TB.
func fails(t *testing.T, f func(t testing.TB)) bool {
	r, done := &recorder{TB: t}, make(chan bool)
	go func() {
		defer close(done)
		f(r)
	}()
	<-done
	return r.failed
}

func TestCloseFails(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for _, tt := range []struct {
		name      string
		got, want []float64
		fails     bool
	}{
		{"equal", []float64{1, 2}, []float64{1, 2}, false},
		{"within rtol", []float64{1, 2.001}, []float64{1, 2}, false},
		{"within atol", []float64{1e-9, 2}, []float64{0, 2}, false},
		{"beyond both", []float64{1, 2.003}, []float64{1, 2}, true},
		{"infinite, both", []float64{inf}, []float64{inf}, false},
		{"infinite, got", []float64{inf}, []float64{1}, true},
		{"infinite, want", []float64{1}, []float64{inf}, true},
		{"NaN, got", []float64{nan}, []float64{1}, true},
		{"NaN, want", []float64{1}, []float64{nan}, true},
		{"NaN, both", []float64{nan}, []float64{nan}, true},
		{"shorter", []float64{1}, []float64{1, 2}, true},
		{"longer", []float64{1, 2}, []float64{1}, true},
	} {
		got := fails(t, func(t testing.TB) { kernelstest.Close(t, tt.got, tt.want, 1e-3, 1e-8) })
		if got != tt.fails {
			t.Errorf("%s: failed is %t, want %t", tt.name, got, tt.fails)
		}
	}
}

func TestDifferencesOfACube(t *testing.T) {
	x := []float64{-1, 0.5, 2}
	got := kernelstest.Differences(x, func() float64 { return x[0]*x[0]*x[0] + x[1]*x[2] })
	kernelstest.Close(t, got, []float64{3, 2, 0.5}, 1e-9, 0)
	kernelstest.Close(t, x, []float64{-1, 0.5, 2}, 0, 0)
}

func TestGradientsOfGorgoniaOps(t *testing.T) {
	kernelstest.Gradients(t, func(in ...*G.Node) (*G.Node, error) {
		return G.Mul(in[0], in[1])
	}, tensor.Shape{3, 4}, tensor.Shape{4, 2})
}

// product is y = x ⊙ param, with a fault in its backward pass.
type product struct {
	fault float64 // added to the gradient in x
	spoil bool    // write to x
}

func (product) Name() string { return "product" }

func (p product) Forward(y, x kernels.Buf, params []kernels.Buf) error {
	for i, v := range x.(kernels.F64) {
		y.(kernels.F64)[i] = v * params[0].(kernels.F64)[i]
	}
	if p.spoil {
		x.(kernels.F64)[0]++
	}
	return nil
}

func (p product) Backward(dx kernels.Buf, dparams []kernels.Buf, dy, x kernels.Buf, params []kernels.Buf) error {
	for i, d := range dy.(kernels.F64) {
		dx.(kernels.F64)[i] = d*params[0].(kernels.F64)[i] + p.fault
		dparams[0].(kernels.F64)[i] = d * x.(kernels.F64)[i]
	}
	return nil
}

func (p product) gradients(t testing.TB) {
	kernelstest.Gradients(t, func(in ...*G.Node) (*G.Node, error) {
		be := ref.New[float64]()
		return kernels.Apply(kernels.Node{
			Backend: be, Func: p, Shape: tensor.Shape{6}, Y: be.Alloc(6), DX: be.Alloc(6),
			DParams: []kernels.Buf{be.Alloc(6)},
		}, in[0], in[1])
	}, tensor.Shape{6}, tensor.Shape{6})
}

func TestGradientsOfApply(t *testing.T) { product{}.gradients(t) }

// meanCube is a scalar, as a loss is.
type meanCube struct{}

func (meanCube) Name() string { return "mean cube" }

func (meanCube) Forward(y, x kernels.Buf, _ []kernels.Buf) error {
	sum := 0.0
	for _, v := range x.(kernels.F64) {
		sum += v * v * v
	}
	y.(kernels.F64)[0] = sum / float64(x.Len())
	return nil
}

func (meanCube) Backward(dx kernels.Buf, _ []kernels.Buf, dy, x kernels.Buf, _ []kernels.Buf) error {
	for i, v := range x.(kernels.F64) {
		dx.(kernels.F64)[i] = dy.(kernels.F64)[0] * 3 * v * v / float64(x.Len())
	}
	return nil
}

func TestGradientsOfAScalar(t *testing.T) {
	kernelstest.Gradients(t, func(in ...*G.Node) (*G.Node, error) {
		be := ref.New[float64]()
		return kernels.Apply(kernels.Node{Backend: be, Func: meanCube{}, Y: be.Alloc(1), DX: be.Alloc(5)}, in[0])
	}, tensor.Shape{5})
}

func TestSameBitsOfAnotherInstance(t *testing.T) {
	kernelstest.SameBits(t, ref.New[float32](), ref.New[float32]())
}

func TestGradientsFailOnAWrongOne(t *testing.T) {
	for _, p := range []product{{fault: 1e-4}, {fault: math.NaN()}, {spoil: true}} {
		if !fails(t, p.gradients) {
			t.Errorf("%+v: passed", p)
		}
	}
}
