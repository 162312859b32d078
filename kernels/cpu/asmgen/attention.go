package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// column is one vector of columns of matrices whose stride is the parameter row, and
// of slices with an element a column.
type column struct {
	width
	at  map[string]Register
	row Register // bytes
}

// eachColumn writes the loop over the columns. There are as many as the last of the
// operands is long, a multiple of the lanes.
func (w width) eachColumn(operands []string, body func(c column)) {
	c := column{width: w, at: map[string]Register{}, row: Load(Param("row"), GP64())}
	SHLQ(Imm(2), c.row)
	for _, name := range operands {
		c.at[name] = Load(Param(name).Base(), GP64())
	}
	left := Load(Param(operands[len(operands)-1]).Len(), GP64())
	Label("column")
	body(c)
	for _, name := range operands {
		ADDQ(Imm(uint64(w.bytes)), c.at[name])
	}
	SUBQ(Imm(uint64(w.lanes())), left)
	JNZ(LabelRef("column"))
}

func (c column) load(name string) VecVirtual {
	x := c.register()
	VMOVUPS(Mem{Base: c.at[name]}, x)
	return x
}

func (c column) store(name string, x VecVirtual) { VMOVUPS(x, Mem{Base: c.at[name]}) }

// rowsTogether is how many rows a loop takes at a time: the rows of a strip.
func (w width) rowsTogether() int {
	if w == avx512 {
		return 8
	}
	return 4
}

// eachRows writes a loop over rowsTogether rows of a matrix at a time.
func (c column) eachRows(label, matrix string, body func(rows []Mem)) {
	count := c.rowsTogether()
	rounds, row3 := Load(Param("rows"), GP64()), GP64()
	SHRQ(Imm(uint64(count/4+1)), rounds)
	LEAQ(Mem{Base: c.row, Index: c.row, Scale: 2}, row3)
	var rows []Mem
	var bases []Register
	for range count / 4 {
		at := GP64()
		if len(bases) == 0 {
			MOVQ(c.at[matrix], at)
		} else {
			LEAQ(Mem{Base: bases[0], Index: c.row, Scale: 4}, at)
		}
		bases = append(bases, at)
		rows = append(rows, Mem{Base: at}, Mem{Base: at, Index: c.row, Scale: 1},
			Mem{Base: at, Index: c.row, Scale: 2}, Mem{Base: at, Index: row3, Scale: 1})
	}
	Label(label)
	body(rows)
	for _, at := range bases {
		LEAQ(Mem{Base: at, Index: c.row, Scale: uint8(count)}, at)
	}
	SUBQ(Imm(1), rounds)
	JNZ(LabelRef(label))
}

// loadEach loads a vector of each row.
func (w width) loadEach(rows []Mem) []VecVirtual {
	var xs []VecVirtual
	for _, row := range rows {
		x := w.register()
		VMOVUPS(row, x)
		xs = append(xs, x)
	}
	return xs
}

// attention writes the routines between the products of attention.
func (w width) attention() {
	w.vectorFunc("softmax", "func(scores []float32, row, rows int, largest, sum, shrink []float32)", w.softmax)
	w.vectorFunc("softmaxBackward", "func(p, ds []float32, row, rows int, lse, pull []float32)", w.softmaxBackward)
	w.vectorFunc("scaleColumns", "func(y []float32, row, rows int, factors []float32)", func() {
		w.eachColumn([]string{"y", "factors"}, func(c column) {
			factors := c.load("factors")
			c.eachRows("row", "y", func(rows []Mem) {
				for _, row := range rows {
					y := w.register()
					VMULPS(row, factors, y)
					VMOVUPS(y, row)
				}
			})
		})
	})
}

func (w width) softmax() {
	w.eachColumn([]string{"scores", "largest", "sum", "shrink"}, func(c column) {
		shrink, most, other := c.load("largest"), c.load("largest"), c.load("largest")
		c.eachRows("largest", "scores", func(rows []Mem) {
			for i, row := range rows {
				VMAXPS(row, []VecVirtual{most, other}[i%2], []VecVirtual{most, other}[i%2])
			}
		})
		VMAXPS(other, most, most)
		c.store("largest", most)
		VSUBPS(most, shrink, shrink)
		w.expOrZero(shrink)
		c.store("shrink", shrink)
		added := w.zeros()
		c.eachRows("exp", "scores", func(rows []Mem) {
			xs := w.loadEach(rows)
			for _, x := range xs {
				VSUBPS(most, x, x)
			}
			w.expOrZero(xs...)
			for i, x := range xs {
				VMOVUPS(x, rows[i])
			}
			for n := len(xs) / 2; n > 0; n /= 2 { // in pairs, which rounds less
				for i := range n {
					VADDPS(xs[i+n], xs[i], xs[i])
				}
			}
			VADDPS(xs[0], added, added)
		})
		sum := c.load("sum")
		VFMADD213PS(added, shrink, sum)
		c.store("sum", sum)
	})
}

func (w width) softmaxBackward() {
	w.eachColumn([]string{"p", "ds", "lse", "pull"}, func(c column) {
		lse, pull, apart := c.load("lse"), c.load("pull"), GP64() // of ds from p
		MOVQ(c.at["ds"], apart)
		SUBQ(c.at["p"], apart)
		c.eachRows("row", "p", func(rows []Mem) {
			ps := w.loadEach(rows)
			for _, p := range ps {
				VSUBPS(lse, p, p)
			}
			w.expOrZero(ps...)
			for i, p := range ps {
				VMOVUPS(p, rows[i])
				ds, at := w.register(), GP64()
				LEAQ(rows[i], at)
				VMOVUPS(Mem{Base: at, Index: apart, Scale: 1}, ds)
				VSUBPS(pull, ds, ds)
				VMULPS(p, ds, ds)
				VMOVUPS(ds, Mem{Base: at, Index: apart, Scale: 1})
			}
		})
	})
}
