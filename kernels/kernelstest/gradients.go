package kernelstest

import (
	"fmt"
	"testing"

	"gorgonia.org/tensor"

	"bdlora/kernels"
)

// step of the central differences, and how close a gradient must come to them:
// their own error is about step² and 1e-16/step, of numbers around 1.
const (
	differenceStep = 1e-5
	gradientRtol   = 1e-6
	gradientAtol   = 1e-8
)

// Differences are the central differences of f in each element of x, which it
// changes for the call of f and puts back.
func Differences(x []float64, f func() float64) []float64 {
	d := make([]float64, len(x))
	for i, old := range x {
		x[i] = old + differenceStep
		up := f()
		x[i] = old - differenceStep
		down := f()
		x[i] = old
		d[i] = (up - down) / (2 * differenceStep)
	}
	return d
}

// KernelGradients compares the backward kernels of a float64 Backend with central
// differences of a random weighting of what the forward ones give: a plain sum
// would not see outputs that have changed places.
func KernelGradients(t *testing.T, be kernels.Backend) {
	if be.Dtype() != tensor.Float64 {
		t.Fatalf("backend %s computes in %v, want float64: float32 is too coarse for differences", be.Name(), be.Dtype())
	}
	for _, p := range pairs {
		t.Run(p.name, func(t *testing.T) { p.check(t, be) })
	}
}

// pair is a forward kernel and its backward one.
type pair struct {
	name   string
	inputs [][2]int // their rows and columns
	output [2]int
	// run computes y from x. Where dx is not nil, it computes that from dy too.
	run func(be kernels.Backend, y kernels.Matrix, x []kernels.Matrix, dy kernels.Matrix, dx []kernels.Matrix)
}

func (p pair) check(t testing.TB, be kernels.Backend) {
	t.Helper()
	random := func(name string, size [2]int) kernels.Matrix {
		return kernels.NewMatrix(kernels.F64(normals(p.name+name, size[0]*size[1])), size[0], size[1])
	}
	var x, dx []kernels.Matrix
	for i, size := range p.inputs {
		x = append(x, random(fmt.Sprint("input ", i), size))
		dx = append(dx, zeros(be, size[0], size[1]))
	}
	y, weights := zeros(be, p.output[0], p.output[1]), random("weights", p.output)
	p.run(be, y, x, weights, dx)
	weighted := func() float64 {
		p.run(be, y, x, weights, nil)
		return dot(gather[float64](y), gather[float64](weights))
	}
	for i := range x {
		want := Differences(x[i].Buf.(kernels.F64), weighted)
		closeNamed(t, fmt.Sprintf("gradient in input %d: ", i), gather[float64](dx[i]), want, gradientRtol, gradientAtol)
	}
}

func dot(a, b []float64) (sum float64) {
	for i := range a {
		sum += a[i] * b[i]
	}
	return sum
}

var pairs = []pair{
	{"Linear", [][2]int{{3, 5}}, [2]int{3, 4}, runLinear},
	{"LinearAddends", [][2]int{{3, 5}, {2, 5}, {3, 2}}, [2]int{3, 4}, runAdapted},
	{"MatMul", [][2]int{{3, 5}, {5, 2}}, [2]int{3, 2}, runMatMul},
	{"RMSNorm", [][2]int{{3, 5}}, [2]int{3, 5}, runRMSNorm},
	{"RoPE", [][2]int{{4, 12}}, [2]int{4, 12}, runRoPE},
	{"SwiGLU", [][2]int{{3, 5}, {3, 5}}, [2]int{3, 5}, runSwiGLU},
	{"Dropout", [][2]int{{4, 9}}, [2]int{4, 9}, runDropout},
	{"CrossEntropy", [][2]int{{4, 6}}, [2]int{1, 1}, runCrossEntropy},
	{"Attention", [][2]int{{7, 12}, {10, 6}, {10, 6}}, [2]int{7, 12}, runAttention},
}

func runLinear(be kernels.Backend, y kernels.Matrix, x []kernels.Matrix, dy kernels.Matrix, dx []kernels.Matrix) {
	w := newWeight(kernels.FormatBF16, 4, 5)
	be.Linear(y, x[0], w)
	if dx != nil {
		be.LinearBackward(dx[0], dy, w, false)
	}
}

