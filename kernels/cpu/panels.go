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

// packLanes packs all rows of x, times alpha, as lanes of panels into shared scratch.
func (b *Backend) packLanes(x operand, width int, alpha float32) packedLanes {
	count := ceilDiv(x.rows, width)
	p := packedLanes{b.shared.floats(count * width * x.cols), count * width, width}
	blocks := ceilDiv(x.cols, stepBlock)
	group := clamp(count*blocks/(unitsThread*b.threads), 1, 16)
	groups := ceilDiv(count, group)
	b.each(x.rows*x.cols, groups*blocks, func(_ *worker, unit int) {
		step := unit / groups * stepBlock
		steps := min(stepBlock, x.cols-step)
		to := p.block(step, steps)
		for i := unit % groups * group; i < min(count, (unit%groups+1)*group); i++ {
			panel := to.data[i*to.panel:][:to.panel]
			b.routines.pack(panel, width, x.part(i*width, min(width, x.rows-i*width), step, steps))
			if alpha != 1 {
				b.routines.scale(panel, alpha)
			}
		}
	})
	return p
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
