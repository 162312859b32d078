package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"

	"bdlora/kernels/cpu/asmgen/numbers"
)

// coded is a format of 8 or 4 bits. Its loops leave Y13 to Y15 to its tables.
type coded struct {
	suffix, goType string
	packed         int // log2 of the codes in a byte
	avx512         bool
}

var (
	int8s     = coded{"Int8AVX2", "int8", 0, false}
	nf4       = coded{"NF4AVX2", "byte", 1, false}
	nf4AVX512 = coded{"NF4AVX512", "byte", 1, true}
)

// nf4Shifts bring the codes of four bytes, the upper half of each before the lower,
// to the lowest bits of eight words.
var nf4Shifts = []uint32{4, 0, 12, 8, 20, 16, 28, 24}

var nf4Table Mem

func codings() {
	nf4Table = GLOBL("nf4Table", RODATA|NOPTR)
	for i, x := range numbers.NF4Map {
		DATA(4*i, U32(math.Float32bits(x)))
	}
	for i, shift := range nf4Shifts {
		DATA(64+4*i, U32(shift))
	}
	for _, c := range []coded{int8s, nf4, nf4AVX512} {
		interleaveCodes(c)
		copyCodes(c)
		dotCodes(c)
	}
}

// tables loads what load looks into.
func (c coded) tables() {
	if c.packed == 0 {
		return
	}
	VMOVUPS(nf4Table, Y13)
	VMOVUPS(nf4Table.Offset(32), Y14)
	VMOVUPS(nf4Table.Offset(64), Y15)
}

// load reads eight codes as the numbers that they stand for at a scale of 1. It
// spoils Y11 and Y12.
func (c coded) load(m Mem, y VecPhysical) {
	switch {
	case c.packed == 0:
		VPMOVSXBD(m, y)
		VCVTDQ2PS(y, y)
	case c.avx512:
		VPBROADCASTD(m, y)
		VPSRLVD(Y15, y, y)
		VPERMI2PS(Y14, Y13, y)
	default:
		VPBROADCASTD(m, y)
		VPSRLVD(Y15, y, y)
		VPERMPS(Y13, y, Y11)
		VPERMPS(Y14, y, Y12)
		VPSLLD(Imm(28), y, y) // bit 3, which says which half of the table, becomes the sign
		VBLENDVPS(y, Y12, Y11, y)
	}
}

// bytes is the size of n codes.
func (c coded) bytes(n int) int { return n >> c.packed }

// interleaveCodes writes the packer of eight lanes that are contiguous along the
// steps.
func interleaveCodes(c coded) {
	name := "interleave8" + c.suffix
	TEXT(name, NOSPLIT|NOFRAME, "func(dst []float32, dstStep int, src []"+c.goType+", lane, steps int, scales [8]float32)")
	Pragma("noescape")
	Doc(name + " is coding.interleave8.")
	dst, dstStep := Load(Param("dst").Base(), GP64()), Load(Param("dstStep"), GP64())
	src, lane := Load(Param("src").Base(), GP64()), Load(Param("lane"), GP64())
	rounds, scales := Load(Param("steps"), GP64()), scalesOf()
	SHLQ(Imm(2), dstStep)
	SHRQ(Imm(3), rounds)
	lane3, src4 := GP64(), GP64()
	LEAQ(Mem{Base: lane, Index: lane, Scale: 2}, lane3)
	LEAQ(Mem{Base: src, Index: lane, Scale: 4}, src4)
	Label("loop")
	c.tables()
	for i := range 8 {
		m := Mem{Base: []Register{src, src4}[i/4]}
		switch i % 4 {
		case 1, 2:
			m.Index, m.Scale = lane, uint8(i%4)
		case 3:
			m.Index, m.Scale = lane3, 1
		}
		c.load(m, ymm[i])
	}
	transpose8()
	VMOVUPS(Mem{Base: scales}, Y0)
	for i := range 8 {
		VMULPS(Y0, ymm[8+i], ymm[8+i])
		VMOVUPS(ymm[8+i], Mem{Base: dst})
		ADDQ(dstStep, dst)
	}
	ADDQ(Imm(uint64(c.bytes(8))), src)
	ADDQ(Imm(uint64(c.bytes(8))), src4)
	SUBQ(Imm(1), rounds)
	JNZ(LabelRef("loop"))
	VZEROUPPER()
	RET()
}

// scalesOf is where the eight scales lie.
func scalesOf() Register {
	first, err := Param("scales").Index(0).Resolve()
	if err != nil {
		panic("asmgen: no parameter scales: " + err.Error())
	}
	scales := GP64()
	LEAQ(first.Addr, scales)
	return scales
}