// A LoRA adapter on the last columns of a linear: inputs are x, A and B.
func runAdapted(be kernels.Backend, y kernels.Matrix, x []kernels.Matrix, dy kernels.Matrix, dx []kernels.Matrix) {
	const col, s = 1, -1.5
	w, a, b := newWeight(kernels.FormatBF16, 4, 5), x[1], x[2]
	h, dh := zeros(be, y.Rows, a.Rows), zeros(be, y.Rows, a.Rows)
	be.MatMul(h, 1, x[0], a.T(), false)
	be.Linear(y, x[0], w, kernels.Addend{Col: col, Alpha: s, A: h, B: b.T()})
	if dx != nil {
		adapted := dy.ColRange(col, y.Cols)
		be.MatMul(dh, s, adapted, b, false)
		be.MatMul(dx[1], 1, dh.T(), x[0], false)
		be.MatMul(dx[2], s, adapted.T(), h, false)
		be.LinearBackward(dx[0], dy, w, false, kernels.Addend{Alpha: 1, A: dh, B: a})
	}
}

// The backward pass of a product is two products.
func runMatMul(be kernels.Backend, y kernels.Matrix, x []kernels.Matrix, dy kernels.Matrix, dx []kernels.Matrix) {
	const alpha = -1.5
	be.MatMul(y, alpha, x[0], x[1], false)
	if dx != nil {
		be.MatMul(dx[0], alpha, dy, x[1].T(), false)
		be.MatMul(dx[1], alpha, x[0].T(), dy, true)
	}
}

func runRMSNorm(be kernels.Backend, y kernels.Matrix, x []kernels.Matrix, dy kernels.Matrix, dx []kernels.Matrix) {
	gain, inv := kernels.F64(normals("gain", y.Cols)), be.Alloc(y.Rows)
	be.RMSNorm(y, inv, x[0], gain, eps)
	if dx != nil {
		be.RMSNormBackward(dx[0], dy, x[0], inv, gain)
	}
}

func runRoPE(be kernels.Backend, y kernels.Matrix, x []kernels.Matrix, dy kernels.Matrix, dx []kernels.Matrix) {
	positions, rotary := []int32{0, 1, 5, 2}, newRotary(3)
	be.Copy(y, x[0])
	be.RoPE(y, positions, rotary, false)
	if dx != nil {
		be.Copy(dx[0], dy)
		be.RoPE(dx[0], positions, rotary, true)
	}
}

func runSwiGLU(be kernels.Backend, y kernels.Matrix, x []kernels.Matrix, dy kernels.Matrix, dx []kernels.Matrix) {
	be.SwiGLU(y, x[0], x[1])
	if dx != nil {
		be.SwiGLUBackward(dx[0], dx[1], dy, x[0], x[1])
	}
}

// The mask is its own backward pass.
func runDropout(be kernels.Backend, y kernels.Matrix, x []kernels.Matrix, dy kernels.Matrix, dx []kernels.Matrix) {
	d := kernels.Dropout{P: 0.3, Key: 11, FirstCol: 2}
	be.Dropout(y, x[0], d, false)
	if dx != nil {
		be.Dropout(dx[0], dy, d, false)
	}
}

// A vocabulary in two parts, and a row whose target is in neither of them: it has no
// logit to subtract, but a softmax.
func runCrossEntropy(be kernels.Backend, y kernels.Matrix, x []kernels.Matrix, dy kernels.Matrix, dx []kernels.Matrix) {
	logits := zeros(be, x[0].Rows, x[0].Cols)
	be.Copy(logits, x[0])
	y.Buf.(kernels.F64)[0] = crossEntropy(be, dy.Buf.(kernels.F64)[0],
		vocabulary{logits.ColRange(0, 4), []int32{2, -1, -1, 0}},
		vocabulary{logits.ColRange(4, 6), []int32{-1, -1, 1, -1}})
	if dx != nil {
		be.Copy(dx[0], logits)
	}
}

// Two sequences; the second has more keys than queries.
func runAttention(be kernels.Backend, y kernels.Matrix, x []kernels.Matrix, dy kernels.Matrix, dx []kernels.Matrix) {
	a := newAttention(4, 2, 3, []int{5, 2}, []int{5, 5})
	lse := be.Alloc(y.Rows * a.Heads)
	be.Attention(y, lse, x[0], x[1], x[2], a)
	if dx != nil {
		be.AttentionBackward(dx[0], dx[1], dx[2], dy, y, lse, x[0], x[1], x[2], a)
	}
}
