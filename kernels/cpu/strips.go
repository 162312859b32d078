package cpu

// strips are tiles of one height: tile i has rows rows and i+1 vectors of lanes columns.
type strips struct {
	rows, lanes int
	tiles       []tile
}

// widest is the number of columns of the last tile.
func (t strips) widest() int { return t.lanes * len(t.tiles) }

// together is how many of so many vectors the next tile takes: as even as can be.
func (t strips) together(vectors int) int { return ceilDiv(vectors, ceilDiv(vectors, len(t.tiles))) }

// product: c = a·b, or c += a·b if add, with all operands in place. The rows of b and c are contiguous. c has
// whole vectors of columns, and as many rows as it takes to hold whole tiles: where a
// has fewer, what the tiles find behind its rows.
func (t strips) product(c, a, b operand, add bool) {
	for j, vectors := 0, c.cols/t.lanes; vectors > 0; {
		count := t.together(vectors)
		run := t.tiles[count-1]
		for i := 0; i < c.rows; i += t.rows {
			run(a.cols, a.f32[i*a.row:], a.row, a.col, b.f32[j:], b.row, c.f32[i*c.row+j:], c.row, add)
		}
		j, vectors = j+count*t.lanes, vectors-count
	}
}
