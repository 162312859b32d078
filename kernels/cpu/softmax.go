package cpu

// softmax is routines.softmax for the scores of a tile, or made up row by row.
func (bl *block) softmax(scores operand, largest, sum, shrink []float32) {
	r := bl.r
	if r.softmax != nil {
		r.softmax(scores.f32, scores.row, scores.rows, largest, sum, shrink)
		return
	}
	copy(shrink, largest)
	for i := range scores.rows {
		for j, x := range scores.line(i) {
			largest[j] = max(largest[j], x)
		}
	}
	subtract(shrink, largest)
	r.expSum(shrink, shrink, 1, 0)
	added := bl.each(0)
	for i := range scores.rows {
		p := scores.line(i)
		subtract(p, largest)
		r.expSum(p, p, 1, 0)
		r.addScaled(added, p, 1)
	}
	for j := range sum {
		sum[j] = shrink[j]*sum[j] + added[j]
	}
}

// softmaxGradient is routines.softmaxBackward, or made up row by row.
func (r *routines) softmaxGradient(p, ds operand, lse, pull []float32) {
	if r.softmaxBackward != nil {
		r.softmaxBackward(p.f32, ds.f32, p.row, p.rows, lse, pull)
		return
	}
	for i := range p.rows {
		pi, dsi := p.line(i), ds.line(i)
		subtract(pi, lse)
		r.expSum(pi, pi, 1, 0)
		subtract(dsi, pull)
		r.scaledProduct(dsi, dsi, pi, 1)
	}
}

// scaleEach is routines.scaleColumns, or made up row by row.
func (r *routines) scaleEach(y operand, factors []float32) {
	if r.scaleColumns != nil {
		r.scaleColumns(y.f32, y.row, y.rows, factors)
		return
	}
	for i := range y.rows {
		r.scaledProduct(y.line(i), y.line(i), factors, 1)
	}
}

// line is row i of o, which is contiguous.
func (o operand) line(i int) []float32 { return o.f32[i*o.row:][:o.cols] }

func subtract(y, x []float32) {
	for j := range y {
		y[j] -= x[j]
	}
}
