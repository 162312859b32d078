package cpu_test

import (
	"math"
	"runtime"
	"strings"
	"testing"
	"time"

	"bdlora/kernels"
	"bdlora/kernels/cpu"
	"bdlora/kernels/kernelstest"
	"bdlora/kernels/ref"
)

// tolerance is of float32 sums whose order differs from the reference's.
const tolerance = 1e-5

// eachPath runs f on every code path that this processor has.
func eachPath(t *testing.T, threads int, f func(t *testing.T, be *cpu.Backend)) {
	for _, path := range cpu.Paths() {
		t.Run("path="+path, func(t *testing.T) { f(t, newPath(t, threads, path)) })
	}
}

func newPath(t testing.TB, threads int, path string) *cpu.Backend {
	be, err := cpu.NewPath(threads, path)
	if err != nil {
		t.Fatal(err)
	}
	return be
}

func TestEveryPathPassesTheSuite(t *testing.T) {
	eachPath(t, 2, func(t *testing.T, be *cpu.Backend) { kernelstest.Suite(t, be, tolerance) })
}

func TestThreadsDoNotChangeBits(t *testing.T) {
	eachPath(t, 1, func(t *testing.T, one *cpu.Backend) {
		for threads := 2; threads <= 4; threads++ {
			kernelstest.SameBits(t, one, newPath(t, threads, one.Path()))
		}
	})
}

// longShapes have several tiles of keys and several blocks of queries on any path.
var longShapes = []*kernels.AttentionShape{
	{Heads: 6, KVHeads: 2, HeadDim: 64, Scale: 0.125, Queries: []int{500}, Keys: []int{500}},
	{Heads: 2, KVHeads: 2, HeadDim: 40, Scale: 0.5, Queries: []int{90, 260}, Keys: []int{470, 260}},
	{Heads: 3, KVHeads: 1, HeadDim: 32, Scale: 0.2, Queries: []int{1}, Keys: []int{700}},
}

// attend runs forward and backward attention. Later keys are larger, so that the
// running maximum moves from tile to tile.
func attend(be kernels.Backend, a *kernels.AttentionShape) map[string]kernels.F32 {
	queries, keys := 0, 0
	for i := range a.Queries {
		queries, keys = queries+a.Queries[i], keys+a.Keys[i]
	}
	width, kvWidth := a.Heads*a.HeadDim, a.KVHeads*a.HeadDim
	q, k := randomMatrix(queries, width), randomMatrix(keys, kvWidth)
	for i := range k.Buf.Len() {
		k.Buf.(kernels.F32)[i] *= 1 + float32(i)/float32(k.Buf.Len())
	}
	v, dy := randomMatrix(keys, kvWidth), randomMatrix(queries, width)
	y, dq := zeroMatrix(queries, width), zeroMatrix(queries, width)
	dk, dv := zeroMatrix(keys, kvWidth), zeroMatrix(keys, kvWidth)
	lse := make(kernels.F32, queries*a.Heads)
	be.Attention(y, lse, q, k, v, a)
	be.AttentionBackward(dq, dk, dv, dy, y, lse, q, k, v, a)
	results := map[string]kernels.F32{"lse": lse}
	for name, m := range map[string]kernels.Matrix{"y": y, "dq": dq, "dk": dk, "dv": dv} {
		results[name] = m.Buf.(kernels.F32)
	}
	return results
}

func zeroMatrix(rows, cols int) kernels.Matrix {
	return kernels.NewMatrix(make(kernels.F32, rows*cols), rows, cols)
}

func TestLongAttentionIsTheReferences(t *testing.T) {
	for _, a := range longShapes {
		want := attend(ref.New[float32](), a)
		eachPath(t, 2, func(t *testing.T, be *cpu.Backend) {
			for name, got := range attend(be, a) {
				t.Run(name, func(t *testing.T) { kernelstest.Close(t, got, want[name], 4*tolerance, 4*tolerance) })
			}
		})
	}
}

func TestThreadsDoNotChangeBitsOfLongAttention(t *testing.T) {
	for _, a := range longShapes {
		eachPath(t, 1, func(t *testing.T, one *cpu.Backend) {
			want := attend(one, a)
			for name, got := range attend(newPath(t, 3, one.Path()), a) {
				kernelstest.Close(t, got, want[name], 0, 0)
			}
		})
	}
}

