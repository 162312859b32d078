package kernels_test

import (
	"slices"
	"testing"

	"bdlora/kernels"
)

// elements reads a view number by number.
func elements(m kernels.Matrix) []float32 {
	var all []float32
	for i := range m.Rows {
		for j := range m.Cols {
			at := i*m.Stride + j
			if m.Trans {
				at = j*m.Stride + i
			}
			all = append(all, m.Buf.(kernels.F32)[at])
		}
	}
	return all
}

func TestViewsReadTheirPart(t *testing.T) {
	//	0  1  2  3
	//	4  5  6  7
	//	8  9 10 11
	m := kernels.NewMatrix(kernels.F32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, 3, 4)
	for name, test := range map[string]struct {
		view kernels.Matrix
		want []float32
	}{
		"whole":              {m, []float32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}},
		"rows":               {m.RowRange(1, 3), []float32{4, 5, 6, 7, 8, 9, 10, 11}},
		"columns":            {m.ColRange(1, 3), []float32{1, 2, 5, 6, 9, 10}},
		"rows of columns":    {m.ColRange(2, 4).RowRange(1, 2), []float32{6, 7}},
		"transpose":          {m.T(), []float32{0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11}},
		"rows of transpose":  {m.T().RowRange(1, 2), []float32{1, 5, 9}},
		"columns of it":      {m.T().ColRange(2, 3), []float32{8, 9, 10, 11}},
		"transpose of part":  {m.ColRange(3, 4).T(), []float32{3, 7, 11}},
		"transpose of that":  {m.T().T(), []float32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}},
		"no rows":            {m.RowRange(3, 3), nil},
		"last of transposed": {m.T().RowRange(3, 4).ColRange(1, 3), []float32{7, 11}},
	} {
		if got := elements(test.view); !slices.Equal(got, test.want) {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
	}
}

func TestViewsOutOfRangePanic(t *testing.T) {
	m := kernels.NewMatrix(make(kernels.F32, 12), 3, 4)
	for name, view := range map[string]func(){
		"rows":    func() { m.RowRange(1, 4) },
		"columns": func() { m.ColRange(-1, 2) },
		"order":   func() { m.RowRange(2, 1) },
		"buffer":  func() { kernels.NewMatrix(make(kernels.F32, 11), 3, 4) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("got a view, want a panic")
				}
			}()
			view()
		})
	}
}
