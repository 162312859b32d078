package kernelstest

import (
	_ "embed"
	"encoding/json"
	"math"
	"sync"
	"testing"

	"bdlora/kernels"
)

var torchChecks = []check{
	{"TorchLinear", checkTorchLinear},
	{"TorchMatMul", checkTorchMatMul},
	{"TorchRMSNorm", checkTorchRMSNorm},
	{"TorchRoPE", checkTorchRoPE},
	{"TorchSwiGLU", checkTorchSwiGLU},
	{"TorchAttention", checkTorchAttention},
	{"TorchCrossEntropy", checkTorchCrossEntropy},
	{"TorchAdamW", checkTorchAdamW},
}

//go:embed testdata/torch.json
var torchJSON []byte

// torchGolden is testdata/torch.json; each tensor row by row.
type torchGolden struct {
	Linear []torchLinear
	MatMul struct {
		Rows, Inner, Cols int
		Alpha             float64
		A, B, C           []float64
		Product, Sum      []float64 // Alpha·A·B, and C + that
	}
	RMSNorm struct {
		Rows, Cols         int
		Eps                float64
		X, Gain, Y, DY, DX []float64
	}
	RoPE struct {
		Rows, Cols   int
		Positions    []int32
		Freq         []float64
		Scale        float64
		X, Y, DY, DX []float64
	}
	SwiGLU struct {
		Rows, Cols                  int
		Gate, Up, Y, DY, DGate, DUp []float64
	}
	Attention struct {
		Heads, KVHeads, HeadDim    int
		Queries, Keys              []int
		Q, K, V, Y, DY, DQ, DK, DV []float64
	}
	CrossEntropy struct {
		Rows, Cols      int
		Targets         []int32
		GradScale, Loss float64
		Logits, Grad    []float64
	}
	AdamW struct {
		LR, Beta1, Beta2, Eps, WeightDecay, GradScale float64
		Start, M, V                                   []float64
		Gradients, Params                             [][]float64 // by step
	}
}

type torchLinear struct {
	Format                  string
	Tokens, Inputs, Outputs int
	Bits                    []uint32 // of the weight's numbers in their format
	X, Y, DY, DX            []float64
}

func (g torchLinear) weight() *kernels.Weight {
	w := &kernels.Weight{Name: g.Format, Rows: g.Outputs, Cols: g.Inputs}
	for _, format := range formats {
		if format.String() == g.Format {
			w.Format = format
		}
	}
	for _, bits := range g.Bits {
		if w.Format == kernels.FormatF32 {
			w.F32 = append(w.F32, math.Float32frombits(bits))
		} else {
			w.U16 = append(w.U16, uint16(bits))
		}
	}
	return w
}

var golden = sync.OnceValues(func() (g torchGolden, err error) { return g, json.Unmarshal(torchJSON, &g) })

func readGolden(t testing.TB) torchGolden {
	t.Helper()
	g, err := golden()
	if err != nil {
		t.Fatalf("testdata/torch.json: %v", err)
	}
	return g
}

// upload is x in be's memory. Float32 holds every input of torch.json.
func (l lab) upload(x []float64) kernels.Buf {
	host := make([]float32, len(x))
	for i := range x {
		host[i] = float32(x[i])
	}
	b := l.be.Alloc(len(x))
	l.be.Upload(b, host)
	return b
}

// expect compares a buffer with PyTorch's numbers.
func (l lab) expect(t testing.TB, name string, got kernels.Buf, want []float64) {
	t.Helper()
	closeScaled(t, name+": ", numbers(l.be, got), want, l.tolerance, l.terms)
}

func checkTorchLinear(t testing.TB, l lab) {
	for _, g := range readGolden(t).Linear {
		w, y, dx := g.weight(), zeros(l.be, g.Tokens, g.Outputs), zeros(l.be, g.Tokens, g.Inputs)
		l.be.Linear(y, kernels.NewMatrix(l.upload(g.X), g.Tokens, g.Inputs), w)
		l.expect(t, g.Format+" y", y.Buf, g.Y)
		l.be.LinearBackward(dx, kernels.NewMatrix(l.upload(g.DY), g.Tokens, g.Outputs), w, false)
		l.expect(t, g.Format+" dx", dx.Buf, g.DX)
	}
}

func checkTorchMatMul(t testing.TB, l lab) {
	g := readGolden(t).MatMul
	a, b := kernels.NewMatrix(l.upload(g.A), g.Rows, g.Inner), kernels.NewMatrix(l.upload(g.B), g.Inner, g.Cols)
	c := kernels.NewMatrix(l.upload(g.C), g.Rows, g.Cols)
	l.be.MatMul(c, g.Alpha, a, b, true)
	l.expect(t, "sum", c.Buf, g.Sum)
	l.be.MatMul(c, g.Alpha, a, b, false)
	l.expect(t, "product", c.Buf, g.Product)
}