// A layer of Llama-3.1-8B: beside its threads' own, the gradients of the keys may be
// there once more, but not once for every head.
func TestAttentionBackwardHoldsFewGradients(t *testing.T) {
	const tokens, heads, kvHeads, headDim, threads = 2048, 32, 8, 128, 2
	a := &kernels.AttentionShape{Heads: heads, KVHeads: kvHeads, HeadDim: headDim, Scale: 1,
		Queries: []int{tokens}, Keys: []int{tokens}}
	q := kernels.Matrix{Rows: tokens, Cols: heads * headDim, Stride: heads * headDim}
	k := kernels.Matrix{Rows: tokens, Cols: kvHeads * headDim, Stride: kvHeads * headDim}
	eachPath(t, threads, func(t *testing.T, be *cpu.Backend) {
		counter := be.CountMemory()
		counter.AttentionBackward(q, k, k, q, q, nil, q, k, k, a)
		const gradients, perThread = 4 * 2 * tokens * kvHeads * headDim, 4 * 4 * tokens * headDim
		if got, limit := counter.Scratch(), int64(gradients+threads*(perThread+1<<20)); got > limit {
			t.Errorf("scratch is %d bytes, want at most %d", got, limit)
		}
	})
}

// A vocabulary's worth of exponentials is where sums in float32 would show.
func TestCrossEntropyOfAVocabulary(t *testing.T) {
	const rows, vocab = 3, 49152
	targets := []int32{7, 49151, 20000}
	want, wantRows := randomMatrix(rows, vocab), kernels.NewSoftmaxRows(rows)
	ref.New[float32]().CrossEntropy(wantRows, want, targets)
	eachPath(t, 2, func(t *testing.T, be *cpu.Backend) {
		got, gotRows := randomMatrix(rows, vocab), kernels.NewSoftmaxRows(rows)
		be.CrossEntropy(gotRows, got, targets)
		kernelstest.Close(t, gotRows.Sum, wantRows.Sum, 1e-7, 0)
		kernelstest.Close(t, []float64{gotRows.Loss()}, []float64{wantRows.Loss()}, 1e-7, 0)
		kernelstest.Close(t, got.Buf.(kernels.F32), want.Buf.(kernels.F32), tolerance, 0)
	})
}

func TestNaNPassesThrough(t *testing.T) {
	nan := float32(math.NaN())
	spoiled := func() kernels.Matrix {
		m := randomMatrix(2, 19)
		m.Buf.(kernels.F32)[19+11] = nan
		return m
	}
	eachPath(t, 1, func(t *testing.T, be *cpu.Backend) {
		rows := kernels.NewSoftmaxRows(2)
		be.CrossEntropy(rows, spoiled(), []int32{3, 4})
		if loss := rows.Loss(); !math.IsNaN(loss) {
			t.Errorf("CrossEntropy of a NaN: got %g, want NaN", loss)
		}
		y := zeroMatrix(2, 19)
		be.SwiGLU(y, spoiled(), randomMatrix(2, 19))
		if got := y.Buf.(kernels.F32)[19+11]; got == got {
			t.Errorf("SwiGLU of a NaN: got %g, want NaN", got)
		}
		a := &kernels.AttentionShape{Heads: 1, KVHeads: 1, HeadDim: 19, Scale: 1, Queries: []int{2}, Keys: []int{2}}
		be.Attention(y, make(kernels.F32, 2), randomMatrix(2, 19), spoiled(), randomMatrix(2, 19), a)
		if got := y.Buf.(kernels.F32)[19]; got == got {
			t.Errorf("Attention to a NaN key: got %g, want NaN", got)
		}
	})
}

// Zeros that fill tiles up are written anew: a NaN times zero is a NaN.
func TestNaNDoesNotStayInScratch(t *testing.T) {
	const tokens, heads, headDim = 300, 4, 16
	long := &kernels.AttentionShape{Heads: heads, KVHeads: heads, HeadDim: headDim, Scale: 1,
		Queries: []int{tokens}, Keys: []int{tokens}}
	nan := zeroMatrix(tokens, heads*headDim)
	for i := range numbers(nan) {
		numbers(nan)[i] = float32(math.NaN())
	}
	m, lse := zeroMatrix(tokens, heads*headDim), make(kernels.F32, tokens*heads)
	eachPath(t, 1, func(t *testing.T, be *cpu.Backend) {
		for _, headDim := range []int{10, 16} {
			ragged := &kernels.AttentionShape{Heads: 3, KVHeads: 1, HeadDim: headDim, Scale: 1,
				Queries: []int{77}, Keys: []int{83}}
			want := attend(newPath(t, 1, be.Path()), ragged)
			be.Attention(m, lse, nan, nan, nan, long)
			be.AttentionBackward(m, m, m, nan, nan, lse, nan, nan, nan, long)
			for name, got := range attend(be, ragged) {
				kernelstest.Close(t, got, want[name], 0, 0)
			}
		}
	})
}

