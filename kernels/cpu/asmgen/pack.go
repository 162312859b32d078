package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// format is how the numbers of a source are stored.
type format struct {
	suffix, goType string
	shift          int // log2 of the bytes of a number
}

var (
	f32  = format{"F32", "float32", 2}
	bf16 = format{"BF16", "uint16", 1}
	f16  = format{"F16", "uint16", 1}
)

// load reads eight numbers as float32.
func (f format) load(m Mem, y Register) {
	switch f {
	case f32:
		VMOVUPS(m, y)
	case bf16:
		VPMOVZXWD(m, y)
		VPSLLD(Imm(16), y, y)
	case f16:
		VCVTPH2PS(m, y)
	}
}

// bytes is the size of n numbers.
func (f format) bytes(n int) int { return n << f.shift }

// interleave writes the packer of lanes that are contiguous along the steps: it
// transposes lanes × 8 blocks.
func interleave(lanes int, f format) {
	name := fmt.Sprintf("interleave%d%sAVX2", lanes, f.suffix)
	TEXT(name, NOSPLIT|NOFRAME, "func(dst []float32, dstStep int, src []"+f.goType+", lane, steps int)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s is packing.interleave%d. Steps beyond a", name, lanes), "multiple of 8 are left out.")
	dst, dstStep := Load(Param("dst").Base(), GP64()), Load(Param("dstStep"), GP64())
	src, lane := Load(Param("src").Base(), GP64()), Load(Param("lane"), GP64())
	rounds := Load(Param("steps"), GP64())
	SHLQ(Imm(2), dstStep)
	SHLQ(Imm(uint64(f.shift)), lane)
	SHRQ(Imm(3), rounds)
	JZ(LabelRef("done"))
	lane3, src4 := GP64(), GP64()
	LEAQ(Mem{Base: lane, Index: lane, Scale: 2}, lane3)
	LEAQ(Mem{Base: src, Index: lane, Scale: 4}, src4)
	Label("loop")
	for i := range lanes {
		m := Mem{Base: []Register{src, src4}[i/4]}
		switch i % 4 {
		case 1, 2:
			m.Index, m.Scale = lane, uint8(i%4)
		case 3:
			m.Index, m.Scale = lane3, 1
		}
		f.load(m, ymm[i])
	}
	for i := lanes; i < 8; i++ {
		zero(ymm[i])
	}
	transpose8()
	for i := range 8 {
		storeLanes(ymm[8+i], Mem{Base: dst}, lanes)
		ADDQ(dstStep, dst)
	}
	ADDQ(Imm(uint64(f.bytes(8))), src)
	ADDQ(Imm(uint64(f.bytes(8))), src4)
	SUBQ(Imm(1), rounds)
	JNZ(LabelRef("loop"))
	Label("done")
	VZEROUPPER()
	RET()
}

// storeLanes writes the first lanes numbers of y and not one more: what follows
// may be a panel that another thread has packed.
func storeLanes(y VecPhysical, m Mem, lanes int) {
	if lanes == 8 {
		VMOVUPS(y, m)
		return
	}
	VMOVUPS(y.AsX(), m)
	VEXTRACTF128(Imm(1), y, ymm[0].AsX())
	VMOVSD(ymm[0].AsX(), m.Offset(16))
}

var ymm = []VecPhysical{Y0, Y1, Y2, Y3, Y4, Y5, Y6, Y7, Y8, Y9, Y10, Y11, Y12, Y13, Y14, Y15}

// transpose8 puts column i of the 8×8 block in ymm[0:8] into ymm[8+i].
func transpose8() {
	for i := range 4 {
		VUNPCKLPS(ymm[2*i+1], ymm[2*i], ymm[8+2*i])
		VUNPCKHPS(ymm[2*i+1], ymm[2*i], ymm[9+2*i])
	}
	for half := range 2 { // lanes 0-3, then 4-7: columns i and i+4 share a register
		for i := range 2 {
			low, high := ymm[8+4*half+i], ymm[10+4*half+i]
			VUNPCKLPD(high, low, ymm[4*half+2*i])
			VUNPCKHPD(high, low, ymm[4*half+2*i+1])
		}
	}
	for i := range 4 {
		VPERM2F128(Imm(0x20), ymm[4+i], ymm[i], ymm[8+i])
		VPERM2F128(Imm(0x31), ymm[4+i], ymm[i], ymm[12+i])
	}
}

