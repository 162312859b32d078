package cpu

import "bdlora/kernels"

// CountMemory counts buffers, and as scratch what the threads share and what each of
// them keeps for itself.
func (b *Backend) CountMemory() kernels.MemoryCounter {
	return &sizes{Sizes: kernels.Sizes{Of: b}, b: b}
}

// sizes counts what the kernels of b hold for themselves: of every arena the most
// that a call takes of it.
type sizes struct {
	kernels.Sizes
	b              *Backend
	shared, worker int // numbers in the arena of all threads, and in that of each
}

// Scratch is the size of all arenas.
func (s *sizes) Scratch() int64 {
	const float32Bytes = 4
	return float32Bytes * int64(s.shared+s.b.threads*s.worker)
}

// need notes what one call takes.
func (s *sizes) need(shared, worker int) {
	s.shared, s.worker = max(s.shared, shared), max(s.worker, worker)
}

// Linear counts x, packed.
func (s *sizes) Linear(y, x kernels.Matrix, w *kernels.Weight, addends ...kernels.Addend) {
	s.sum(y, x, weightOperand(w).t(), addends)
}

// LinearBackward counts dy, packed.
func (s *sizes) LinearBackward(dx, dy kernels.Matrix, w *kernels.Weight, _ bool, addends ...kernels.Addend) {
	s.sum(dx, dy, weightOperand(w), addends)
}

// MatMul counts the side that is packed for all threads.
func (s *sizes) MatMul(c kernels.Matrix, _ float64, x, y kernels.Matrix, _ bool) {
	s.product(shapeOperand(c), shapeOperand(x), shapeOperand(y))
}

// sum goes the ways of [Backend.sum].
func (s *sizes) sum(c, x kernels.Matrix, y operand, addends []kernels.Addend) {
	to, from := shapeOperand(c), shapeOperand(x)
	if s.b.sumFits(to, from, y, addends) {
		words := s.unitWords(to, from, y)
		for _, a := range addends {
			words = max(words, s.unitWords(to, shapeOperand(a.A), shapeOperand(a.B)))
		}
		s.need(0, words)
		return
	}
	s.product(to, from, y)
	for _, a := range addends {
		part := operand{rows: c.Rows, cols: a.B.Cols, row: c.Stride, col: 1}
		s.product(part, shapeOperand(a.A), shapeOperand(a.B))
	}
}

// unitWords is what a unit of a product on the matrix unit packs: its rows of x, and
// of y a chunk of its columns and one panel on the way.
func (s *sizes) unitWords(c, x, y operand) int {
	rows, cols := s.b.unitShape(c)
	t := s.b.termsOf(y)
	steps := min(x.cols, t.rounds()*roundSteps)
	chunk := panelWords(min(cols, chunkPanels*unitLanes), steps, t.b)
	return panelWords(rows, min(x.cols, slabSteps), t.a) + chunk + panelWords(unitLanes, steps, 2)
}

// product goes the ways of [Backend.product].
func (s *sizes) product(c, x, y operand) {
	switch s.b.wayOf(c, x, y) {
	case asTiles:
		s.need(0, s.unitWords(c, x, y))
	case asTall:
		s.need(roundUp(c.cols, s.b.routines.strips.lanes)*x.cols, 0)
	case asTurned:
		s.wide(c.t(), y.t(), x.t())
	case asWide:
		s.wide(c, x, y)
	}
}

// wide counts x, packed, and of a unit's chunk what is packed of y and turned of c.
func (s *sizes) wide(c, x, y operand) {
	t, inPlace := s.b.wideTiles(c, y)
	chunk, worker := min(c.cols, s.b.chunkOf(c.cols, t.widest(), chunkCols)), 0
	if !inPlace {
		worker = min(stepBlock, x.cols) * roundUp(chunk, t.lanes)
	}
	if c.col != 1 {
		worker += c.rows * chunk
	}
	s.need(roundUp(c.rows, t.rows)*x.cols, worker)
}

// Attention counts a unit's block, and the keys that it copies.
func (s *sizes) Attention(_ kernels.Matrix, _ kernels.Buf, _, _, _ kernels.Matrix, a *kernels.AttentionShape) {
	t, shape := s.b.routines.strips, sequences{AttentionShape: a}
	size, tall := roundUp(keyTile, t.rows), roundUp(a.HeadDim, t.rows)
	for _, u := range shape.spans(nil, spanLanes) {
		lanes, cols := s.block(u, shape, forwardLanes)
		last := (u.keyEnd() - 1) / size * size
		copied := 2 * s.copied(u, shape, last, roundUp(u.keyEnd()-last, t.rows))
		s.need(0, lanes*(4+2*cols+tall+size)+max(copied, lanes*tall))
	}
}

// AttentionBackward counts the gradients of all parts but the first, and a unit's keys,
// their gradients and a block.
func (s *sizes) AttentionBackward(_, _, _, _, _ kernels.Matrix, _ kernels.Buf, _, k, _ kernels.Matrix,
	a *kernels.AttentionShape) {
	t, shape := s.b.routines.strips, sequences{AttentionShape: a}
	size, tall, parts := roundUp(keyTile, t.rows), roundUp(a.HeadDim, t.rows), shape.parts()
	for _, u := range shape.partSpans(nil, parts) {
		lanes, cols := s.block(u, shape, backwardLanes)
		keys := 2 * (s.copied(u, shape, 0, u.keyEnd()) + roundUp(u.keyEnd(), t.rows)*cols)
		s.need((parts-1)*2*k.Rows*k.Cols, keys+lanes*(3+4*cols+2*tall+2*size))
	}
}

// block is how many lanes the largest block of u has, and columns a row of a lane.
func (s *sizes) block(u span, shape sequences, most int) (lanes, cols int) {
	t := s.b.routines.strips
	lanes = min(u.queries(), shape.blockQueries(most)) * shape.Heads / shape.KVHeads
	return roundUp(lanes, t.lanes), roundUp(shape.HeadDim, t.lanes)
}

// copied is what a copy of keys takes, 0 if they are read in place.
func (s *sizes) copied(u span, shape sequences, from, count int) int {
	t := s.b.routines.strips
	if t.wholeKeys(shape, u, from, count) {
		return 0
	}
	return roundUp(count, t.rows) * roundUp(shape.HeadDim, t.rows)
}

// shapeOperand is matrixOperand without numbers.
func shapeOperand(m kernels.Matrix) operand {
	m.Buf = nil
	return matrixOperand(m)
}
