package main

// column is four columns of matrices whose stride is the parameter row, and of slices
// with an element a column.
type column struct {
	*routine
	at  map[string]gp
	row gp // bytes
}

// eachColumn writes the loop over the columns. There are as many as the last of the
// operands is long, a multiple of four.
func (r *routine) eachColumn(operands []string, body func(c column)) {
	c := column{routine: r, at: map[string]gp{}, row: r.loadBytes("row", f32)}
	for _, name := range operands {
		c.at[name] = r.load(name + "_base")
	}
	left := r.load(operands[len(operands)-1] + "_len")
	r.op("LSR", imm(2), left, left)
	r.repeat("column", left, func() {
		body(c)
		for _, name := range operands {
			r.op("ADD", imm(16), c.at[name], c.at[name])
		}
	})
}

func (c column) load(name string) vec {
	x := c.vec()
	c.op("FMOVQ", c.at[name].at(0), x.f())
	return x
}

func (c column) store(name string, x vec) { c.op("FMOVQ", x.f(), c.at[name].at(0)) }

// eachRow writes a loop over the rows of matrices. The body may store to them what it
// makes of their rows.
func (c column) eachRow(label string, matrices []string, body func(row column)) {
	left, row := c.gp(), column{routine: c.routine, at: map[string]gp{}}
	c.op("MOVD", c.arg("rows"), left)
	for _, name := range matrices {
		row.at[name] = c.gp()
		c.op("MOVD", c.at[name], row.at[name])
	}
	c.repeat(label, left, func() {
		c.scoped(func() { body(row) })
		for _, name := range matrices {
			c.op("ADD", c.row, row.at[name], row.at[name])
		}
	})
}

// attention writes the routines between the products of attention.
func attention(a *assembly) {
	vectorFunc(a, "softmax", "func(scores []float32, row, rows int, largest, sum, shrink []float32)", softmax)
	vectorFunc(a, "softmaxBackward", "func(p, ds []float32, row, rows int, lse, pull []float32)", softmaxBackward)
	vectorFunc(a, "scaleColumns", "func(y []float32, row, rows int, factors []float32)", func(r *routine) {
		r.eachColumn([]string{"y", "factors"}, func(c column) {
			factors := c.load("factors")
			c.eachRow("row", []string{"y"}, func(row column) {
				y := row.load("y")
				row.fmul(y, y, factors)
				row.store("y", y)
			})
		})
	})
}

func softmax(r *routine) {
	e := newExponent(r)
	r.eachColumn([]string{"scores", "largest", "sum", "shrink"}, func(c column) {
		shrink, most, added, sum := c.load("largest"), c.load("largest"), c.zeros(), c.load("sum")
		c.eachRow("largest", []string{"scores"}, func(row column) { row.fmax(most, most, row.load("scores")) })
		c.store("largest", most)
		c.fsub(shrink, shrink, most)
		e.expOrZero(r, shrink)
		c.store("shrink", shrink)
		c.eachRow("exp", []string{"scores"}, func(row column) {
			x := row.load("scores")
			row.fsub(x, x, most)
			e.expOrZero(r, x)
			row.store("scores", x)
			row.fadd(added, added, x)
		})
		c.fmla(added, shrink, sum)
		c.store("sum", added)
	})
}

func softmaxBackward(r *routine) {
	e := newExponent(r)
	r.eachColumn([]string{"p", "ds", "lse", "pull"}, func(c column) {
		lse, pull := c.load("lse"), c.load("pull")
		c.eachRow("row", []string{"p", "ds"}, func(row column) {
			p, ds := row.load("p"), row.load("ds")
			row.fsub(p, p, lse)
			e.expOrZero(r, p)
			row.store("p", p)
			row.fsub(ds, ds, pull)
			row.fmul(ds, ds, p)
			row.store("ds", ds)
		})
	})
}
