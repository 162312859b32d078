package main

// vectors is one round of a loop over slices of equal length: four numbers of each,
// or one in lane 0 before zeros.
type vectors struct {
	*routine
	at     map[string]gp
	stored map[string]bool
	single bool
}

// load reads the round's part of a slice, once.
func (v vectors) load(slice string) vec {
	y := v.vec()
	if v.stored[slice] { // and moves on then
		v.op(v.mnemonic(), v.at[slice].at(0), y.f())
	} else {
		v.op(v.mnemonic()+".P", v.at[slice].at(v.bytes()), y.f())
	}
	return y
}

// store writes the round's part of a slice, once and after it is loaded.
func (v vectors) store(slice string, y vec) {
	v.op(v.mnemonic()+".P", y.f(), v.at[slice].at(v.bytes()))
}

func (v vectors) mnemonic() string {
	if v.single {
		return "FMOVS"
	}
	return "FMOVQ"
}

func (v vectors) bytes() int {
	if v.single {
		return 4
	}
	return 16
}

// only clears what is not of the slices.
func (v vectors) only(y vec) {
	if v.single {
		v.op("FMOVS", y.f(), y.f())
	}
}

// each writes the loop over slices, as long as the first one. Those of to are stored.
func (r *routine) each(to, from []string, body func(v vectors)) {
	r.eachOf(1, to, from, func(v vectors, _ int) { body(v) })
}

// eachOf is each with several vectors a round as far as they go, so that sums in as
// many registers need not wait for each other.
func (r *routine) eachOf(chains int, to, from []string, body func(v vectors, chain int)) {
	v := vectors{routine: r, at: map[string]gp{}, stored: map[string]bool{}}
	for _, s := range to {
		v.at[s], v.stored[s] = r.load(s+"_base"), true
	}
	for _, s := range from {
		v.at[s] = r.load(s + "_base")
	}
	left := r.load(append(to, from...)[0] + "_len")
	if chains > 1 {
		r.whole("chains", 4*chains, left, func() {
			for chain := range chains {
				r.scoped(func() { body(v, chain) })
			}
		})
	}
	r.whole("full", 4, left, func() { r.scoped(func() { body(v, 0) }) })
	v.single = true
	r.repeat("single", left, func() { r.scoped(func() { body(v, 0) }) })
}

// whole writes the loop that does size numbers a round while as many are left.
func (r *routine) whole(name string, size int, left gp, body func()) {
	r.op("SUBS", imm(size), left, left)
	r.op("BLT", name+"Done")
	r.label(name)
	body()
	r.op("SUBS", imm(size), left, left)
	r.op("BGE", name)
	r.label(name + "Done")
	r.op("ADD", imm(size), left, left)
}

// vectorFunc writes a function that loops over slices.
func vectorFunc(a *assembly, name, signature string, write func(r *routine)) {
	a.routine(name+"NEON", signature, "is routines."+name+".", write)
}

// sums are registers of zeros for a sum in several chains.
func (r *routine) sums(chains int) []vec {
	sums := r.vecs(chains)
	for _, sum := range sums {
		r.zero(sum)
	}
	return sums
}

// returnSum returns the sum of all lanes; the number of chains is a power of two.
func (r *routine) returnSum(chains []vec) {
	for ; len(chains) > 1; chains = chains[:len(chains)/2] {
		for i := range len(chains) / 2 {
			r.fadd(chains[i], chains[2*i], chains[2*i+1])
		}
	}
	r.faddp(chains[0], chains[0], chains[0])
	r.faddp(chains[0], chains[0], chains[0])
	r.returns("FMOVS", chains[0])
}

// reductions writes what makes one number of slices.
func reductions(a *assembly) {
	const chains = 4
	vectorFunc(a, "dot", "func(x, y []float32) float32", func(r *routine) {
		sums := r.sums(chains)
		r.eachOf(chains, nil, []string{"x", "y"}, func(v vectors, chain int) {
			v.fmla(sums[chain], v.load("x"), v.load("y"))
		})
		r.returnSum(sums)
	})
	vectorFunc(a, "dot3", "func(x, y, z []float32) float32", func(r *routine) {
		sums := r.sums(chains)
		r.eachOf(chains, nil, []string{"x", "y", "z"}, func(v vectors, chain int) {
			xy := v.load("x")
			v.fmul(xy, xy, v.load("y"))
			v.fmla(sums[chain], xy, v.load("z"))
		})
		r.returnSum(sums)
	})
	vectorFunc(a, "largest", "func(x []float32) float32", func(r *routine) {
		most := r.vec()
		r.op("VMOVI", imm(0xff), most.lanes("B16"))
		r.op("VSHL", imm(23), most.s4(), most.s4()) // sign and exponent: −∞
		r.each(nil, []string{"x"}, func(v vectors) {
			x := v.load("x")
			if v.single {
				v.op("VDUP", x.lanes("S[0]"), x.s4())
			}
			v.fmax(most, most, x)
		})
		r.fmaxv(most, most)
		r.returns("FMOVS", most)
	})
}

// maps writes what makes slices of slices by products and sums.
func maps(a *assembly) {
	vectorFunc(a, "addScaled", "func(y, x []float32, factor float32)", func(r *routine) {
		factor := r.broadcast("factor")
		r.each([]string{"y"}, []string{"x"}, func(v vectors) {
			y := v.load("y")
			v.fmla(y, v.load("x"), factor)
			v.store("y", y)
		})
	})
	vectorFunc(a, "scale", "func(y []float32, factor float32)", func(r *routine) {
		factor := r.broadcast("factor")
		r.each([]string{"y"}, nil, func(v vectors) {
			y := v.load("y")
			v.fmul(y, y, factor)
			v.store("y", y)
		})
	})
	vectorFunc(a, "scaledProduct", "func(y, x, gain []float32, factor float32)", func(r *routine) {
		factor := r.broadcast("factor")
		r.each([]string{"y"}, []string{"x", "gain"}, func(v vectors) {
			x := v.load("x")
			v.fmul(x, x, factor)
			v.fmul(x, x, v.load("gain"))
			v.store("y", x)
		})
	})
	vectorFunc(a, "normBackward", "func(dx, dy, x, gain []float32, inv, pull float32)", func(r *routine) {
		inv, pull := r.broadcast("inv"), r.broadcast("pull")
		r.each([]string{"dx"}, []string{"dy", "x", "gain"}, func(v vectors) {
			dx, dy := v.load("dx"), v.load("dy")
			v.fmul(dy, dy, v.load("gain"))
			v.fmla(dx, dy, inv)
			v.fmls(dx, v.load("x"), pull)
			v.store("dx", dx)
		})
	})
	vectorFunc(a, "rotate", "func(a, b, cos, sin []float32)", func(r *routine) {
		r.each([]string{"a", "b"}, []string{"cos", "sin"}, func(v vectors) {
			a, b, cos, sin := v.load("a"), v.load("b"), v.load("cos"), v.load("sin")
			turnedA, turnedB := v.vec(), v.vec()
			v.fmul(turnedA, a, cos)
			v.fmls(turnedA, b, sin)
			v.fmul(turnedB, b, cos)
			v.fmla(turnedB, a, sin)
			v.store("a", turnedA)
			v.store("b", turnedB)
		})
	})
}
