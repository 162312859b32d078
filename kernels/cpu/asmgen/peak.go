package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// peakChains are the sums that multiply-adds go to in turn: enough to hide the
// latency of four to five cycles of two units.
const peakChains = 12

// peaks writes the loops that measure what the processor can do.
func peaks() {
	peak("peakAVX2", yVectors)
	peak("peakAVX512", zVectors)
	read()
}

// peak writes a loop of fused multiply-adds that touches no memory.
func peak(name string, vectors []VecPhysical) {
	TEXT(name, NOSPLIT|NOFRAME, "func(rounds int) float32")
	Doc(name + " is routines.peak.")
	rounds := Load(Param("rounds"), GP64())
	for _, v := range vectors[:peakChains+2] {
		zero(v)
	}
	Label("loop")
	for range 2 {
		for _, sum := range vectors[:peakChains] {
			VFMADD231PS(vectors[peakChains], vectors[peakChains+1], sum)
		}
	}
	SUBQ(Imm(1), rounds)
	JNZ(LabelRef("loop"))
	returnLane(vectors[0].AsX())
	VZEROUPPER()
	RET()
}

// read writes a loop that loads numbers and does next to nothing with them.
func read() {
	TEXT("readAVX2", NOSPLIT|NOFRAME, "func(x []float32) float32")
	Pragma("noescape")
	Doc("readAVX2 is routines.read.")
	x, rounds := Load(Param("x").Base(), GP64()), Load(Param("x").Len(), GP64())
	seen := []VecPhysical{Y0, Y1, Y2, Y3, Y4, Y5, Y6, Y7}
	for _, v := range seen {
		zero(v)
	}
	SHRQ(Imm(6), rounds)
	JZ(LabelRef("done"))
	Label("loop")
	for i, v := range seen {
		VORPS(Mem{Base: x, Disp: 32 * i}, v, v)
	}
	ADDQ(U32(256), x)
	SUBQ(Imm(1), rounds)
	JNZ(LabelRef("loop"))
	Label("done")
	for _, v := range seen[1:] {
		VORPS(v, Y0, Y0)
	}
	returnLane(X0)
	VZEROUPPER()
	RET()
}

// returnLane stores the first lane of x.
func returnLane(x Register) {
	result, err := ReturnIndex(0).Resolve()
	if err != nil {
		panic(err)
	}
	VMOVSS(x, result.Addr)
}
