package main

import (
	"fmt"
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// The packers of matrix units. A tile is 16 lanes of 16 words, and a word two steps
// of a lane as bfloat16. Two tiles, which are 32 lanes, lie side by side, term after
// term.
const (
	tileBytes = 1024
	wordBytes = 4 // and those of a float32
	lineBytes = 64
)

// wordTables are indices of 16-bit numbers in two vectors, for VPERMT2W.
var wordTables = []struct {
	name  string
	index func(i int) int
}{
	{"upper", func(i int) int { return 2*i + 1 }},                // the upper half of each float32
	{"pairLow", func(i int) int { return i/2 + 32*(i%2) }},       // i of one vector beside i of the other
	{"pairHigh", func(i int) int { return 16 + i/2 + 32*(i%2) }}, // the same for their second halves
}

var wordTable Mem

func terms() {
	wordTable = GLOBL("wordTables", RODATA|NOPTR)
	for t, table := range wordTables {
		for i := range 32 {
			DATA(lineBytes*t+2*i, U16(table.index(i)))
		}
	}
	for count := 1; count <= 3; count++ {
		splitRows(count)
		splitLanes(count)
	}
	interleaveWords()
	transposeWords()
}

// wordIndex loads a table of wordTables.
func wordIndex(name string) VecVirtual {
	for t, table := range wordTables {
		if table.name == name {
			z := ZMM()
			VMOVDQU64(wordTable.Offset(lineBytes*t), z)
			return z
		}
	}
	panic("asmgen: no table of words " + name)
}

// broadcastWord is a vector of one 32-bit pattern.
func broadcastWord(bits uint32) VecVirtual {
	r, z := GP32(), ZMM()
	MOVL(U32(bits), r)
	VPBROADCASTD(r, z)
	return z
}

func broadcast512(param string) VecVirtual {
	p, err := Param(param).Resolve()
	if err != nil {
		panic(err)
	}
	z := ZMM()
	VBROADCASTSS(p.Addr, z)
	return z
}

// splitting cuts float32 numbers into bfloat16 terms, each in the upper 16 bits of a
// float32: three exact ones by truncation, or one or two by rounding to nearest,
// ties to even. What is not a number stays so.
type splitting struct {
	terms                 int
	upper, half, one, nan VecVirtual
}

func newSplitting(terms int) splitting {
	s := splitting{terms: terms, upper: broadcastWord(0xffff0000)}
	if terms < 3 {
		s.half, s.one = broadcastWord(0x7fff), broadcastWord(1)
		s.nan = broadcastWord(math.Float32bits(float32(math.NaN())))
	}
	return s
}

// take returns the next term of x, which is left with the rest. The lower 16 bits of
// the last term are garbage.
func (s splitting) take(x VecVirtual, term int) VecVirtual {
	high, last := ZMM(), term == s.terms-1
	switch {
	case last && s.terms == 3:
		return x
	case last:
		s.round(x)
		return x
	case s.terms == 3:
		VPANDD(s.upper, x, high)
	default:
		VMOVAPS(x, high)
		s.round(high)
		VPANDD(s.upper, high, high)
	}
	VSUBPS(high, x, x)
	return high
}

func (s splitting) round(x VecVirtual) {
	const unordered = 3
	odd, isNaN := ZMM(), K()
	VCMPPS(Imm(unordered), x, x, isNaN)
	VPSRLD(Imm(16), x, odd)
	VPANDD(s.one, odd, odd)
	VPADDD(s.half, odd, odd)
	VPADDD(odd, x, x)
	VMOVDQA32(s.nan, isNaN, x)
}

// splitName is that of the routine for so many terms.
func splitName(kind string, terms int) string {
	if terms == 1 {
		return "round" + kind + "AVX512"
	}
	return fmt.Sprintf("split%s%dAVX512", kind, terms)
}

// splitRows writes the packer of 16 lanes whose steps are contiguous, 32 steps a
// round.
func splitRows(terms int) {
	TEXT(splitName("Rows", terms), NOSPLIT, "func(dst, src []float32, lane, rounds int, factor float32)")
	Pragma("noescape")
	Doc(splitName("Rows", terms) + " is one of matrixUnit.splitRows.")
	dst, src := Load(Param("dst").Base(), GP64()), Load(Param("src").Base(), GP64())
	lane := Load(Param("lane"), GP64())
	SHLQ(Imm(2), lane)
	factor, s, index := broadcast512("factor"), newSplitting(terms), wordIndex("upper")
	lanes := GP64()
	MOVQ(U32(16), lanes)
	Label("lane")
	from, to, rounds := GP64(), GP64(), Load(Param("rounds"), GP64())
	MOVQ(src, from)
	MOVQ(dst, to)
	Label("round")
	x0, x1 := ZMM(), ZMM()
	VMULPS(Mem{Base: from}, factor, x0)
	VMULPS(Mem{Base: from, Disp: lineBytes}, factor, x1)
	for term := range terms {
		t0, t1 := s.take(x0, term), s.take(x1, term)
		VPERMT2W(t1, index, t0)
		VMOVDQU64(t0, Mem{Base: to, Disp: 2 * tileBytes * term})
	}
	ADDQ(U32(2*lineBytes), from)
	ADDQ(U32(2*tileBytes*terms), to)
	DECQ(rounds)
	JNZ(LabelRef("round"))
	ADDQ(lane, src)
	ADDQ(Imm(lineBytes), dst)
	DECQ(lanes)
	JNZ(LabelRef("lane"))
	VZEROUPPER()
	RET()
}

// splitLanes writes the packer of steps of which 16 lanes are contiguous, two steps a
// line and 32 a round.
func splitLanes(terms int) {
	TEXT(splitName("Lanes", terms), NOSPLIT, "func(dst, src []float32, step, rounds int, factor float32)")
	Pragma("noescape")
	Doc(splitName("Lanes", terms) + " is one of matrixUnit.splitLanes.")
	dst, src := Load(Param("dst").Base(), GP64()), Load(Param("src").Base(), GP64())
	step, rounds := Load(Param("step"), GP64()), Load(Param("rounds"), GP64())
	SHLQ(Imm(2), step)
	factor, s := broadcast512("factor"), newSplitting(terms)
	Label("round")
	lines := GP64()
	MOVQ(U32(16), lines)
	Label("line")
	x0, x1 := ZMM(), ZMM()
	VMULPS(Mem{Base: src}, factor, x0)
	VMULPS(Mem{Base: src, Index: step, Scale: 1}, factor, x1)
	for term := range terms {
		t0, t1, word := s.take(x0, term), s.take(x1, term), ZMM()
		VPSRLD(Imm(16), t0, t0)
		VPANDD(s.upper, t1, word)
		VPORD(t0, word, word)
		VMOVDQU64(word, Mem{Base: dst, Disp: 2 * tileBytes * term})
	}
	LEAQ(Mem{Base: src, Index: step, Scale: 2}, src)
	ADDQ(Imm(lineBytes), dst)
	DECQ(lines)
	JNZ(LabelRef("line"))
	ADDQ(U32(2*tileBytes*terms-tileBytes), dst)
	DECQ(rounds)
	JNZ(LabelRef("round"))
	VZEROUPPER()
	RET()
}

// interleaveWords writes the packer of bfloat16 weights of which 32 lanes are
// contiguous.
func interleaveWords() {
	TEXT("interleaveWordsAVX512", NOSPLIT, "func(dst []float32, src []uint16, step, rounds int)")
	Pragma("noescape")
	Doc("interleaveWordsAVX512 is matrixUnit.interleaveWords.")
	dst, src := Load(Param("dst").Base(), GP64()), Load(Param("src").Base(), GP64())
	step, rounds := Load(Param("step"), GP64()), Load(Param("rounds"), GP64())
	SHLQ(Imm(1), step)
	low, high := wordIndex("pairLow"), wordIndex("pairHigh")
	Label("round")
	lines := GP64()
	MOVQ(U32(16), lines)
	Label("line")
	x0, x1, first := ZMM(), ZMM(), ZMM()
	VMOVDQU64(Mem{Base: src}, x0)
	VMOVDQU64(Mem{Base: src, Index: step, Scale: 1}, x1)
	VMOVDQA64(x0, first)
	VPERMT2W(x1, low, first)
	VPERMT2W(x1, high, x0)
	VMOVDQU64(first, Mem{Base: dst})
	VMOVDQU64(x0, Mem{Base: dst, Disp: tileBytes})
	LEAQ(Mem{Base: src, Index: step, Scale: 2}, src)
	ADDQ(Imm(lineBytes), dst)
	DECQ(lines)
	JNZ(LabelRef("line"))
	ADDQ(U32(tileBytes), dst)
	DECQ(rounds)
	JNZ(LabelRef("round"))
	VZEROUPPER()
	RET()
}

// transposeWords writes the packer of bfloat16 weights of which 16 lanes have their
// steps contiguous: it transposes 16×16 words.
func transposeWords() {
	TEXT("transposeWordsAVX512", NOSPLIT, "func(dst []float32, src []uint16, lane, rounds int)")
	Pragma("noescape")
	Doc("transposeWordsAVX512 is matrixUnit.transposeWords.")
	dst, src := Load(Param("dst").Base(), GP64()), Load(Param("src").Base(), GP64())
	lane, rounds := Load(Param("lane"), GP64()), Load(Param("rounds"), GP64())
	SHLQ(Imm(1), lane)
	Label("round")
	row := GP64()
	MOVQ(src, row)
	for i := range 16 {
		VMOVDQU64(Mem{Base: row}, zmm[i])
		ADDQ(lane, row)
	}
	transpose16()
	for i := range 16 {
		VMOVDQU64(zmm[i], Mem{Base: dst, Disp: lineBytes * i})
	}
	ADDQ(Imm(lineBytes), src)
	ADDQ(U32(2*tileBytes), dst)
	DECQ(rounds)
	JNZ(LabelRef("round"))
	VZEROUPPER()
	RET()
}

var zmm = []VecPhysical{
	Z0, Z1, Z2, Z3, Z4, Z5, Z6, Z7, Z8, Z9, Z10, Z11, Z12, Z13, Z14, Z15,
	Z16, Z17, Z18, Z19, Z20, Z21, Z22, Z23, Z24, Z25, Z26, Z27, Z28, Z29, Z30, Z31}

// transpose16 transposes the 16×16 block of words in zmm[0:16]: pairs of words, pairs
// of pairs, and then quarters of vectors.
func transpose16() {
	for i := 0; i < 16; i += 2 {
		VPUNPCKLDQ(zmm[i+1], zmm[i], zmm[16+i])
		VPUNPCKHDQ(zmm[i+1], zmm[i], zmm[17+i])
	}
	for i := 0; i < 16; i += 4 { // zmm[i+c] has word c of each quarter of rows i to i+3
		for half := range 2 {
			VPUNPCKLQDQ(zmm[18+i+half], zmm[16+i+half], zmm[i+2*half])
			VPUNPCKHQDQ(zmm[18+i+half], zmm[16+i+half], zmm[i+2*half+1])
		}
	}
	const even, odd = 0x88, 0xdd // quarters 0 and 2, or 1 and 3, of both sources
	for c := range 4 {
		for i := range 2 { // rows 0 to 7, then 8 to 15
			VSHUFI32X4(Imm(even), zmm[8*i+4+c], zmm[8*i+c], zmm[16+8*i+c])
			VSHUFI32X4(Imm(odd), zmm[8*i+4+c], zmm[8*i+c], zmm[20+8*i+c])
		}
	}
	for c := range 4 {
		for side := range 2 { // from the even quarters words c and 8+c, from the odd ones 4+c and 12+c
			low, high := zmm[16+4*side+c], zmm[24+4*side+c]
			VSHUFI32X4(Imm(even), high, low, zmm[4*side+c])
			VSHUFI32X4(Imm(odd), high, low, zmm[8+4*side+c])
		}
	}
}
