package cpu_test

import (
	"fmt"
	"math"
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

// BenchmarkAdapter are the products of LoRA adapters in a batch of 512 tokens. A rank
// of 8 is one shard's, 24 and 64 are a linear's, 72 is that of q, k and v together; h
// and dh are columns of a wider matrix.
func BenchmarkAdapter(b *testing.B) {
	const tokens = 512
	for _, width := range []int{576, 2048} {
		for _, rank := range []int{8, 24, 64, 72} {
			x, h := randomMatrix(tokens, width), randomMatrix(tokens, 2*rank).ColRange(rank, 2*rank)
			down, up := randomMatrix(rank, width), randomMatrix(width, rank)
			for _, p := range []struct {
				product string
				c, a, b kernels.Matrix
				add     bool
			}{
				{"h=x·aᵀ", h, x, down.T(), false},
				{"dh=dy·b", h, x, up, false},
				{"y+=h·bᵀ", x, h, up.T(), true},
				{"dx+=dh·a", x, h, down, true},
				{"da=dhᵀ·x", down, h.T(), x, false},
				{"db=dyᵀ·h", up, x.T(), h, false},
			} {
				name := fmt.Sprintf("product=%s/width=%d/rank=%d/tokens=%d", p.product, width, rank, tokens)
				eachBackend(b, name, func(b *testing.B, be *cpu.Backend) {
					measure(b, 2*tokens*float64(rank)*float64(width), func() { be.MatMul(p.c, 1e-6, p.a, p.b, p.add) })
				})
			}
		}
	}
}

// BenchmarkLinearAddends is what an adapter of rank 64 adds to q_proj of Llama-3.2-1B:
// nothing, one product as of LoRA, or eight as of eight blocks.
func BenchmarkLinearAddends(b *testing.B) {
	const tokens, width, rank = 512, 2048, 64
	w, x, y := randomWeight(kernels.FormatBF16, width, width), randomMatrix(tokens, width), randomMatrix(tokens, width)
	h, up := randomMatrix(tokens, rank), randomMatrix(width, rank)
	for _, blocks := range []int{0, 1, 8} {
		var addends []kernels.Addend
		flops := 2 * tokens * width * float64(width)
		for i := range blocks {
			cols, low := width/blocks, rank/blocks
			addends = append(addends, kernels.Addend{
				Col: i * cols, Alpha: 1, A: h.ColRange(i*low, (i+1)*low), B: up.RowRange(i*cols, (i+1)*cols).ColRange(0, low).T(),
			})
			flops += 2 * tokens * float64(cols*low)
		}
		eachBackend(b, fmt.Sprintf("dtype=bf16/blocks=%d/tokens=%d", blocks, tokens), func(b *testing.B, be *cpu.Backend) {
			measure(b, flops, func() { be.Linear(y, x, w, addends...) })
		})
	}
}

// attentions are sequences, packed into one micro-batch, in the heads of three models.
var attentions = []struct {
	model                   string
	heads, kvHeads, headDim int
	sequences               []int
}{
	{"SmolLM2-135M", 9, 3, 64, []int{120, 250, 101, 180, 300}},
	{"SmolLM2-135M", 9, 3, 64, []int{512}},
	{"Llama-3.2-1B", 32, 8, 64, []int{512}},
	{"Llama-3.2-1B", 32, 8, 64, []int{2048}},
	{"Llama-3.1-8B", 32, 8, 128, []int{512}},
	{"Llama-3.1-8B", 32, 8, 128, []int{2048}},
}

// BenchmarkAttention counts the operations below the diagonal only: 4 a score and
// number of a head.
func BenchmarkAttention(b *testing.B) {
	for _, m := range attentions {
		tokens, scores := 0, 0
		for _, n := range m.sequences {
			tokens, scores = tokens+n, scores+n*(n+1)/2
		}
		a := &kernels.AttentionShape{Heads: m.heads, KVHeads: m.kvHeads, HeadDim: m.headDim,
			Scale: 1 / math.Sqrt(float64(m.headDim)), Queries: m.sequences, Keys: m.sequences}
		heads := func(n int) kernels.Matrix { return randomMatrix(tokens, n*m.headDim) }
		y, q, k, v, dy := heads(m.heads), heads(m.heads), heads(m.kvHeads), heads(m.kvHeads), heads(m.heads)
		dq, dk, dv, lse := heads(m.heads), heads(m.kvHeads), heads(m.kvHeads), random(tokens*m.heads)
		flops := 4 * float64(scores*m.heads*m.headDim)
		one := *a
		one.Queries, one.Keys = []int{1}, []int{tokens}
		q1, y1, lse1 := q.RowRange(0, 1), y.RowRange(0, 1), make(kernels.F32, m.heads)
		for _, p := range []struct {
			pass  string
			flops float64
			run   func(be *cpu.Backend)
		}{
			{"forward", flops, func(be *cpu.Backend) { be.Attention(y, lse, q, k, v, a) }},
			{"decode", 4 * float64(tokens*m.heads*m.headDim), func(be *cpu.Backend) { be.Attention(y1, lse1, q1, k, v, &one) }},
			{"backward", 2.5 * flops, func(be *cpu.Backend) { be.AttentionBackward(dq, dk, dv, dy, y, lse, q, k, v, a) }},
		} {
			name := fmt.Sprintf("pass=%s/model=%s/sequences=%d/tokens=%d", p.pass, m.model, len(m.sequences), tokens)
			eachBackend(b, name, func(b *testing.B, be *cpu.Backend) { measure(b, p.flops, func() { p.run(be) }) })
		}
	}
}

// BenchmarkElementwise never reads what it has written, but where a kernel works in
// place: numbers that grow from call to call become infinite, or subnormal, and slow.
func BenchmarkElementwise(b *testing.B) {
	const tokens, width = 512, 1536 // the MLP of SmolLM2-135M
	m := func() kernels.Matrix { return randomMatrix(tokens, width) }
	x, dy, gate, up, sum, y, dgate, dup, head := m(), m(), m(), m(), m(), m(), m(), m(), m()
	gain, inv, saved := random(width), random(tokens), random(tokens)
	param, m1, m2 := m().Buf, m().Buf, make(kernels.F32, tokens*width)
	drop, rotary, positions := kernels.Dropout{P: 0.1, Key: 3}, newRotary(32), make([]int32, tokens)
	for i := range positions {
		positions[i] = int32(i)
	}
	adam := kernels.AdamW{LR: 1e-4, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.01, GradScale: 1, T: 10}
	for _, k := range []struct {
		kernel string
		run    func(be *cpu.Backend)
	}{
		{"Copy", func(be *cpu.Backend) { be.Copy(y, x) }},
		{"Add", func(be *cpu.Backend) { be.Add(sum, x) }},
		{"RMSNorm", func(be *cpu.Backend) { be.RMSNorm(y, saved, x, gain, 1e-5) }},
		{"RMSNormBackward", func(be *cpu.Backend) { be.RMSNormBackward(sum, dy, x, inv, gain) }},
		{"RoPE", func(be *cpu.Backend) { be.RoPE(head, positions, rotary, false) }},
		{"SwiGLU", func(be *cpu.Backend) { be.SwiGLU(y, gate, up) }},
		{"SwiGLUBackward", func(be *cpu.Backend) { be.SwiGLUBackward(dgate, dup, dy, gate, up) }},
		{"Dropout", func(be *cpu.Backend) { be.Dropout(y, x, drop, false) }},
		{"DropoutAdd", func(be *cpu.Backend) { be.Dropout(sum, x, drop, true) }},
		{"SumSquares", func(be *cpu.Backend) { be.SumSquares(x.Buf) }},
		{"AdamW", func(be *cpu.Backend) { be.AdamW(param, dy.Buf, m1, m2, adam) }},
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

// BenchmarkCrossEntropy is what the head of SmolLM2-135M does between its products.
func BenchmarkCrossEntropy(b *testing.B) {
	const rows, vocab, gradScale = 256, 49152, 1
	logits, targets, factors := randomMatrix(rows, vocab), make([]int32, rows), make([]float64, rows)
	s := kernels.NewSoftmaxRows(rows)
	eachBackend(b, fmt.Sprintf("rows=%d/vocab=%d", rows, vocab), func(b *testing.B, be *cpu.Backend) {
		for b.Loop() {
			be.CrossEntropy(s, logits, targets)
			for i, sum := range s.Sum {
				factors[i] = gradScale / sum
			}
			be.CrossEntropyBackward(logits, targets, factors, gradScale)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(rows*vocab), "ns/element")
	})
}

// newRotary are the angles of Llama for a head of 2·half numbers.
func newRotary(half int) *kernels.Rotary {
	r := &kernels.Rotary{Scale: 1}
	for j := range half {
		r.Freq = append(r.Freq, math.Pow(500000, -float64(j)/float64(half)))
	}
	return r
}
