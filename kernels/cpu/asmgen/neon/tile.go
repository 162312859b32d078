package main

// The part of c that stays in registers: 24 sums of the 32 registers; four are for a
// row of b and four for numbers of a.
const (
	tileRows   = 6
	tileCols   = 16
	tileUnroll = 4
)

// tileRegs are the registers of a tile; strides are in bytes.
type tileRegs struct {
	*routine
	sums  []vec // four a row
	bs    []vec
	as    []vec
	a     gp
	aLane gp
	aStep gp
	b     gp
	bStep gp
	c     gp
	cRow  gp
	steps gp
}

// tile writes the inner loop of every product: c = Σ_s a[s]⊗b[s], or c += ….
//
// The numbers of a are the elements of the multiplications, not copies in all lanes:
// if they lie side by side, two loads get all six.
func tile(a *assembly) {
	const signature = "func(steps int, a []float32, aLane, aStep int, " +
		"b []float32, bStep int, c []float32, cRow int, add bool)"
	a.routine("tileNEON", signature, "computes a [6, 16] tile of c; see tile.", func(r *routine) {
		t := newTileRegs(r)
		for _, sum := range t.sums {
			r.zero(sum)
		}
		t.prefetch()
		r.op("CMP", imm(f32.bytes(1)), t.aLane)
		r.op("BNE", "apart")
		t.loops("packed", t.packedStep)
		r.op("B", "store")
		r.label("apart")
		t.apart()
		r.label("store")
		t.store()
	})
}

func newTileRegs(r *routine) tileRegs {
	return tileRegs{
		routine: r,
		sums:    r.vecs(tileRows * 4), bs: r.vecs(4), as: r.vecs(4),
		steps: r.load("steps"),
		a:     r.load("a_base"), aLane: r.loadBytes("aLane", f32), aStep: r.loadBytes("aStep", f32),
		b: r.load("b_base"), bStep: r.loadBytes("bStep", f32),
		c: r.load("c_base"), cRow: r.loadBytes("cRow", f32),
	}
}

// prefetch asks for the tile of c, which is wanted at the end.
func (t tileRegs) prefetch() {
	row := t.gp()
	t.op("MOVD", t.c, row)
	for i := range tileRows {
		t.op("PRFM", row.at(0), "PLDL1KEEP")
		t.op("PRFM", row.at(f32.bytes(tileCols)-8), "PLDL1KEEP")
		if i < tileRows-1 {
			t.op("ADD", t.cRow, row, row)
		}
	}
}

// loops writes the loop over the steps, several a round and then the rest.
func (t tileRegs) loops(name string, step func()) {
	rounds := t.gp()
	t.op("LSR", imm(2), t.steps, rounds)
	t.repeat(name+"Rounds", rounds, func() {
		for range tileUnroll {
			step()
		}
	})
	t.op("AND", imm(tileUnroll-1), t.steps, t.steps)
	t.repeat(name+"Rest", t.steps, step)
}

// packedStep adds a step of an a whose lanes lie side by side.
func (t tileRegs) packedStep() {
	t.op("FMOVQ", t.a.at(0), t.as[0].f())
	t.op("FMOVD", t.a.at(16), t.as[1].f())
	t.op("ADD", t.aStep, t.a, t.a)
	t.op("VLD1.P", t.b.by(t.bStep), list(t.bs, "S4"))
	for row := range tileRows {
		t.addRow(row, t.as[row/4], row%4)
	}
}

// apart is the loop for an a whose lanes lie apart: a pointer each, and one offset.
func (t tileRegs) apart() {
	lanes := []gp{t.a}
	for len(lanes) < tileRows {
		next := t.gp()
		t.op("ADD", t.aLane, lanes[len(lanes)-1], next)
		lanes = append(lanes, next)
	}
	offset := t.gp()
	t.op("MOVD", "ZR", offset)
	t.loops("apart", func() {
		t.op("VLD1.P", t.b.by(t.bStep), list(t.bs, "S4"))
		for row, lane := range lanes {
			a := t.as[row%len(t.as)]
			t.op("FMOVS", lane.by(offset), a.f())
			t.addRow(row, a, 0)
		}
		t.op("ADD", t.aStep, offset, offset)
	})
}

// addRow adds element lane of a, times the row of b.
func (t tileRegs) addRow(row int, a vec, lane int) {
	for i, b := range t.bs {
		t.fmlaLane(t.sums[4*row+i], b, a, lane)
	}
}

func (t tileRegs) store() {
	add := t.gp()
	t.op("MOVBU", t.arg("add"), add)
	t.op("CBZ", add, "overwrite")
	t.eachRow(func(sums []vec) {
		t.op("VLD1", t.c.at(0), list(t.bs, "S4"))
		for i, sum := range sums {
			t.fadd(sum, t.bs[i], sum)
		}
	})
	t.op("RET")
	t.label("overwrite")
	t.eachRow(func([]vec) {})
}

// eachRow writes the rows of c, after what prepare makes of them.
func (t tileRegs) eachRow(prepare func(sums []vec)) {
	for row := range tileRows {
		sums := t.sums[4*row:][:4]
		prepare(sums)
		t.op("VST1.P", list(sums, "S4"), t.c.by(t.cRow))
	}
}
