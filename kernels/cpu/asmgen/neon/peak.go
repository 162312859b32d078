package main

// peaks writes the loops that measure what the processor can do.
func peaks(a *assembly) {
	a.routine("peakNEON", "func(rounds int) float32", "is routines.peak.", func(r *routine) {
		rounds, sums, x, y := r.load("rounds"), r.sums(tileRows*4), r.zeros(), r.zeros()
		r.repeat("round", rounds, func() {
			for _, sum := range sums {
				r.fmlaLane(sum, x, y, 0)
			}
		})
		r.returns("FMOVS", sums[0])
	})
	a.routine("readNEON", "func(x []float32) float32", "is routines.read.", func(r *routine) {
		x, rounds, seen, read := r.load("x_base"), r.load("x_len"), r.sums(8), r.vecs(8)
		r.op("LSR", imm(6), rounds, rounds)
		r.repeat("round", rounds, func() {
			for half := range 2 {
				for i := 0; i < len(read); i += 2 {
					r.op("FLDPQ", x.at(128*half+16*i), pair(read[i], read[i+1]))
				}
				for i, v := range read {
					r.or(seen[i], seen[i], v)
				}
			}
			r.op("ADD", imm(256), x, x)
		})
		for _, v := range seen[1:] {
			r.or(seen[0], seen[0], v)
		}
		r.returns("FMOVS", seen[0])
	})
}
