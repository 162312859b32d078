// Command neon writes the NEON inner loops of package cpu, for arm64, in the syntax
// of Go's assembler. It is asmgen's sibling: avo knows amd64 only. Its output is
// checked in.
//
// Methods that write an instruction name its destination first, then its sources.
// No routine checks a length but the one that it loops over.
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	out := flag.String("out", "", "`file` for the assembly")
	stubs := flag.String("stubs", "", "`file` for the Go declarations")
	pkg := flag.String("pkg", "", "`package` of the declarations")
	flag.Parse()

	a := newAssembly("arm64 && !purego", *pkg)
	everything(a)
	if err := a.write(*out, *stubs); err != nil {
		fmt.Fprintln(os.Stderr, "neon:", err)
		os.Exit(1)
	}
}

func everything(a *assembly) {
	tile(a)

	interleave(a, 8, f32)
	interleave(a, 8, bf16)
	interleave(a, 8, f16)
	interleave(a, 6, f32)
	for _, f := range []format{f32, bf16, f16} {
		copyRows(a, f)
		dots4(a, f)
	}
	widen(a, bf16)
	widen(a, f16)
	codings(a)

	reductions(a)
	maps(a)
	exponentials(a)
	attention(a)
	optimizer(a)
	peaks(a)
	pause(a)
}

func pause(a *assembly) {
	a.routine("pauseNEON", "func()", "tells the processor that the caller spins.", func(r *routine) {
		for range 16 { // YIELD does nothing on most processors
			r.op("ISB", imm(15))
		}
	})
}
