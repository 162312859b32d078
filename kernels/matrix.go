package kernels

import "fmt"

// Buf is a run of numbers in the memory of one [Backend]. Only that Backend
// looks inside; everybody else measures and cuts it.
type Buf interface {
	// Len is the number of elements.
	Len() int
	// Slice is the part [from, to). It shares memory with the whole.
	Slice(from, to int) Buf
}

// F32 is a [Buf] of float32 in the host's memory.
type F32 []float32

// Len is the number of elements.
func (b F32) Len() int { return len(b) }

// Slice is b[from:to]; it shares memory with b.
func (b F32) Slice(from, to int) Buf { return b[from:to] }

// F64 is a [Buf] of float64 in the host's memory. Only tests compute in it:
// central differences need its precision.
type F64 []float64

// Len is the number of elements.
func (b F64) Len() int { return len(b) }

// Slice is b[from:to]; it shares memory with b.
func (b F64) Slice(from, to int) Buf { return b[from:to] }

// Matrix is a view of numbers in a [Buf]: element (i, j) lies at i·Stride+j, or
// at j·Stride+i where Trans is set. The zero Matrix has no elements.
type Matrix struct {
	Buf        Buf
	Rows, Cols int
	Stride     int  // elements between two rows (between two columns if Trans)
	Trans      bool // set by T
}

// NewMatrix returns the row-major [rows, cols] view of the first rows·cols
// elements of buf.
//
// It panics if buf is shorter than that.
func NewMatrix(buf Buf, rows, cols int) Matrix {
	if buf.Len() < rows*cols {
		panic(fmt.Sprintf("kernels: a [%d, %d] matrix in a buffer of %d elements", rows, cols, buf.Len()))
	}
	return Matrix{Buf: buf, Rows: rows, Cols: cols, Stride: cols}
}

// T is the transpose of m, a view of the same numbers.
func (m Matrix) T() Matrix {
	m.Rows, m.Cols, m.Trans = m.Cols, m.Rows, !m.Trans
	return m
}

// RowRange is the view of rows [from, to) of m.
func (m Matrix) RowRange(from, to int) Matrix { return m.part(from, to, 0, m.Cols) }

// ColRange is the view of columns [from, to) of m.
func (m Matrix) ColRange(from, to int) Matrix { return m.part(0, m.Rows, from, to) }

func (m Matrix) part(row, rowEnd, col, colEnd int) Matrix {
	if row < 0 || rowEnd < row || rowEnd > m.Rows || col < 0 || colEnd < col || colEnd > m.Cols {
		panic(fmt.Sprintf("kernels: rows [%d, %d) and columns [%d, %d) of a [%d, %d] matrix",
			row, rowEnd, col, colEnd, m.Rows, m.Cols))
	}
	p := Matrix{Rows: rowEnd - row, Cols: colEnd - col, Stride: m.Stride, Trans: m.Trans}
	if m.Buf == nil || p.Rows == 0 || p.Cols == 0 {
		return p
	}
	start, end := row*m.Stride+col, (rowEnd-1)*m.Stride+colEnd
	if m.Trans {
		start, end = col*m.Stride+row, (colEnd-1)*m.Stride+rowEnd
	}
	p.Buf = m.Buf.Slice(start, end)
	return p
}
