package cpu

import (
	"fmt"
	"math"
	"testing"

	"bdlora/kernels"
)

// Panels begin anywhere: matrix units cut sums where no block ends, rows of an odd
// length begin within a byte.
func TestPanelsOfCodesAreTheDecodedNumbers(t *testing.T) {
	for _, cols := range []int{320, 200, 63} {
		for _, format := range []kernels.Format{kernels.FormatInt8, kernels.FormatNF4} {
			w := codedWeight(t, format, 41, cols)
			for _, r := range supported() {
				t.Run(fmt.Sprintf("%s/%v/%d", r.path, format, cols), func(t *testing.T) {
					o := weightOperand(w.RowRange(1, 41))
					for _, from := range []int{0, 5, 8, 32, 56} {
						checkPanel(t, r, o.part(3, 32, from, cols-from))              // lanes along the steps
						checkPanel(t, r, o.part(3, 19, from, min(cols-from, 7)))      // less than a vector each way
						checkPanel(t, r, o.part(2, 37, from, min(cols-from, 7)).t())  // lanes side by side
						checkPanel(t, r, o.part(0, 40, min(from, cols-8)&^7, 8).t())  // of one block
						checkPanel(t, r, o.part(1, 16, from, min(cols-from, 40)).t()) // or of several
					}
				})
			}
		}
	}
}

// codedWeight has scales that differ from row to row and from block to block.
func codedWeight(t *testing.T, format kernels.Format, rows, cols int) *kernels.Weight {
	t.Helper()
	w := &kernels.Weight{Name: "w", Rows: rows, Cols: cols, F32: make([]float32, rows*cols)}
	for i := range w.F32 {
		w.F32[i] = float32(math.Sin(float64(i*i))) * float32(1+i/64%7+i/cols%5)
	}
	q, err := w.Quantize(format, 1)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// checkPanel packs x into a panel of 40 lanes.
func checkPanel(t *testing.T, r *routines, x operand) {
	t.Helper()
	const width = 40
	whole, panel := guarded(width * x.cols)
	r.pack(panel, width, x)
	checkGuards(t, whole, func(int) bool { return true })
	var want [1]float32
	for s := range x.cols {
		for lane := range width {
			want[0] = 0
			if lane < x.rows {
				x.weight.Decode(want[:], x.at+lane*x.row+s*x.col)
			}
			if got := panel[s*width+lane]; got != want[0] {
				t.Fatalf("step %d of %d, lane %d of %d: got %g, want %g", s, x.cols, lane, x.rows, got, want[0])
			}
		}
	}
}

func TestDotsOfCodesAreThoseOfTheirNumbers(t *testing.T) {
	const rows, cols, tolerance = 5, 328, 1e-5
	x := make([]float32, cols)
	for i := range x {
		x[i] = float32(math.Cos(float64(i)))
	}
	for _, format := range []kernels.Format{kernels.FormatInt8, kernels.FormatNF4} {
		o := weightOperand(codedWeight(t, format, rows, cols))
		for _, r := range supported() {
			for row := range rows {
				for _, n := range []int{7, 8, 64, 200, cols} {
					numbers := make([]float32, n)
					o.weight.Decode(numbers, row*cols)
					want, terms := 0.0, 0.0
					for i, v := range numbers {
						want += float64(x[i] * v)
						terms += math.Abs(float64(x[i] * v))
					}
					got := r.codedDot(&worker{}, x[:n], o.part(row, 1, 0, n))
					if off := math.Abs(float64(got) - want); !(off <= tolerance*terms) {
						t.Errorf("%s %v: %d numbers of row %d: got %g, want %g", r.path, format, n, row, got, want)
					}
				}
			}
		}
	}
}
