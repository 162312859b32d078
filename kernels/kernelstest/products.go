package kernelstest

import (
	"fmt"
	"testing"

	"bdlora/kernels"
)

var productChecks = []check{
	{"Linear", checkLinear},
	{"LinearBackward", checkLinearBackward},
	{"LinearLarge", checkLinearLarge},
	{"LinearOfLongSums", checkLinearOfLongSums},
	{"LinearAddends", checkLinearAddends},
	{"LinearBackwardAddends", checkLinearBackwardAddends},
	{"MatMul", checkMatMul},
	{"MatMulLarge", checkMatMulLarge},
}

// productSizes are rows of the result, length of the sums, columns of the result:
// tokens, in, out of a Linear. They surround the tiles of 4, 6, 8, 16 and 32 that
// fast kernels work in, and the ranks of adapters.
var productSizes = []struct{ m, k, n int }{
	{0, 4, 3},
	{1, 1, 1},
	{1, 7, 5},
	{2, 3, 17},
	{5, 8, 6},
	{6, 16, 16},
	{7, 33, 31},
	{12, 64, 48},
	{13, 2, 65},
	{16, 100, 4},
	{33, 65, 70},
	{3, 31, 129},
	{67, 16, 15},
	{4, 1, 52},
	{3, 192, 37}, // whole blocks of NF4
	{40, 320, 136},
}

// largeSize crosses the borders of the blocks that keep a product in the caches.
var largeSize = struct{ m, k, n int }{150, 300, 530}

var formats = []kernels.Format{
	kernels.FormatF32, kernels.FormatBF16, kernels.FormatF16, kernels.FormatInt8, kernels.FormatNF4,
}

// newWeight is a weight of normally distributed numbers, rounded to the format.
func newWeight(format kernels.Format, rows, cols int) *kernels.Weight {
	if format > kernels.FormatF16 {
		w, err := newWeight(kernels.FormatF32, rows, cols).Quantize(format, 1)
		if err != nil {
			panic(err) // the numbers are finite
		}
		return w
	}
	name := fmt.Sprintf("weight [%d, %d] %v", rows, cols, format)
	w := &kernels.Weight{Name: name, Format: format, Rows: rows, Cols: cols}
	for _, x := range normals(name, rows*cols) {
		switch format {
		case kernels.FormatF32:
			w.F32 = append(w.F32, float32(x))
		case kernels.FormatBF16:
			w.U16 = append(w.U16, kernels.Float32ToBF16(float32(x)))
		case kernels.FormatF16:
			w.U16 = append(w.U16, kernels.Float32ToF16(float32(x)))
		}
	}
	return w
}

func checkLinear(t testing.TB, l lab) {
	for _, s := range productSizes {
		for _, format := range formats {
			l.tryLinear(t, s.m, newWeight(format, s.n, s.k), packed)
			l.tryLinear(t, s.m, newWeight(format, s.n, s.k), strided)
		}
		for _, format := range formats {
			l.tryLinear(t, s.m, newWeight(format, s.n+3, s.k).RowRange(2, s.n+2), strided)
		}
	}
}

func checkLinearBackward(t testing.TB, l lab) {
	for _, s := range productSizes {
		for _, format := range formats {
			l.tryLinearBackward(t, s.m, newWeight(format, s.n, s.k), packed, false)
			l.tryLinearBackward(t, s.m, newWeight(format, s.n, s.k), strided, true)
		}
		for _, format := range formats {
			l.tryLinearBackward(t, s.m, newWeight(format, s.n+3, s.k).RowRange(2, s.n+2), strided, false)
		}
	}
}

func checkLinearLarge(t testing.TB, l lab) {
	s := largeSize
	for _, format := range formats {
		l.tryLinear(t, s.m, newWeight(format, s.n, s.k), strided)
		l.tryLinearBackward(t, s.m, newWeight(format, s.k, s.n), strided, true)
	}
}

// longSum is more than any kernel packs at a time.
const longSum = 4096 + 130

func checkLinearOfLongSums(t testing.TB, l lab) {
	for _, format := range []kernels.Format{kernels.FormatF32, kernels.FormatBF16, kernels.FormatNF4} {
		l.tryLinear(t, 33, newWeight(format, 129, longSum), strided)
		l.tryLinearBackward(t, 33, newWeight(format, longSum, 129), strided, true)
	}
}

func (l lab) tryLinear(t testing.TB, tokens int, w *kernels.Weight, lay layout, addends ...addend) {
	t.Helper()
	operands := []operand{
		newOperand("y", overwrote, tokens, w.Rows, lay),
		newOperand("x", source, tokens, w.Cols, lay),
	}
	l.try(t, append(operands, operandsOf(addends, tokens)...), func(be kernels.Backend, m []kernels.Matrix) float64 {
		be.Linear(m[0], m[1], w, bind(addends, m[2:])...)
		return 0
	})
}

func (l lab) tryLinearBackward(t testing.TB, tokens int, w *kernels.Weight, lay layout, add bool, addends ...addend) {
	t.Helper()
	operands := []operand{
		newOperand("dx", destination(add), tokens, w.Cols, lay),
		newOperand("dy", source, tokens, w.Rows, lay),
	}
	l.try(t, append(operands, operandsOf(addends, tokens)...), func(be kernels.Backend, m []kernels.Matrix) float64 {
		be.LinearBackward(m[0], m[1], w, add, bind(addends, m[2:])...)
		return 0
	})
}

func destination(add bool) role {
	if add {
		return updated
	}
	return overwrote
}

func checkMatMul(t testing.TB, l lab) {
	for _, s := range productSizes {
		for _, a := range []layout{packed, strided, transposed} {
			for _, b := range []layout{packed, strided, transposed} {
				l.tryMatMul(t, s.m, s.k, s.n, [3]layout{packed, a, b}, 1, false)
				l.tryMatMul(t, s.m, s.k, s.n, [3]layout{strided, a, b}, -0.75, true)
			}
		}
		l.tryMatMul(t, s.m, s.k, s.n, [3]layout{strided, strided, transposed}, 2.5, false)
		l.tryMatMul(t, s.m, s.k, s.n, [3]layout{strided, transposed, strided}, 1, true)
	}
}

func checkMatMulLarge(t testing.TB, l lab) {
	s := largeSize
	l.tryMatMul(t, s.m, s.k, s.n, [3]layout{strided, strided, transposed}, 0.5, true)
	l.tryMatMul(t, s.m, s.k, s.n, [3]layout{strided, transposed, strided}, 1, false)
}

// tryMatMul takes the layouts of c, a and b.
func (l lab) tryMatMul(t testing.TB, m, k, n int, layouts [3]layout, alpha float64, add bool) {
	t.Helper()
	operands := []operand{
		newOperand("c", destination(add), m, n, layouts[0]),
		newOperand("a", source, m, k, layouts[1]),
		newOperand("b", source, k, n, layouts[2]),
	}
	l.try(t, operands, func(be kernels.Backend, m []kernels.Matrix) float64 {
		be.MatMul(m[0], alpha, m[1], m[2], add)
		return 0
	})
}