// copyRows writes the packer of lanes that lie side by side.
func copyRows(f format) {
	name := "copyRows" + f.suffix + "AVX2"
	TEXT(name, NOSPLIT|NOFRAME, "func(dst []float32, lanes int, src []"+f.goType+", srcStep, steps int)")
	Pragma("noescape")
	Doc(name + " is packing.copyRows.")
	dst, lanes := Load(Param("dst").Base(), GP64()), Load(Param("lanes"), GP64())
	src, srcStep := Load(Param("src").Base(), GP64()), Load(Param("srcStep"), GP64())
	steps := Load(Param("steps"), GP64())
	SHLQ(Imm(uint64(f.shift)), srcStep)
	SHRQ(Imm(3), lanes)
	TESTQ(steps, steps)
	JZ(LabelRef("done"))
	Label("row")
	from, left := GP64(), GP64()
	MOVQ(src, from)
	MOVQ(lanes, left)
	Label("vector")
	f.load(Mem{Base: from}, Y0)
	VMOVUPS(Y0, Mem{Base: dst})
	ADDQ(Imm(uint64(f.bytes(8))), from)
	ADDQ(Imm(32), dst)
	SUBQ(Imm(1), left)
	JNZ(LabelRef("vector"))
	ADDQ(srcStep, src)
	SUBQ(Imm(1), steps)
	JNZ(LabelRef("row"))
	Label("done")
	VZEROUPPER()
	RET()
}

// dots4 writes the inner loop of products with few rows.
func dots4(f format) {
	name := "dots4" + f.suffix + "AVX2"
	TEXT(name, NOSPLIT|NOFRAME, "func(dst, x []float32, src []"+f.goType+", lane int)")
	Pragma("noescape")
	Doc(name + " is packing.dots4. Steps beyond a multiple of 8 are left out.")
	dst, x := Load(Param("dst").Base(), GP64()), Load(Param("x").Base(), GP64())
	rounds := Load(Param("x").Len(), GP64())
	src, lane := Load(Param("src").Base(), GP64()), Load(Param("lane"), GP64())
	SHLQ(Imm(uint64(f.shift)), lane)
	SHRQ(Imm(3), rounds)
	lane3 := GP64()
	LEAQ(Mem{Base: lane, Index: lane, Scale: 2}, lane3)
	sums := []VecPhysical{Y0, Y1, Y2, Y3}
	for _, sum := range sums {
		zero(sum)
	}
	TESTQ(rounds, rounds)
	JZ(LabelRef("done"))
	rows := []Mem{{Base: src}, {Base: src, Index: lane, Scale: 1}, {Base: src, Index: lane, Scale: 2},
		{Base: src, Index: lane3, Scale: 1}}
	Label("loop")
	VMOVUPS(Mem{Base: x}, Y4)
	for i, row := range rows {
		if f == f32 {
			VFMADD231PS(row, Y4, sums[i])
			continue
		}
		f.load(row, ymm[5+i])
		VFMADD231PS(ymm[5+i], Y4, sums[i])
	}
	ADDQ(Imm(uint64(f.bytes(8))), src)
	ADDQ(Imm(32), x)
	SUBQ(Imm(1), rounds)
	JNZ(LabelRef("loop"))
	Label("done")
	VHADDPS(Y1, Y0, Y0)
	VHADDPS(Y3, Y2, Y2)
	VHADDPS(Y2, Y0, Y0)
	VEXTRACTF128(Imm(1), Y0, X1)
	VADDPS(X1, X0, X0)
	VMOVUPS(X0, Mem{Base: dst})
	VZEROUPPER()
	RET()
}
