package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// tileShape is the part of c that stays in registers.
type tileShape struct {
	name       string
	rows, cols int           // cols in vectors
	vectors    []VecPhysical // rows·cols sums, cols of b, the rest for broadcasts of a
	bytes      int           // of a vector
	slim       bool          // b is not packed: ask for what comes
}

var (
	yVectors = []VecPhysical{Y0, Y1, Y2, Y3, Y4, Y5, Y6, Y7, Y8, Y9, Y10, Y11, Y12, Y13, Y14, Y15}
	zVectors = []VecPhysical{
		Z0, Z1, Z2, Z3, Z4, Z5, Z6, Z7, Z8, Z9, Z10, Z11, Z12, Z13, Z14, Z15,
		Z16, Z17, Z18, Z19, Z20, Z21, Z22, Z23, Z24, Z25, Z26, Z27, Z28, Z29, Z30, Z31}

	tileShapes = []tileShape{
		{"tileAVX2", 6, 2, yVectors, 32, false},
		{"tile4x8AVX2", 4, 1, yVectors, 32, true},
		{"tile4x16AVX2", 4, 2, yVectors, 32, true},
		{"tile4x24AVX2", 4, 3, yVectors, 32, true},
		{"tileAVX512", 14, 2, zVectors, 64, false},
		{"tile8x16AVX512", 8, 1, zVectors, 64, true},
		{"tile8x32AVX512", 8, 2, zVectors, 64, true},
		{"tile8x48AVX512", 8, 3, zVectors, 64, true},
	}
)

const tileUnroll = 4

// tileRegs are the general registers of a tile; strides are in bytes.
type tileRegs struct {
	a           []Register // rows 0, 5 and 10 of a
	lane, lane3 Register
	aStep       Register
	b, bStep    Register
	c, cRow     Register
	steps       Register
}

// tile writes the inner loop of every product: c = Σ_s a[s]⊗b[s], or c += ….
func tile(t tileShape) {
	TEXT(t.name, NOSPLIT|NOFRAME,
		"func(steps int, a []float32, aLane, aStep int, b []float32, bStep int, c []float32, cRow int, add bool)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s computes a [%d, %d] tile of c; see tile.", t.name, t.rows, t.cols*t.bytes/4))
	r := loadTileRegs(t)
	acc := t.vectors[:t.rows*t.cols]
	for i := range acc {
		zero(acc[i])
	}
	t.prefetch(r)
	t.loops(r)
	add := Load(Param("add"), GP8())
	TESTB(add, add)
	JZ(LabelRef("overwrite"))
	t.store(r, true)
	Label("overwrite")
	t.store(r, false)
}

func loadTileRegs(t tileShape) tileRegs {
	r := tileRegs{
		steps: Load(Param("steps"), GP64()),
		a:     []Register{Load(Param("a").Base(), GP64())},
		lane:  Load(Param("aLane"), GP64()),
		lane3: GP64(),
		aStep: Load(Param("aStep"), GP64()),
		b:     Load(Param("b").Base(), GP64()),
		bStep: Load(Param("bStep"), GP64()),
		c:     Load(Param("c").Base(), GP64()),
		cRow:  Load(Param("cRow"), GP64()),
	}
	for _, stride := range []Register{r.lane, r.aStep, r.bStep, r.cRow} {
		SHLQ(Imm(2), stride)
	}
	LEAQ(Mem{Base: r.lane, Index: r.lane, Scale: 2}, r.lane3)
	for len(r.a)*5 < t.rows {
		next := GP64()
		LEAQ(Mem{Base: r.a[len(r.a)-1], Index: r.lane, Scale: 4}, next)
		ADDQ(r.lane, next)
		r.a = append(r.a, next)
	}
	return r
}

// row is where row i of a's current step lies.
func (r tileRegs) row(i int) Mem {
	m := Mem{Base: r.a[i/5]}
	switch i % 5 {
	case 1, 2, 4:
		m.Index, m.Scale = r.lane, uint8(i%5)
	case 3:
		m.Index, m.Scale = r.lane3, 1
	}
	return m
}

// prefetch asks for the tile of c, which is wanted at the end.
func (t tileShape) prefetch(r tileRegs) {
	row := GP64()
	MOVQ(r.c, row)
	for i := range t.rows {
		for line := 0; line < t.cols*t.bytes; line += 64 {
			PREFETCHT0(Mem{Base: row, Disp: line})
		}
		PREFETCHT0(Mem{Base: row, Disp: t.cols*t.bytes - 1})
		if i < t.rows-1 {
			ADDQ(r.cRow, row)
		}
	}
}

func (t tileShape) loops(r tileRegs) {
	rounds := GP64()
	MOVQ(r.steps, rounds)
	SHRQ(Imm(2), rounds)
	JZ(LabelRef("rest"))
	Label("unrolled")
	PREFETCHT0(Mem{Base: r.a[0], Index: r.aStep, Scale: 8, Disp: 4 * t.rows * 8})
	for range tileUnroll {
		t.step(r)
	}
	SUBQ(Imm(1), rounds)
	JNZ(LabelRef("unrolled"))
	Label("rest")
	ANDQ(Imm(tileUnroll-1), r.steps)
	JZ(LabelRef("done"))
	Label("single")
	t.step(r)
	SUBQ(Imm(1), r.steps)
	JNZ(LabelRef("single"))
	Label("done")
}

// step adds the outer product of one step of a and b.
func (t tileShape) step(r tileRegs) {
	sums := t.rows * t.cols
	b, broadcasts := t.vectors[sums:sums+t.cols], t.vectors[sums+t.cols:]
	for j := range b {
		VMOVUPS(Mem{Base: r.b, Disp: j * t.bytes}, b[j])
		if t.slim {
			PREFETCHT0(Mem{Base: r.b, Index: r.bStep, Scale: 8, Disp: j * t.bytes})
		}
	}
	for i := range t.rows {
		x := broadcasts[i%len(broadcasts)]
		VBROADCASTSS(r.row(i), x)
		for j := range b {
			VFMADD231PS(b[j], x, t.vectors[i*t.cols+j])
		}
	}
	for _, a := range r.a {
		ADDQ(r.aStep, a)
	}
	ADDQ(r.bStep, r.b)
}

func (t tileShape) store(r tileRegs, add bool) {
	for i := range t.rows {
		for j := range t.cols {
			m, sum := Mem{Base: r.c, Disp: j * t.bytes}, t.vectors[i*t.cols+j]
			if add {
				VADDPS(m, sum, sum)
			}
			VMOVUPS(sum, m)
		}
		if i < t.rows-1 {
			ADDQ(r.cRow, r.c)
		}
	}
	VZEROUPPER()
	RET()
}

// zero clears a vector register of any width.
func zero(v Register) {
	if v.Size() == 64 {
		VPXORD(v, v, v)
		return
	}
	VXORPS(v, v, v)
}
