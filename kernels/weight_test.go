package kernels_test

import (
	"fmt"
	"slices"
	"testing"

	"bdlora/kernels"
)

// inEveryFormat is a weight in each format, by the format's name.
func inEveryFormat(t *testing.T, rows, cols int) map[string]*kernels.Weight {
	t.Helper()
	x, all := congruential(5, rows*cols), map[string]*kernels.Weight{}
	for _, format := range []kernels.Format{kernels.FormatF32, kernels.FormatBF16, kernels.FormatF16} {
		all[format.String()] = weightOf("w", format, rows, cols, x)
	}
	for _, format := range []kernels.Format{kernels.FormatInt8, kernels.FormatNF4} {
		all[format.String()] = quantize(t, all["F32"], format, 1)
	}
	return all
}

// Rows of 141 and their parts begin anywhere in a block, and at either half of a byte.
func TestViewsOfAWeightAreItsNumbers(t *testing.T) {
	const rows, cols = 5, 141
	for name, w := range inEveryFormat(t, rows, cols) {
		for _, r := range [][2]int{{0, rows}, {1, 4}, {2, 2}, {4, rows}} {
			for _, c := range [][2]int{{0, cols}, {1, cols}, {3, 67}, {64, 128}, {65, 66}, {140, 140}} {
				for order, view := range map[string]*kernels.Weight{
					"rows, columns": w.RowRange(r[0], r[1]).ColRange(c[0], c[1]),
					"columns, rows": w.ColRange(c[0], c[1]).RowRange(r[0], r[1]),
					"both twice": w.ColRange(c[0], cols).RowRange(r[0], rows).
						ColRange(0, c[1]-c[0]).RowRange(0, r[1]-r[0]),
				} {
					t.Run(fmt.Sprintf("%s/%s of %v and %v", name, order, r, c), func(t *testing.T) {
						checkView(t, view, w, r, c)
					})
				}
			}
		}
	}
}

// checkView wants view to be rows [r[0], r[1]) and columns [c[0], c[1]) of whole.
func checkView(t *testing.T, view, whole *kernels.Weight, r, c [2]int) {
	t.Helper()
	if view.Rows != r[1]-r[0] || view.Cols != c[1]-c[0] {
		t.Fatalf("got [%d, %d], want [%d, %d]", view.Rows, view.Cols, r[1]-r[0], c[1]-c[0])
	}
	numbers := decoded(whole)
	row, scales := make([]float32, view.Cols), make([]float32, view.Cols)
	for i := range view.Rows {
		from := (r[0]+i)*whole.Cols + c[0]
		view.Decode(row, i*view.Stride())
		if want := numbers[from:][:view.Cols]; !slices.Equal(row, want) {
			t.Fatalf("row %d is %v, want %v", i, row, want)
		}
		view.Scales(scales, i*view.Stride(), 1)
		for j, got := range scales {
			if want := whole.Scale(from + j); got != want || view.Scale(i*view.Stride()+j) != want {
				t.Fatalf("scale of number (%d, %d) is %g, want %g", i, j, got, want)
			}
		}
	}
}

func TestViewsOfAWeightShareItsNumbers(t *testing.T) {
	w := &kernels.Weight{Rows: 3, Cols: 4, F32: make([]float32, 12)}
	view := w.ColRange(1, 3).RowRange(1, 3)
	w.F32[2*4+2] = 7
	got := make([]float32, 2)
	if view.Decode(got, view.Stride()); got[1] != 7 {
		t.Errorf("got %v, want a 7", got)
	}
}

func TestViewsBeyondAWeightPanic(t *testing.T) {
	w := (&kernels.Weight{Rows: 4, Cols: 6, F32: make([]float32, 24)}).ColRange(1, 5)
	for name, view := range map[string]func(){
		"rows":           func() { w.RowRange(1, 5) },
		"rows, order":    func() { w.RowRange(3, 2) },
		"columns":        func() { w.ColRange(2, 5) },
		"columns, order": func() { w.ColRange(2, 1) },
		"negative":       func() { w.ColRange(-1, 2) },
		"quantised":      func() { w.Quantize(kernels.FormatInt8, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("got a weight, want a panic")
				}
			}()
			view()
		})
	}
}
