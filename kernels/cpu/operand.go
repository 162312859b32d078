package cpu

import (
	"fmt"

	"bdlora/kernels"
)

// operand is a matrix of a product as it lies in memory: element (i, j) is number
// i·row + j·col of f32, or of u16 if the format has 16 bits, or that of weight from at
// on if it has fewer. One of the strides is 1.
type operand struct {
	format     kernels.Format
	f32        []float32
	u16        []uint16
	weight     *kernels.Weight
	at         int
	rows, cols int
	row, col   int
}

func matrixOperand(m kernels.Matrix) operand {
	o := operand{f32: floats(m.Buf), rows: m.Rows, cols: m.Cols, row: m.Stride, col: 1}
	if m.Trans {
		o.row, o.col = 1, m.Stride
	}
	return o
}

func weightOperand(w *kernels.Weight) operand {
	if w.Format > kernels.FormatNF4 {
		panic(fmt.Sprintf("cpu: weight %s has format %d, want one up to NF4", w.Name, w.Format))
	}
	return operand{
		format: w.Format, f32: w.F32, u16: w.U16, weight: w, rows: w.Rows, cols: w.Cols, row: w.Stride(), col: 1,
	}
}

// t is the transpose.
func (o operand) t() operand {
	o.rows, o.cols, o.row, o.col = o.cols, o.rows, o.col, o.row
	return o
}

// part is the view of rows [i, i+rows) and columns [j, j+cols).
func (o operand) part(i, rows, j, cols int) operand {
	o.rows, o.cols = rows, cols
	if start := i*o.row + j*o.col; rows > 0 && cols > 0 {
		switch o.format {
		case kernels.FormatF32:
			o.f32 = o.f32[start:]
		case kernels.FormatBF16, kernels.FormatF16:
			o.u16 = o.u16[start:]
		default:
			o.at += start
		}
	}
	return o
}

// clear sets a float32 operand to zero.
func (o operand) clear() {
	if o.row == 1 {
		o = o.t()
	}
	for i := range o.rows {
		clear(o.f32[i*o.row:][:o.cols])
	}
}

// floats are the numbers of b; no buffer has none.
func floats(b kernels.Buf) []float32 {
	switch b := b.(type) {
	case nil:
		return nil
	case kernels.F32:
		return b
	}
	panic(fmt.Sprintf("cpu: buffer is a %T, want a kernels.F32", b))
}
