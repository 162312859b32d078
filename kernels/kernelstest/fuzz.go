package kernelstest

import (
	"math"
	"testing"

	"bdlora/kernels"
)

// FuzzProducts compares the matrix products of be with the float64 reference, as
// [Suite] does, for sizes, layouts, formats and factors that the fuzzer draws; the
// tolerance is relative to the terms of each sum, which may cancel.
//
//	func FuzzProducts(f *testing.F) { kernelstest.FuzzProducts(f, cpu.New(2), 1e-5) }
func FuzzProducts(f *testing.F, be kernels.Backend, tolerance float64) {
	for i, s := range productSizes {
		f.Add(uint8(s.m), uint8(s.k-1), uint8(s.n-1), uint16(i*2731), float32(i)/4-1)
	}
	f.Fuzz(func(t *testing.T, m, k, n uint8, choice uint16, alpha float32) {
		if !(alpha > -1e3 && alpha < 1e3) {
			t.Skip("alpha may overflow the product")
		}
		l := newLab(be, tolerance)
		l.terms = float64(max(k, n)+2*mostRank) * math.Max(1, math.Abs(float64(alpha)))
		l.tryProducts(t, int(m), int(k)+1, int(n)+1, choice, float64(alpha))
	})
}

// tryProducts takes the layouts and all else that there is to choose from the
// digits of choice.
func (l lab) tryProducts(t testing.TB, m, k, n int, choice uint16, alpha float64) {
	t.Helper()
	draw := func(n int) int {
		digit := int(choice) % n
		choice /= uint16(n)
		return digit
	}
	add := draw(2) == 1
	c := layout(draw(2))
	a, b := layout(draw(3)), layout(draw(3))
	format, first, second := formats[draw(len(formats))], draw(8), draw(8)
	gap := draw(5)
	w := newWeight(format, n, k+gap).ColRange(gap/2, gap/2+k)
	l.tryMatMul(t, m, k, n, [3]layout{c, a, b}, alpha, add)
	l.tryLinear(t, m, w, c, drawAddends(n, first, second, alpha, a, b)...)
	l.tryLinearBackward(t, m, w, c, add, drawAddends(k, first, second, alpha, a, b)...)
}

const mostRank = 36 // of an addend

// drawAddends returns up to two addends, of rank up to mostRank, of a result of all
// columns. first and second, from 0 to 7, say which; 0 is none.
func drawAddends(all, first, second int, alpha float64, a, b layout) []addend {
	var addends []addend
	for _, choice := range []int{first, second} {
		if choice > 0 {
			from := (choice - 1) * all / 8
			cols := max(1, (all-from)/choice)
			addends = append(addends, addend{col: from, cols: cols, k: choice * mostRank / 7, alpha: alpha, a: a, b: b})
		}
	}
	return addends
}
