// Command asmgen writes the AVX2 and AVX-512 inner loops of package cpu. It is a
// module of its own, so that its assembler library stays out of users' module
// graphs; its output is checked in.
//
// Every routine ends in VZEROUPPER and uses VEX or EVEX forms only: one legacy SSE
// instruction between dirty upper halves costs hundreds of nanoseconds. No routine
// checks a length but the one that it loops over.
package main

import (
	. "github.com/mmcloughlin/avo/build"
)

func main() {
	ConstraintExpr("amd64,!purego")
	tables()

	for _, t := range tileShapes {
		tile(t)
	}

	interleave(8, f32)
	interleave(8, bf16)
	interleave(8, f16)
	interleave(6, f32)
	copyRows(f32)
	copyRows(bf16)
	copyRows(f16)
	dots4(f32)
	dots4(bf16)
	dots4(f16)

	widen(bf16)
	widen(f16)
	for _, w := range []width{avx2, avx512} {
		w.reductions()
		w.maps()
		w.exponentials()
		w.optimizer()
		w.dropout()
		w.attention()
	}
	codings()
	terms()
	peaks()
	pause()
	Generate()
}

func pause() {
	TEXT("pauseAVX2", NOSPLIT, "func()")
	Doc("pauseAVX2 tells the processor that the caller spins.")
	for range 8 {
		PAUSE()
	}
	RET()
}
