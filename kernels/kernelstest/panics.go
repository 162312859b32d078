package kernelstest

import (
	"fmt"
	"strings"
	"testing"

	"bdlora/kernels"
)

var panicChecks = []check{
	{"ProductsRefuseWrongShapes", checkProductPanics},
	{"ElementwiseRefusesWrongShapes", checkElementwisePanics},
	{"CrossEntropyRefusesWrongLengths", checkCrossEntropyPanics},
	{"AttentionRefusesWrongShapes", checkAttentionPanics},
	{"OptimizerRefusesWrongLengths", checkOptimizerPanics},
}

// mustPanic fails unless f panics with a message that starts with be's name.
func mustPanic(t testing.TB, be kernels.Backend, name string, f func()) {
	t.Helper()
	defer func() {
		t.Helper()
		if got := fmt.Sprint(recover()); !strings.HasPrefix(got, be.Name()+": ") {
			t.Errorf("%s: panicked with %q, want a message that starts with %q", name, got, be.Name()+": ")
		}
	}()
	f()
}

func checkProductPanics(t testing.TB, l lab) {
	be := l.be
	m := func(rows, cols int) kernels.Matrix { return zeros(be, rows, cols) }
	w := newWeight(kernels.FormatBF16, 3, 4)
	addend := func(col, rows, k, inner, cols int) kernels.Addend {
		return kernels.Addend{Col: col, Alpha: 1, A: m(rows, k), B: m(inner, cols)}
	}
	for name, f := range map[string]func(){
		"Linear, x too narrow":           func() { be.Linear(m(2, 3), m(2, 5), w) },
		"Linear, y too narrow":           func() { be.Linear(m(2, 2), m(2, 4), w) },
		"Linear, y too short":            func() { be.Linear(m(1, 3), m(2, 4), w) },
		"Linear, addend's A too short":   func() { be.Linear(m(2, 3), m(2, 4), w, addend(0, 1, 5, 5, 3)) },
		"Linear, addend's A too narrow":  func() { be.Linear(m(2, 3), m(2, 4), w, addend(0, 2, 4, 5, 3)) },
		"Linear, addend too far left":    func() { be.Linear(m(2, 3), m(2, 4), w, addend(-1, 2, 5, 5, 2)) },
		"Linear, addend too far right":   func() { be.Linear(m(2, 3), m(2, 4), w, addend(2, 2, 5, 5, 2)) },
		"LinearBackward, dx too wide":    func() { be.LinearBackward(m(2, 5), m(2, 3), w, false) },
		"LinearBackward, dy too short":   func() { be.LinearBackward(m(2, 4), m(1, 3), w, false) },
		"LinearBackward, dy too wide":    func() { be.LinearBackward(m(2, 4), m(2, 4), w, true) },
		"LinearBackward, addend":         func() { be.LinearBackward(m(2, 4), m(2, 3), w, true, addend(2, 2, 5, 5, 3)) },
		"MatMul, a too narrow":           func() { be.MatMul(m(2, 3), 1, m(2, 4), m(5, 3), false) },
		"MatMul, a too short":            func() { be.MatMul(m(2, 3), 1, m(1, 4), m(4, 3), false) },
		"MatMul, b too narrow":           func() { be.MatMul(m(2, 3), 1, m(2, 4), m(4, 2), true) },
		"MatMul, c is a transposed view": func() { be.MatMul(m(3, 2).T(), 1, m(2, 4), m(4, 3), true) },
	} {
		mustPanic(t, be, name, f)
	}
}

func checkElementwisePanics(t testing.TB, l lab) {
	be := l.be
	m := func(rows, cols int) kernels.Matrix { return zeros(be, rows, cols) }
	w, rotary := newWeight(kernels.FormatF32, 3, 4), newRotary(2)
	for name, f := range map[string]func(){
		"Copy":                   func() { be.Copy(m(2, 3), m(3, 2)) },
		"Add":                    func() { be.Add(m(2, 3), m(2, 4)) },
		"Embed, y too narrow":    func() { be.Embed(m(2, 3), w, []int32{0, 1}) },
		"Embed, y too short":     func() { be.Embed(m(1, 4), w, []int32{0, 1}) },
		"Embed, token too large": func() { be.Embed(m(2, 4), w, []int32{0, 3}) },
		"RMSNorm, x":             func() { be.RMSNorm(m(2, 3), be.Alloc(2), m(2, 4), be.Alloc(3), eps) },
		"RMSNorm, inv":           func() { be.RMSNorm(m(2, 3), be.Alloc(3), m(2, 3), be.Alloc(3), eps) },
		"RMSNorm, gain":          func() { be.RMSNorm(m(2, 3), be.Alloc(2), m(2, 3), be.Alloc(2), eps) },
		"RMSNormBackward, dy":    func() { be.RMSNormBackward(m(2, 3), m(2, 4), m(2, 3), be.Alloc(2), be.Alloc(3)) },
		"RMSNormBackward, x":     func() { be.RMSNormBackward(m(2, 3), m(2, 3), m(1, 3), be.Alloc(2), be.Alloc(3)) },
		"RMSNormBackward, inv":   func() { be.RMSNormBackward(m(2, 3), m(2, 3), m(2, 3), be.Alloc(1), be.Alloc(3)) },
		"RMSNormBackward, gain":  func() { be.RMSNormBackward(m(2, 3), m(2, 3), m(2, 3), be.Alloc(2), be.Alloc(4)) },
		"RoPE, part of a head":   func() { be.RoPE(m(2, 6), []int32{0, 1}, rotary, false) },
		"RoPE, positions":        func() { be.RoPE(m(2, 8), []int32{0}, rotary, true) },
		"SwiGLU, gate":           func() { be.SwiGLU(m(2, 3), m(2, 4), m(2, 3)) },
		"SwiGLU, up":             func() { be.SwiGLU(m(2, 3), m(2, 3), m(3, 3)) },
		"SwiGLUBackward, dgate":  func() { be.SwiGLUBackward(m(1, 3), m(2, 3), m(2, 3), m(2, 3), m(2, 3)) },
		"SwiGLUBackward, dup":    func() { be.SwiGLUBackward(m(2, 3), m(2, 2), m(2, 3), m(2, 3), m(2, 3)) },
		"SwiGLUBackward, gate":   func() { be.SwiGLUBackward(m(2, 3), m(2, 3), m(2, 3), m(3, 3), m(2, 3)) },
		"SwiGLUBackward, up":     func() { be.SwiGLUBackward(m(2, 3), m(2, 3), m(2, 3), m(2, 3), m(2, 4)) },
		"Dropout":                func() { be.Dropout(m(2, 3), m(3, 3), kernels.Dropout{}, false) },
	} {
		mustPanic(t, be, name, f)
	}
}

