// Package kernelstest checks that a [kernels.Backend], or a node that is built on
// one, keeps the laws that all of them must keep. It is to kernels what
// net/http/httptest is to net/http: import it from tests only.
//
//   - [Suite] compares every method of a Backend with the float64 reference and
//     with numbers that PyTorch computed.
//   - [SameBits] compares two Backends bit by bit: one thread and many, say.
//   - [FuzzProducts] compares the matrix products for sizes that nobody thought of.
//   - [KernelGradients] compares the backward kernels of a float64 Backend with
//     central differences of the forward ones, [Gradients] does so for a graph.
//   - [Close] compares numbers.
package kernelstest

import (
	"math"
	"slices"
	"testing"

	"gorgonia.org/tensor"

	"bdlora/kernels"
)

// Float is the element type of what [Close] compares.
type Float interface{ ~float32 | ~float64 }

// Close fails t at the first i where |got-want| > atol + rtol·|want|, or where
// one of the two is NaN.
func Close[G, W Float](t testing.TB, got []G, want []W, rtol, atol float64) {
	t.Helper()
	closeNamed(t, "", got, want, rtol, atol)
}

// closeNamed is [Close] with the name of what is compared before its message.
func closeNamed[G, W Float](t testing.TB, name string, got []G, want []W, rtol, atol float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%sgot %d elements, want %d", name, len(got), len(want))
	}
	for i := range got {
		g, w := float64(got[i]), float64(want[i])
		if !near(g, w, atol+rtol*math.Abs(w)) {
			t.Fatalf("%selement %d of %d: got %g, want %g (off by %.2g; rtol %g, atol %g)",
				name, i, len(got), g, w, math.Abs(g-w), rtol, atol)
		}
	}
}

// near is false for a NaN, which compares false with everything, and true for
// equal infinities, whose difference is one.
func near(got, want, tolerance float64) bool {
	off := math.Abs(got - want)
	return got == want || off <= tolerance && !math.IsInf(off, 1)
}

// closeScaled is [Close] with a tolerance relative to each element and, since sums
// cancel, to the root mean square of all and to terms.
func closeScaled[G, W Float](t testing.TB, name string, got []G, want []W, tolerance, terms float64) {
	t.Helper()
	squares := 0.0
	for _, w := range want {
		squares += float64(w) * float64(w)
	}
	rms := math.Sqrt(squares / float64(max(len(want), 1)))
	closeNamed(t, name, got, want, tolerance, tolerance*math.Max(rms, terms))
}

// Suite checks every method of be against the float64 reference and PyTorch's
// numbers: each element within tolerance of itself and of the root mean square of
// its tensor. It also checks that two runs give the same bits, that sources and
// what lies around a strided destination stay as they are, and that wrong shapes
// panic in be's name.
//
//	func TestBackend(t *testing.T) {
//		kernelstest.Suite(t, cpu.New(1), 1e-5)
//	}
func Suite(t *testing.T, be kernels.Backend, tolerance float64) {
	for _, c := range append(kernelChecks(), backendChecks()...) {
		t.Run(c.name, func(t *testing.T) { c.run(t, newLab(be, tolerance)) })
	}
}

// SameBits checks that the kernels of a and b give the same bits for all operands
// that [Suite] tries.
func SameBits(t *testing.T, a, b kernels.Backend) {
	for _, c := range kernelChecks() {
		t.Run(c.name, func(t *testing.T) { c.run(t, lab{be: a, again: b}) })
	}
}

// check is one part of the suite.
type check struct {
	name string
	run  func(testing.TB, lab)
}

// kernelChecks try kernels on operands.
func kernelChecks() []check {
	return slices.Concat(
		productChecks, viewChecks, elementwiseChecks, crossEntropyChecks, attentionChecks, optimizerChecks,
	)
}

// backendChecks are the others.
func backendChecks() []check { return slices.Concat(memoryChecks, panicChecks, torchChecks) }

// numbers are b's, without the rounding of Download if they are float64.
func numbers(be kernels.Backend, b kernels.Buf) []float64 {
	if be.Dtype() == tensor.Float64 {
		return b.(kernels.F64)
	}
	host := make([]float32, b.Len())
	be.Download(host, b)
	x := make([]float64, len(host))
	for i := range x {
		x[i] = float64(host[i])
	}
	return x
}
