package model_test

import (
	"math"
	"reflect"
	"runtime"
	"slices"
	"testing"

	"bdlora/kernels"
	"bdlora/model"
)

// wide is a model whose matrices are drawn in several parts.
var wide = model.Config{
	Hidden: 192, Intermediate: 320, Layers: 1, Heads: 4, KVHeads: 2, HeadDim: 48, Vocab: 500, MaxSeqLen: 16,
	NormEps: 1e-5, RopeScaling: &model.Rope{Theta: 100},
}

func TestRandomWeightsAreUniform(t *testing.T) {
	w := model.NewRandom(&wide, 3).Linear(0, "mlp.down_proj")
	bound := math.Sqrt(3 / 320.)
	sum, squares := 0.0, 0.0
	for _, x := range w.F32 {
		if math.Abs(float64(x)) > bound*(1+1e-7) { // of float32
			t.Fatalf("got %g, want at most %g", x, bound)
		}
		sum += float64(x)
		squares += float64(x) * float64(x)
	}
	// n = 192·320 numbers: the mean is off by bound/√(3n), some 1/430 of the bound.
	n := float64(len(w.F32))
	if mean := sum / n; math.Abs(mean) > bound/100 {
		t.Errorf("got mean %g, want 0 within %g", mean, bound/100)
	}
	if variance := squares / n; math.Abs(variance*320-1) > 0.02 {
		t.Errorf("got variance %g, want 1/320", variance)
	}
}

func TestRandomWeightsDependOnSeedAndNameOnly(t *testing.T) {
	a, b, other := model.NewRandom(&wide, 3), model.NewRandom(&wide, 3), model.NewRandom(&wide, 4)
	previous := runtime.GOMAXPROCS(1)
	alone := model.NewRandom(&wide, 3)
	runtime.GOMAXPROCS(previous)
	const gate, up = "mlp.gate_proj", "mlp.up_proj"
	want := a.Linear(0, gate).F32
	if !slices.Equal(b.Linear(0, gate).F32, want) || !slices.Equal(alone.Linear(0, gate).F32, want) {
		t.Error("two models of one seed differ")
	}
	if slices.Equal(want, other.Linear(0, gate).F32) {
		t.Error("two seeds give the same model")
	}
	if slices.Equal(want, a.Linear(0, up).F32) {
		t.Error("two linears of one shape are the same")
	}
	const part = 1 << 14 // that one source draws
	if slices.Equal(want[:part], want[part:2*part]) {
		t.Error("a linear repeats itself")
	}
}

func TestRandomBF16IsTheSameModelRounded(t *testing.T) {
	exact, rounded := model.NewRandom(&wide, 3).Head(), model.NewRandomAs(&wide, 3, model.BaseAuto).Head()
	if rounded.Format != kernels.FormatBF16 || len(rounded.U16) != 500*192 || rounded.F32 != nil {
		t.Fatalf("got %v with %d numbers, want 500·192 of BF16 alone", rounded.Format, len(rounded.U16))
	}
	for i, x := range exact.F32 {
		if got, want := rounded.U16[i], kernels.Float32ToBF16(x); got != want {
			t.Fatalf("number %d: got %#04x, want %#04x", i, got, want)
		}
	}
}

func TestRandomQuantizedIsTheSameModelQuantized(t *testing.T) {
	for _, d := range []model.BaseDtype{model.BaseInt8, model.BaseNF4} {
		m, got := model.NewRandomAs(&wide, 3, model.BaseAuto), model.NewRandomAs(&wide, 3, d)
		if got.BaseDtype() != d || got.Head().Format != kernels.FormatBF16 {
			t.Errorf("got %s with a head in %v, want %s with one in BF16", got.BaseDtype(), got.Head().Format, d)
		}
		for _, lin := range wide.Linears() {
			q := got.Linear(0, lin.Name)
			want, err := m.Linear(0, lin.Name).Quantize(q.Format, 1)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(q, want) {
				t.Errorf("%s: %s is not that of the bfloat16 model in %s", lin.Name, q.Name, d)
			}
		}
	}
}

func TestFirstLayersAreThoseOfTheModel(t *testing.T) {
	m := model.NewRandom(&tiny, 5)
	part, err := m.FirstLayers(1)
	if err != nil {
		t.Fatal(err)
	}
	if part.Config.Layers != 1 || m.Config.Layers != 2 || part.Head() != m.Head() ||
		part.Linear(0, "mlp.up_proj") != m.Linear(0, "mlp.up_proj") {
		t.Errorf("got %d layers of a model of %d, want 1 of 2 that shares its weights", part.Config.Layers, m.Config.Layers)
	}
	for _, layers := range []int{0, 3} {
		if _, err := m.FirstLayers(layers); err == nil {
			t.Errorf("%d layers of a model of 2: got no error", layers)
		}
	}
}

func BenchmarkNewRandomAs(b *testing.B) {
	c, err := model.Shape("smollm2-135m")
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(2 * c.Params())
	for b.Loop() {
		model.NewRandomAs(c, 1, model.BaseAuto)
	}
}
