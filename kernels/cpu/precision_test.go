package cpu_test

import (
	"fmt"
	"math"
	"testing"

	"bdlora/kernels"
	"bdlora/kernels/cpu"
	"bdlora/kernels/kernelstest"
	"bdlora/kernels/ref"
)

// matrixUnitPaths are the code paths with a matrix unit: a real one if the processor
// has it, and its emulation.
func matrixUnitPaths() []string {
	paths := []string{"emulated"}
	if cpu.Paths()[0] == "amx" {
		paths = append(paths, "amx")
	}
	return paths
}

// skipSlow leaves the emulation out of short runs: under the race detector it takes
// many minutes.
func skipSlow(t *testing.T, path string) {
	t.Helper()
	if path == "emulated" && testing.Short() {
		t.Skip("the emulation is slow, and -short is set")
	}
}

func TestEmulatedMatrixUnitPassesTheSuite(t *testing.T) {
	skipSlow(t, "emulated")
	kernelstest.Suite(t, newPath(t, 2, "emulated"), tolerance)
}

func TestThreadsDoNotChangeBitsOfTheEmulatedMatrixUnit(t *testing.T) {
	skipSlow(t, "emulated")
	kernelstest.SameBits(t, newPath(t, 1, "emulated"), newPath(t, 3, "emulated"))
}

// relativeError is the root of Σ (got-want)² / Σ want².
func relativeError(got, want kernels.F32) float64 {
	off, all := 0.0, 0.0
	for i := range got {
		d := float64(got[i]) - float64(want[i])
		off, all = off+d*d, all+float64(want[i])*float64(want[i])
	}
	return math.Sqrt(off / all)
}

// product is x·wᵀ + 2·h·bᵀ and dx = dy·w on be, of float32 or bfloat16 weights.
func product(be kernels.Backend, format kernels.Format) (y, dx kernels.F32) {
	const tokens, out, in, rank = 70, 140, 333, 20
	w, ym, dxm := randomWeight(format, out, in), zeroMatrix(tokens, out), zeroMatrix(tokens, in)
	addend := kernels.Addend{Col: 30, Alpha: 2, A: randomMatrix(tokens, rank), B: randomMatrix(50, rank).T()}
	be.Linear(ym, randomMatrix(tokens, in), w, addend)
	be.LinearBackward(dxm, randomMatrix(tokens, out), w, false)
	return ym.Buf.(kernels.F32), dxm.Buf.(kernels.F32)
}

// The bounds are what the terms leave out: 24, 16 and 8 bits of each operand, and
// the rounding of float32 sums.
func TestPrecisionKeepsItsBits(t *testing.T) {
	bounds := map[kernels.Precision][2]float64{
		kernels.PrecisionHighest: {0, 1e-6},
		kernels.PrecisionHigh:    {1e-6, 6e-6},
		kernels.PrecisionMedium:  {5e-4, 4e-3},
	}
	for _, format := range []kernels.Format{kernels.FormatF32, kernels.FormatBF16} {
		wantY, wantDX := product(ref.New[float32](), format)
		for _, path := range matrixUnitPaths() {
			for _, precision := range kernels.Precisions() {
				t.Run(fmt.Sprintf("path=%s/weight=%v/precision=%s", path, format, precision), func(t *testing.T) {
					skipSlow(t, path)
					be := newPath(t, 2, path)
					be.SetPrecision(precision)
					y, dx := product(be, format)
					bound := bounds[precision]
					for name, e := range map[string]float64{"y": relativeError(y, wantY), "dx": relativeError(dx, wantDX)} {
						if e < bound[0] || e > bound[1] {
							t.Errorf("%s: got a relative error of %.2g, want %.2g to %.2g", name, e, bound[0], bound[1])
						}
					}
				})
			}
		}
	}
}

// Operands that bfloat16 holds exactly lose nothing at any precision.
func TestPrecisionDoesNotRoundWhatFits(t *testing.T) {
	const n = 128
	x, w := zeroMatrix(n, n), &kernels.Weight{Rows: n, Cols: n, F32: make([]float32, n*n)}
	for i := range n * n {
		x.Buf.(kernels.F32)[i], w.F32[i] = float32(i%17-8), float32(i%13-6)/4
	}
	want := zeroMatrix(n, n)
	ref.New[float32]().Linear(want, x, w)
	for _, path := range matrixUnitPaths() {
		for _, precision := range kernels.Precisions() {
			be, got := newPath(t, 1, path), zeroMatrix(n, n)
			be.SetPrecision(precision)
			be.Linear(got, x, w)
			kernelstest.Close(t, got.Buf.(kernels.F32), want.Buf.(kernels.F32), 0, 0)
		}
	}
}

func TestUnknownPrecisionPanics(t *testing.T) {
	defer func() {
		const want = `cpu: precision is "higher", want one of ["highest" "high" "medium"]`
		if got := recover(); got != want {
			t.Errorf("got panic %v, want %v", got, want)
		}
	}()
	cpu.New(1).SetPrecision("higher")
}
