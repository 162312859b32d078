package cpu_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"bdlora/kernels"
	"bdlora/kernels/cpu"
)

// eachBackend runs a benchmark on every code path and number of threads. Plain Go
// takes minutes where assembly takes seconds: it runs where there is nothing else.
func eachBackend(b *testing.B, name string, run func(b *testing.B, be *cpu.Backend)) {
	paths := cpu.Paths()
	for _, path := range paths[:max(1, len(paths)-1)] {
		for _, threads := range []int{1, 2} {
			b.Run(fmt.Sprintf("impl=cpu/path=%s/threads=%d/%s", path, threads, name), func(b *testing.B) {
				run(b, newPath(b, threads, path))
			})
		}
	}
}

// measure times f, which does the given number of floating-point operations.
func measure(b *testing.B, flops float64, f func()) {
	f()
	for b.Loop() {
		f()
	}
	b.ReportMetric(flops*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
}

func random(n int) kernels.F32 {
	rng, x := rand.New(rand.NewPCG(1, uint64(n))), make(kernels.F32, n)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	return x
}

func randomMatrix(rows, cols int) kernels.Matrix {
	return kernels.NewMatrix(random(rows*cols), rows, cols)
}

func randomWeight(format kernels.Format, out, in int) *kernels.Weight {
	w := &kernels.Weight{Format: format, Rows: out, Cols: in}
	if format == kernels.FormatF32 {
		w.F32 = random(out * in)
		return w
	}
	for _, x := range random(out * in) {
		if format == kernels.FormatF16 {
			w.U16 = append(w.U16, kernels.Float32ToF16(x))
		} else {
			w.U16 = append(w.U16, kernels.Float32ToBF16(x))
		}
	}
	return w
}

// linears are those of SmolLM2-135M and Llama-3.2-1B.
var linears = []struct {
	model, linear string
	out, in       int
}{
	{"SmolLM2-135M", "q_proj", 576, 576},
	{"SmolLM2-135M", "k_proj", 192, 576},
	{"SmolLM2-135M", "gate_proj", 1536, 576},
	{"SmolLM2-135M", "down_proj", 576, 1536},
	{"Llama-3.2-1B", "q_proj", 2048, 2048},
	{"Llama-3.2-1B", "k_proj", 512, 2048},
	{"Llama-3.2-1B", "gate_proj", 8192, 2048},
	{"Llama-3.2-1B", "down_proj", 2048, 8192},
}

func BenchmarkLinear(b *testing.B) {
	for _, l := range linears {
		for _, tokens := range []int{1, 512} {
			name := fmt.Sprintf("dtype=bf16/model=%s/linear=%s/tokens=%d", l.model, l.linear, tokens)
			w := randomWeight(kernels.FormatBF16, l.out, l.in)
			x, y := randomMatrix(tokens, l.in), randomMatrix(tokens, l.out)
			eachBackend(b, name, func(b *testing.B, be *cpu.Backend) {
				measure(b, 2*float64(tokens*l.out*l.in), func() { be.Linear(y, x, w) })
			})
		}
	}
}

func BenchmarkLinearBackward(b *testing.B) {
	const tokens = 512
	for _, l := range linears {
		name := fmt.Sprintf("dtype=bf16/model=%s/linear=%s/tokens=%d", l.model, l.linear, tokens)
		w := randomWeight(kernels.FormatBF16, l.out, l.in)
		dx, dy := randomMatrix(tokens, l.in), randomMatrix(tokens, l.out)
		eachBackend(b, name, func(b *testing.B, be *cpu.Backend) {
			measure(b, 2*float64(tokens*l.out*l.in), func() { be.LinearBackward(dx, dy, w, false) })
		})
	}
}

// BenchmarkAdapter are the products of a LoRA adapter of rank 16.
func BenchmarkAdapter(b *testing.B) {
	const tokens, rank = 512, 16
	for _, width := range []int{576, 2048} {
		x, h := randomMatrix(tokens, width), randomMatrix(tokens, rank)
		down, up := randomMatrix(rank, width), randomMatrix(width, rank)
		for _, p := range []struct {
			product string
			c, a, b kernels.Matrix
		}{
			{"h=x·aᵀ", h, x, down.T()},
			{"dh=dy·b", h, x, up},
			{"y=h·bᵀ", x, h, up.T()},
			{"dx=dh·a", x, h, down},
			{"da=dhᵀ·x", down, h.T(), x},
			{"db=dyᵀ·h", up, x.T(), h},
		} {
			name := fmt.Sprintf("product=%s/width=%d/rank=%d/tokens=%d", p.product, width, rank, tokens)
			eachBackend(b, name, func(b *testing.B, be *cpu.Backend) {
				measure(b, 2*tokens*rank*float64(width), func() { be.MatMul(p.c, 1, p.a, p.b, false) })
			})
		}
	}
}

// attentions are those of SmolLM2-135M and Llama-3.2-1B.
var attentions = []struct {
	model                   string
	heads, kvHeads, headDim int
}{
	{"SmolLM2-135M", 9, 3, 64},
	{"Llama-3.2-1B", 32, 8, 64},
}

// BenchmarkAttention counts the operations below the diagonal only: 4 a score and
// number of a head.
func BenchmarkAttention(b *testing.B) {
	const tokens = 512
	for _, m := range attentions {
		a := &kernels.AttentionShape{Heads: m.heads, KVHeads: m.kvHeads, HeadDim: m.headDim, Scale: 0.125,
			Queries: []int{tokens}, Keys: []int{tokens}}
		heads := func(n int) kernels.Matrix { return randomMatrix(tokens, n*m.headDim) }
		y, q, k, v, dy := heads(m.heads), heads(m.heads), heads(m.kvHeads), heads(m.kvHeads), heads(m.heads)
		dq, dk, dv, lse := heads(m.heads), heads(m.kvHeads), heads(m.kvHeads), random(tokens*m.heads)
		flops := 2 * float64(tokens*tokens*m.heads*m.headDim)
		one := *a
		one.Queries = []int{1}
		q1, y1, lse1 := q.RowRange(0, 1), y.RowRange(0, 1), lse[:m.heads]
		for _, p := range []struct {
			pass  string
			flops float64
			run   func(be *cpu.Backend)
		}{
			{"forward", flops, func(be *cpu.Backend) { be.Attention(y, lse, q, k, v, a) }},
			{"decode", 4 * float64(tokens*m.heads*m.headDim), func(be *cpu.Backend) { be.Attention(y1, lse1, q1, k, v, &one) }},
			{"backward", 2.5 * flops, func(be *cpu.Backend) { be.AttentionBackward(dq, dk, dv, dy, y, lse, q, k, v, a) }},
		} {
			name := fmt.Sprintf("pass=%s/model=%s/tokens=%d", p.pass, m.model, tokens)
			eachBackend(b, name, func(b *testing.B, be *cpu.Backend) { measure(b, p.flops, func() { p.run(be) }) })
		}
	}
}

func BenchmarkElementwise(b *testing.B) {
	const tokens, width = 512, 1536 // the MLP of SmolLM2-135M
	m := func() kernels.Matrix { return randomMatrix(tokens, width) }
	y, x, gate, up, dup := m(), m(), m(), m(), m()
	gain, inv, targets := random(width), random(tokens), make([]int32, tokens)
	drop := kernels.Dropout{P: 0.1, Key: 3}
	for _, k := range []struct {
		kernel string
		run    func(be *cpu.Backend)
	}{
		{"Add", func(be *cpu.Backend) { be.Add(y, x) }},
		{"RMSNorm", func(be *cpu.Backend) { be.RMSNorm(y, inv, x, gain, 1e-5) }},
		{"RMSNormBackward", func(be *cpu.Backend) { be.RMSNormBackward(gate, up, x, inv, gain) }},
		{"SwiGLU", func(be *cpu.Backend) { be.SwiGLU(y, gate, up) }},
		{"SwiGLUBackward", func(be *cpu.Backend) { be.SwiGLUBackward(y, dup, x, gate, up) }},
		{"Dropout", func(be *cpu.Backend) { be.Dropout(y, x, drop, false) }},
		{"CrossEntropy", func(be *cpu.Backend) { be.CrossEntropy(y, targets, 1) }},
	} {
		name := fmt.Sprintf("kernel=%s/tokens=%d/width=%d", k.kernel, tokens, width)
		eachBackend(b, name, func(b *testing.B, be *cpu.Backend) {
			for b.Loop() {
				k.run(be)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(tokens*width), "ns/element")
		})
	}
}