// copyCodes writes the packer of eight steps of lanes that lie side by side.
func copyCodes(c coded) {
	name := "copyRows8" + c.suffix
	TEXT(name, NOSPLIT|NOFRAME, "func(dst []float32, dstStep int, src []"+c.goType+", srcStep, lanes int, scales [8]float32)")
	Pragma("noescape")
	Doc(name + " is coding.copyRows8.")
	dst, dstStep := Load(Param("dst").Base(), GP64()), Load(Param("dstStep"), GP64())
	src, srcStep := Load(Param("src").Base(), GP64()), Load(Param("srcStep"), GP64())
	lanes, scales, steps := Load(Param("lanes"), GP64()), scalesOf(), GP64()
	SHLQ(Imm(2), dstStep)
	MOVQ(U32(8), steps)
	c.tables()
	Label("row")
	VBROADCASTSS(Mem{Base: scales}, Y1)
	lane, from := GP64(), GP64()
	XORQ(lane, lane)
	MOVQ(src, from)
	Label("vector")
	c.load(Mem{Base: from}, Y0)
	VMULPS(Y1, Y0, Y0)
	VMOVUPS(Y0, Mem{Base: dst, Index: lane, Scale: 4})
	ADDQ(Imm(uint64(c.bytes(8))), from)
	ADDQ(Imm(8), lane)
	CMPQ(lane, lanes)
	JLT(LabelRef("vector"))
	ADDQ(srcStep, src)
	ADDQ(dstStep, dst)
	ADDQ(Imm(4), scales)
	SUBQ(Imm(1), steps)
	JNZ(LabelRef("row"))
	VZEROUPPER()
	RET()
}

// dotCodes writes the inner loop of products with few rows. The sums of a block are
// made of its codes and then scaled.
func dotCodes(c coded) {
	name := "dot" + c.suffix
	TEXT(name, NOSPLIT|NOFRAME, "func(x []float32, src []"+c.goType+", scales []float32) float32")
	Pragma("noescape")
	Doc(name + " is coding.dot.")
	x, rounds := Load(Param("x").Base(), GP64()), Load(Param("x").Len(), GP64())
	src, scales := Load(Param("src").Base(), GP64()), Load(Param("scales").Base(), GP64())
	SHRQ(Imm(3), rounds)
	c.tables()
	zero(Y0)
	if c.packed == 0 {
		c.dotRow(x, src, rounds)
		VBROADCASTSS(Mem{Base: scales}, Y6)
		VMULPS(Y6, Y0, Y0)
	} else {
		SHRQ(Imm(3), rounds)
		c.dotBlocks(x, src, scales, rounds)
	}
	VEXTRACTF128(Imm(1), Y0, X1)
	VADDPS(X1, X0, X0)
	VHADDPS(X0, X0, X0)
	VHADDPS(X0, X0, X0)
	VMOVSS(X0, returned())
	VZEROUPPER()
	RET()
}

// dotRow sums a row of rounds times 8 codes that have one scale.
func (c coded) dotRow(x, src, rounds Register) {
	sums := []VecPhysical{Y0, Y1, Y2, Y3}
	for _, sum := range sums[1:] {
		zero(sum)
	}
	fours := GP64()
	MOVQ(rounds, fours)
	SHRQ(Imm(2), fours)
	JZ(LabelRef("rest"))
	Label("fours")
	for i, sum := range sums {
		c.load(Mem{Base: src, Disp: c.bytes(8 * i)}, Y4)
		VFMADD231PS(Mem{Base: x, Disp: 32 * i}, Y4, sum)
	}
	ADDQ(Imm(uint64(c.bytes(32))), src)
	ADDQ(Imm(128), x)
	SUBQ(Imm(1), fours)
	JNZ(LabelRef("fours"))
	Label("rest")
	ANDQ(Imm(3), rounds)
	JZ(LabelRef("sum"))
	Label("one")
	c.load(Mem{Base: src}, Y4)
	VFMADD231PS(Mem{Base: x}, Y4, Y0)
	ADDQ(Imm(uint64(c.bytes(8))), src)
	ADDQ(Imm(32), x)
	SUBQ(Imm(1), rounds)
	JNZ(LabelRef("one"))
	Label("sum")
	VADDPS(Y1, Y0, Y0)
	VADDPS(Y3, Y2, Y2)
	VADDPS(Y2, Y0, Y0)
}

// dotBlocks sums blocks of 64 codes, each with a scale.
func (c coded) dotBlocks(x, src, scales, blocks Register) {
	TESTQ(blocks, blocks)
	JZ(LabelRef("sum"))
	Label("block")
	sums := []VecPhysical{Y2, Y3}
	for i := range 8 {
		c.load(Mem{Base: src, Disp: c.bytes(8 * i)}, Y4)
		if m := (Mem{Base: x, Disp: 32 * i}); i < len(sums) {
			VMULPS(m, Y4, sums[i])
		} else {
			VFMADD231PS(m, Y4, sums[i%2])
		}
	}
	VADDPS(Y3, Y2, Y2)
	VBROADCASTSS(Mem{Base: scales}, Y5)
	VFMADD231PS(Y5, Y2, Y0)
	ADDQ(Imm(uint64(c.bytes(64))), src)
	ADDQ(U32(256), x)
	ADDQ(Imm(4), scales)
	SUBQ(Imm(1), blocks)
	JNZ(LabelRef("block"))
	Label("sum")
}