func checkTorchRMSNorm(t testing.TB, l lab) {
	g := readGolden(t).RMSNorm
	m := func(x []float64) kernels.Matrix { return kernels.NewMatrix(l.upload(x), g.Rows, g.Cols) }
	x, gain := m(g.X), l.upload(g.Gain)
	y, dx, inv := zeros(l.be, g.Rows, g.Cols), zeros(l.be, g.Rows, g.Cols), l.be.Alloc(g.Rows)
	l.be.RMSNorm(y, inv, x, gain, g.Eps)
	l.expect(t, "y", y.Buf, g.Y)
	l.be.RMSNormBackward(dx, m(g.DY), x, inv, gain)
	l.expect(t, "dx", dx.Buf, g.DX)
}

func checkTorchRoPE(t testing.TB, l lab) {
	g := readGolden(t).RoPE
	r := &kernels.Rotary{Freq: g.Freq, Scale: g.Scale}
	x := kernels.NewMatrix(l.upload(g.X), g.Rows, g.Cols)
	l.be.RoPE(x, g.Positions, r, false)
	l.expect(t, "y", x.Buf, g.Y)
	dx := kernels.NewMatrix(l.upload(g.DY), g.Rows, g.Cols)
	l.be.RoPE(dx, g.Positions, r, true)
	l.expect(t, "dx", dx.Buf, g.DX)
}

func checkTorchSwiGLU(t testing.TB, l lab) {
	g := readGolden(t).SwiGLU
	m := func(x []float64) kernels.Matrix { return kernels.NewMatrix(l.upload(x), g.Rows, g.Cols) }
	y, dgate, dup := zeros(l.be, g.Rows, g.Cols), zeros(l.be, g.Rows, g.Cols), zeros(l.be, g.Rows, g.Cols)
	l.be.SwiGLU(y, m(g.Gate), m(g.Up))
	l.expect(t, "y", y.Buf, g.Y)
	l.be.SwiGLUBackward(dgate, dup, m(g.DY), m(g.Gate), m(g.Up))
	l.expect(t, "dgate", dgate.Buf, g.DGate)
	l.expect(t, "dup", dup.Buf, g.DUp)
}

func checkTorchAttention(t testing.TB, l lab) {
	g := readGolden(t).Attention
	a := newAttention(g.Heads, g.KVHeads, g.HeadDim, g.Queries, g.Keys)
	rows, cols, kvRows, kvCols := attentionSize(a)
	q, dy := kernels.NewMatrix(l.upload(g.Q), rows, cols), kernels.NewMatrix(l.upload(g.DY), rows, cols)
	k, v := kernels.NewMatrix(l.upload(g.K), kvRows, kvCols), kernels.NewMatrix(l.upload(g.V), kvRows, kvCols)
	y, lse := zeros(l.be, rows, cols), l.be.Alloc(rows*g.Heads)
	l.be.Attention(y, lse, q, k, v, a)
	l.expect(t, "y", y.Buf, g.Y)
	dq, dk, dv := zeros(l.be, rows, cols), zeros(l.be, kvRows, kvCols), zeros(l.be, kvRows, kvCols)
	l.be.AttentionBackward(dq, dk, dv, dy, y, lse, q, k, v, a)
	l.expect(t, "dq", dq.Buf, g.DQ)
	l.expect(t, "dk", dk.Buf, g.DK)
	l.expect(t, "dv", dv.Buf, g.DV)
}

func checkTorchCrossEntropy(t testing.TB, l lab) {
	g := readGolden(t).CrossEntropy
	logits := kernels.NewMatrix(l.upload(g.Logits), g.Rows, g.Cols)
	loss := 0.0
	for i, target := range g.Targets {
		row := logits.RowRange(i, i+1)
		if target < 0 {
			l.be.Clear(row.Buf) // PyTorch leaves it out
			continue
		}
		loss += crossEntropy(l.be, g.GradScale, vocabulary{row, g.Targets[i : i+1]})
	}
	l.expect(t, "gradient", logits.Buf, g.Grad)
	closeNamed(t, "loss: ", []float64{loss}, []float64{g.Loss}, l.tolerance, 0)
}

func checkTorchAdamW(t testing.TB, l lab) {
	g := readGolden(t).AdamW
	param, m, v := l.upload(g.Start), l.be.Alloc(len(g.Start)), l.be.Alloc(len(g.Start))
	for i, grad := range g.Gradients {
		l.be.AdamW(param, l.upload(grad), m, v, kernels.AdamW{
			LR: g.LR, Beta1: g.Beta1, Beta2: g.Beta2, Eps: g.Eps, WeightDecay: g.WeightDecay,
			GradScale: g.GradScale, T: i + 1,
		})
		l.expect(t, "param", param, g.Params[i])
	}
	l.expect(t, "m", m, g.M)
	l.expect(t, "v", v, g.V)
}
