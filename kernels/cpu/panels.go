package cpu

// panels are groups of lanes, as many as a tile has rows or columns: lane i of step
// s of panel p lies at p·panel + i·lane + s·step. Packed ones have a lane stride of
// 1; others are matrices read in place.
type panels struct {
	data              []float32
	panel, lane, step int
}

// packedLanes is a whole operand in panels, one block of steps after another.
type packedLanes struct {
	data  []float32
	lanes int // padded
	width int
}

// block is the panels of one block of steps.
func (p packedLanes) block(step, steps int) panels {
	return panels{p.data[step*p.lanes:], p.width * steps, 1, p.width}
}

// lanePacking packs x, times alpha, in groups of panels of one block of steps.
type lanePacking struct {
	r             *routines
	to            packedLanes
	x             operand
	alpha         float32
	group, groups int // panels of a unit, units of a block
}

// packLanes packs all rows of x, times alpha, as lanes of panels into shared scratch.
func (b *Backend) packLanes(x operand, width int, alpha float32) packedLanes {
	count, blocks := ceilDiv(x.rows, width), ceilDiv(x.cols, stepBlock)
	p := &b.lanePacking
	*p = lanePacking{r: b.routines, x: x, alpha: alpha, group: clamp(count*blocks/(unitsThread*b.threads), 1, 16)}
	p.to = packedLanes{b.shared.floats(count * width * x.cols), count * width, width}
	p.groups = ceilDiv(count, p.group)
	b.run(x.rows*x.cols, p.groups*blocks, p)
	return p.to
}

func (p *lanePacking) unit(_ *worker, unit int) {
	step, first := unit/p.groups*stepBlock, unit%p.groups*p.group
	steps, width := min(stepBlock, p.x.cols-step), p.to.width
	to := p.to.block(step, steps)
	for i := first; i < min(p.to.lanes/width, first+p.group); i++ {
		panel := to.data[i*to.panel:][:to.panel]
		p.r.pack(panel, width, p.x.part(i*width, min(width, p.x.rows-i*width), step, steps))
		if p.alpha != 1 {
			p.r.scale(panel, p.alpha)
		}
	}
}

// packPanels packs the rows of x as lanes of panels into scratch.
func (r *routines) packPanels(scratch *arena, x operand, width int) panels {
	count := ceilDiv(x.rows, width)
	p := panels{scratch.floats(count * width * x.cols), width * x.cols, 1, width}
	for i := range count {
		panel := p.data[i*p.panel:][:p.panel]
		r.pack(panel, width, x.part(i*width, min(width, x.rows-i*width), 0, x.cols))
	}
	return p
}
