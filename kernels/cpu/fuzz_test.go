package cpu_test

import (
	"math"
	"slices"
	"testing"

	"bdlora/kernels"
	"bdlora/kernels/cpu"
	"bdlora/kernels/kernelstest"
)

func FuzzMatMulAVX512(f *testing.F)  { fuzzMatMul(f, "avx512") }
func FuzzMatMulAVX2(f *testing.F)    { fuzzMatMul(f, "avx2") }
func FuzzMatMulNEON(f *testing.F)    { fuzzMatMul(f, "neon") }
func FuzzMatMulGeneric(f *testing.F) { fuzzMatMul(f, "generic") }

func FuzzProducts(f *testing.F) { kernelstest.FuzzProducts(f, cpu.New(2), tolerance) }

// fuzzMatMul holds every element to the bound of a float32 sum of k products in any
// order, (k+2)·2⁻²⁴·Σ|terms|. A tolerance relative to the result would fail where
// the terms cancel.
func fuzzMatMul(f *testing.F, path string) {
	if !slices.Contains(cpu.Paths(), path) {
		f.Skipf("this processor does not run %s", path)
	}
	be := newPath(f, 2, path)
	f.Add(uint8(1), uint8(107), uint8(1), uint8(3), float32(-21.75))
	f.Add(uint8(70), uint8(3), uint8(5), uint8(2), float32(1))
	f.Add(uint8(5), uint8(255), uint8(130), uint8(1), float32(0.5))
	f.Add(uint8(200), uint8(90), uint8(16), uint8(7), float32(2))
	f.Fuzz(func(t *testing.T, m, k, n, choice uint8, alpha float32) {
		if !(math.Abs(float64(alpha)) < 1e3) || math.Abs(float64(alpha)) < 1e-3 {
			t.Skip("alpha overflows the products or makes them subnormal")
		}
		a, b := view(int(m), int(k), choice&1 != 0), view(int(k), int(n), choice&2 != 0)
		c := view(int(m), int(n), false)
		add := choice&4 != 0
		if c.Buf == nil {
			t.Skip("no elements")
		}
		before := slices.Clone(c.Buf.(kernels.F32))
		be.MatMul(c, float64(alpha), a, b, add)
		checkMatMul(t, c, before, float64(alpha), a, b, add)
	})
}

// view is a random matrix with gaps, transposed or not.
func view(rows, cols int, transposed bool) kernels.Matrix {
	if transposed {
		return view(cols, rows, false).T()
	}
	return randomMatrix(rows+1, cols+3).RowRange(0, rows).ColRange(0, cols)
}

func numbers(m kernels.Matrix) kernels.F32 { return m.Buf.(kernels.F32) }

func at(m kernels.Matrix, numbers kernels.F32, i, j int) float64 {
	if m.Trans {
		i, j = j, i
	}
	return float64(numbers[i*m.Stride+j])
}

func checkMatMul(t *testing.T, c kernels.Matrix, before kernels.F32, alpha float64, a, b kernels.Matrix, add bool) {
	for i := range c.Rows {
		for j := range c.Cols {
			want, terms := 0.0, 0.0
			if add {
				want = at(c, before, i, j)
				terms = math.Abs(want)
			}
			for s := range a.Cols {
				term := alpha * at(a, numbers(a), i, s) * at(b, numbers(b), s, j)
				want, terms = want+term, terms+math.Abs(term)
			}
			got, bound := at(c, numbers(c), i, j), float64(a.Cols+2)*0x1p-24*terms
			if !(math.Abs(got-want) <= bound) {
				t.Fatalf("element (%d, %d): got %g, want %g within %g", i, j, got, want, bound)
			}
		}
	}
}