// Scratch is kept, and so is the bookkeeping of products: a training step calls them
// by the thousand. Attention's calls are few.
func TestCallsAllocateLittle(t *testing.T) {
	const rank, limit, attentionLimit = 24, 256, 2 << 10 // the last two in bytes
	a := longShapes[0]
	m := func(heads int) kernels.Matrix { return randomMatrix(a.Queries[0], heads*a.HeadDim) }
	y, q, k, v, dy, dq, dk, dv := m(6), m(6), m(2), m(2), m(6), m(6), m(2), m(2)
	lse := make(kernels.F32, a.Queries[0]*a.Heads)
	w, x := randomWeight(kernels.FormatBF16, 300, 384), randomMatrix(a.Queries[0], 300)
	h, down, up := randomMatrix(x.Rows, rank), randomMatrix(rank, x.Cols), randomMatrix(q.Cols, rank)
	other, addend := randomMatrix(q.Cols, rank), kernels.Addend{Alpha: 1, A: h, B: down}
	eachPath(t, 2, func(t *testing.T, be *cpu.Backend) {
		for name, f := range map[string]func(){
			"Linear":            func() { be.Linear(x, q, w) },
			"LinearBackward":    func() { be.LinearBackward(q, x, w, true) },
			"Linear, adapted":   func() { be.Linear(x, q, w, addend) },
			"x·Aᵀ":              func() { be.MatMul(h, 1, x, down.T(), false) },
			"dy·B":              func() { be.MatMul(h, 1, q, up, false) },
			"dhᵀ·x":             func() { be.MatMul(down, 1, h.T(), x, false) },
			"dyᵀ·h":             func() { be.MatMul(up, 1, q.T(), h, false) },
			"Copy":              func() { be.Copy(other, up) },
			"SwiGLU":            func() { be.SwiGLU(dq, y, dy) },
			"Attention":         func() { be.Attention(y, lse, q, k, v, a) },
			"AttentionBackward": func() { be.AttentionBackward(dq, dk, dv, dy, y, lse, q, k, v, a) },
		} {
			most := uint64(limit)
			if strings.HasPrefix(name, "Attention") {
				most = attentionLimit
			}
			if got := bytesPerRun(f); got > most {
				t.Errorf("%s allocates %d bytes a call, want at most %d", name, got, most)
			}
		}
	})
}

// bytesPerRun is the least of several batches: which worker meets the largest unit
// first, and grows its scratch for it, is chance.
func bytesPerRun(f func()) uint64 {
	const batches, runs = 4, 3
	least := uint64(math.MaxUint64)
	for range batches {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range runs {
			f()
		}
		runtime.ReadMemStats(&after)
		least = min(least, (after.TotalAlloc-before.TotalAlloc)/runs)
	}
	return least
}

func TestGoroutinesEndWithTheBackend(t *testing.T) {
	runtime.GC()
	before := runtime.NumGoroutine()
	be := cpu.New(5)
	be.SumSquares(random(1 << 17))
	if got := runtime.NumGoroutine() - before; got < 4 {
		t.Fatalf("a backend of 5 threads has %d goroutines, want 4", got)
	}
	runtime.KeepAlive(be)
	be = nil
	for range 200 {
		runtime.GC()
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d goroutines are left of a backend that nobody refers to, want 0", runtime.NumGoroutine()-before)
}

func TestNewPathNamesThePaths(t *testing.T) {
	_, err := cpu.NewPath(1, "sse")
	if err == nil || !strings.Contains(err.Error(), `"sse"`) || !strings.Contains(err.Error(), `"generic"`) {
		t.Errorf("got error %v, want one that names sse and the paths there are", err)
	}
}

func TestNewTakesTheBestPathAndAllProcessors(t *testing.T) {
	be := cpu.New(0)
	if be.Path() != cpu.Paths()[0] || be.Threads() != runtime.GOMAXPROCS(0) {
		t.Errorf("got path %s on %d threads, want %s on %d",
			be.Path(), be.Threads(), cpu.Paths()[0], runtime.GOMAXPROCS(0))
	}
}
