package bdlora

// layout says how the shards' blocks of one factor make up a whole matrix
// [rows, cols]: shard i's begins at row i·rowStep and column i·colStep. What no
// block covers is zero.
type layout struct {
	rows, cols       int
	rowStep, colStep int
}

// denseA is A with its zeros: [r, in].
func denseA(m Module) layout {
	if m.Linear.Parallel == RowParallel {
		return layout{m.Rank, m.Linear.In, m.A.Rows, m.A.Cols}
	}
	return layout{m.Rank, m.Linear.In, m.A.Rows, 0}
}

// denseB is B with its zeros: [out, r].
func denseB(m Module) layout {
	if m.Linear.Parallel == RowParallel {
		return layout{m.Linear.Out, m.Rank, 0, m.B.Cols}
	}
	return layout{m.Linear.Out, m.Rank, m.B.Rows, m.B.Cols}
}

// packedA is A as PEFT stores it: [r, in], and where it is block-diagonal
// [r, in/N], the blocks one below the other.
func packedA(m Module) layout {
	return layout{m.Rank, m.A.Cols, m.A.Rows, 0}
}

// packedB is B as PEFT stores it: [out, r], and where it is block-diagonal
// [out, r/N], the blocks one below the other.
func packedB(m Module) layout {
	if m.Linear.Parallel == RowParallel {
		return denseB(m)
	}
	return layout{m.Linear.Out, m.B.Cols, m.B.Rows, 0}
}

// sideBySideA is a block-diagonal A as the first revision of vLLM's BD-LoRA stored
// it: [r/N, in], the blocks one beside the other.
func sideBySideA(m Module) layout {
	return layout{m.A.Rows, m.Linear.In, 0, m.A.Cols}
}

// gather puts the blocks of all shards into one matrix.
func (l layout) gather(f Factor, shards [][]float32) []float32 {
	whole := make([]float32, l.rows*l.cols)
	for i, shard := range shards {
		block := f.Of(shard)
		for row := range f.Rows {
			copy(l.row(whole, f, i, row), block[row*f.Cols:])
		}
	}
	return whole
}

// scatter is the inverse of gather. It drops what lies outside the blocks.
func (l layout) scatter(f Factor, shards [][]float32, whole []float32) {
	for i, shard := range shards {
		block := f.Of(shard)
		for row := range f.Rows {
			copy(block[row*f.Cols:], l.row(whole, f, i, row))
		}
	}
}

// row is the part of whole that holds a row of shard i's block.
func (l layout) row(whole []float32, f Factor, i, row int) []float32 {
	start := (i*l.rowStep+row)*l.cols + i*l.colStep
	return whole[start : start+f.Cols]
}