func checkCrossEntropyPanics(t testing.TB, l lab) {
	logits, rows, fewer := zeros(l.be, 2, 3), kernels.NewSoftmaxRows(2), make([]float64, 1)
	forward := func(s kernels.SoftmaxRows, targets ...int32) func() {
		return func() { l.be.CrossEntropy(s, logits, targets) }
	}
	backward := func(factors []float64, targets ...int32) func() {
		return func() { l.be.CrossEntropyBackward(logits, targets, factors, 1) }
	}
	for name, f := range map[string]func(){
		"CrossEntropy, targets":                forward(rows, 0),
		"CrossEntropy, target too big":         forward(rows, 0, 3),
		"CrossEntropy, s.Max":                  forward(kernels.SoftmaxRows{Max: fewer, Sum: rows.Sum, Target: rows.Target}, 0, 1),
		"CrossEntropy, s.Sum":                  forward(kernels.SoftmaxRows{Max: rows.Max, Sum: fewer, Target: rows.Target}, 0, 1),
		"CrossEntropy, s.Target":               forward(kernels.SoftmaxRows{Max: rows.Max, Sum: rows.Sum, Target: fewer}, 0, 1),
		"CrossEntropyBackward, targets":        backward(rows.Max, 0),
		"CrossEntropyBackward, target too big": backward(rows.Max, 3, 0),
		"CrossEntropyBackward, factors":        backward(fewer, 0, 1),
	} {
		mustPanic(t, l.be, name, f)
	}
}

func checkAttentionPanics(t testing.TB, l lab) {
	be := l.be
	for name, spoil := range map[string]func(m []kernels.Matrix, a *kernels.AttentionShape){
		"y":            func(m []kernels.Matrix, _ *kernels.AttentionShape) { m[0] = zeros(be, 3, 7) },
		"lse":          func(m []kernels.Matrix, _ *kernels.AttentionShape) { m[1] = zeros(be, 1, 5) },
		"q":            func(m []kernels.Matrix, _ *kernels.AttentionShape) { m[2] = zeros(be, 4, 8) },
		"k":            func(m []kernels.Matrix, _ *kernels.AttentionShape) { m[3] = zeros(be, 3, 4) },
		"v":            func(m []kernels.Matrix, _ *kernels.AttentionShape) { m[4] = zeros(be, 5, 8) },
		"heads":        func(_ []kernels.Matrix, a *kernels.AttentionShape) { a.KVHeads = 3 },
		"too few keys": func(_ []kernels.Matrix, a *kernels.AttentionShape) { a.Keys = []int{5, 0} },
		"keys":         func(_ []kernels.Matrix, a *kernels.AttentionShape) { a.Keys = []int{5} },
	} {
		a := newAttention(2, 1, 4, []int{2, 1}, []int{2, 3})
		m := []kernels.Matrix{zeros(be, 3, 8), zeros(be, 1, 6), zeros(be, 3, 8), zeros(be, 5, 4), zeros(be, 5, 4)}
		spoil(m, a)
		mustPanic(t, be, "Attention, "+name, func() { be.Attention(m[0], m[1].Buf, m[2], m[3], m[4], a) })
		mustPanic(t, be, "AttentionBackward, "+name, func() {
			dq, dk, dv, dy := zeros(be, 3, 8), zeros(be, 5, 4), zeros(be, 5, 4), zeros(be, 3, 8)
			be.AttentionBackward(dq, dk, dv, dy, m[0], m[1].Buf, m[2], m[3], m[4], a)
		})
	}
}

func checkOptimizerPanics(t testing.TB, l lab) {
	for i, name := range []string{"grad", "m", "v"} {
		bufs := []kernels.Buf{l.be.Alloc(4), l.be.Alloc(4), l.be.Alloc(4), l.be.Alloc(4)}
		bufs[i+1] = l.be.Alloc(3)
		mustPanic(t, l.be, "AdamW, "+name, func() { l.be.AdamW(bufs[0], bufs[1], bufs[2], bufs[3], largeStep) })
	}
}
