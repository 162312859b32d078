package bdlora

// matrix is a row-major [rows, cols] part of a buffer, whose rows begin stride
// elements apart.
type matrix struct {
	values             []float32
	rows, cols, stride int
}

// in is the factor within a shard's buffer; it shares memory with it.
func (f Factor) in(shard []float32) matrix { return matrix{f.Of(shard), f.Rows, f.Cols, f.Cols} }

// part is the [rows, cols] part that begins at row and col; it shares memory.
func (m matrix) part(row, col, rows, cols int) matrix {
	return matrix{m.values[row*m.stride+col:], rows, cols, m.stride}
}

// row is one row.
func (m matrix) row(row int) []float32 { return m.values[row*m.stride:][:m.cols] }

// copy copies src, which has m's size.
func (m matrix) copy(src matrix) {
	for row := range m.rows {
		copy(m.row(row), src.row(row))
	}
}

// pair is A_i and B_i of one module: [r/N, …] and […, r/N].
type pair struct{ a, b matrix }

// pair is the module's factors within a shard's buffer.
func (m Module) pair(shard []float32) pair { return pair{m.A.in(shard), m.B.in(shard)} }
