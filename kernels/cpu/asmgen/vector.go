package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// vectors is one round of a loop over slices of equal length: eight numbers of
// each, or in the last round the 1 to 7 that are left, under a mask.
type vectors struct {
	at   map[string]Register
	mask VecVirtual // nil in a full round
}

func (v vectors) load(slice string) VecVirtual {
	y := YMM()
	if v.mask == nil {
		VMOVUPS(Mem{Base: v.at[slice]}, y)
	} else {
		VMASKMOVPS(Mem{Base: v.at[slice]}, v.mask, y)
	}
	return y
}

func (v vectors) store(slice string, y VecVirtual) {
	if v.mask == nil {
		VMOVUPS(y, Mem{Base: v.at[slice]})
	} else {
		VMASKMOVPS(y, v.mask, Mem{Base: v.at[slice]})
	}
}

// each writes the loop over the slices, as long as the first of them. It writes
// body twice: for full rounds and for the last one.
func each(slices []string, body func(v vectors)) {
	v := vectors{at: map[string]Register{}}
	for _, s := range slices {
		v.at[s] = Load(Param(s).Base(), GP64())
	}
	left := Load(Param(slices[0]).Len(), GP64())
	SUBQ(Imm(8), left)
	JL(LabelRef("last"))
	Label("full")
	body(v)
	for _, s := range slices {
		ADDQ(Imm(32), v.at[s])
	}
	SUBQ(Imm(8), left)
	JGE(LabelRef("full"))
	Label("last")
	ADDQ(Imm(8), left)
	JZ(LabelRef("done"))
	masks := GP64()
	LEAQ(constant("mask"), masks)
	NEGQ(left)
	v.mask = YMM()
	VMOVUPS(Mem{Base: masks, Index: left, Scale: 4, Disp: 32}, v.mask)
	body(v)
	Label("done")
}

// vectorFunc writes a function that loops over slices.
func vectorFunc(name, signature string, write func()) {
	TEXT(name+"AVX2", NOSPLIT, signature)
	Pragma("noescape")
	Doc(name + "AVX2 is routines." + name + ".")
	write()
	VZEROUPPER()
	RET()
}

// broadcast is a scalar parameter in every lane.
func broadcast(param string) VecVirtual {
	y := YMM()
	p, err := Param(param).Resolve()
	if err != nil {
		panic(err)
	}
	VBROADCASTSS(p.Addr, y)
	return y
}

func zeros() VecVirtual {
	y := YMM()
	VXORPS(y, y, y)
	return y
}

// returnSum stores the sum of the lanes of y, which it destroys.
func returnSum(y VecVirtual) {
	returnFolded(y, func(a, b VecVirtual) { VADDPS(a.AsX(), b.AsX(), b.AsX()) })
}

// returnFolded stores what fold makes of the lanes of y, half onto half.
func returnFolded(y VecVirtual, fold func(a, b VecVirtual)) {
	t := YMM()
	VEXTRACTF128(Imm(1), y, t.AsX())
	fold(t, y)
	VMOVHLPS(y.AsX(), y.AsX(), t.AsX())
	fold(t, y)
	VMOVSHDUP(y.AsX(), t.AsX())
	fold(t, y)
	result, err := ReturnIndex(0).Resolve()
	if err != nil {
		panic(err)
	}
	VMOVSS(y.AsX(), result.Addr)
}

// widen writes the decoder of a 16-bit format.
func widen(f format) {
	name := "widen" + f.suffix + "AVX2"
	TEXT(name, NOSPLIT|NOFRAME, "func(dst []float32, src []uint16)")
	Pragma("noescape")
	Doc(name + " decodes src into dst. Numbers beyond a multiple of 8 are left out.")
	dst, src := Load(Param("dst").Base(), GP64()), Load(Param("src").Base(), GP64())
	rounds := Load(Param("src").Len(), GP64())
	SHRQ(Imm(3), rounds)
	JZ(LabelRef("done"))
	Label("loop")
	f.load(Mem{Base: src}, Y0)
	VMOVUPS(Y0, Mem{Base: dst})
	ADDQ(Imm(16), src)
	ADDQ(Imm(32), dst)
	SUBQ(Imm(1), rounds)
	JNZ(LabelRef("loop"))
	Label("done")
	VZEROUPPER()
	RET()
}

// reductions writes what makes one number of slices.
func reductions() {
	vectorFunc("dot", "func(x, y []float32) float32", func() {
		sum := zeros()
		each([]string{"x", "y"}, func(v vectors) { VFMADD231PS(v.load("x"), v.load("y"), sum) })
		returnSum(sum)
	})
	vectorFunc("dot3", "func(x, y, z []float32) float32", func() {
		sum := zeros()
		each([]string{"x", "y", "z"}, func(v vectors) {
			xy := v.load("x")
			VMULPS(v.load("y"), xy, xy)
			VFMADD231PS(v.load("z"), xy, sum)
		})
		returnSum(sum)
	})
	vectorFunc("largest", "func(x []float32) float32", func() {
		low, most := YMM(), YMM()
		VMOVUPS(constant("-inf"), low)
		VMOVUPS(low, most)
		each([]string{"x"}, func(v vectors) {
			x := v.load("x")
			if v.mask != nil {
				VBLENDVPS(v.mask, x, low, x)
			}
			VMAXPS(x, most, most)
		})
		returnFolded(most, func(a, b VecVirtual) { VMAXPS(a.AsX(), b.AsX(), b.AsX()) })
	})
}

// maps writes what makes slices of slices by products and sums.
func maps() {
	vectorFunc("addScaled", "func(y, x []float32, factor float32)", func() {
		factor := broadcast("factor")
		each([]string{"y", "x"}, func(v vectors) {
			y := v.load("y")
			VFMADD231PS(v.load("x"), factor, y)
			v.store("y", y)
		})
	})
	vectorFunc("scale", "func(y []float32, factor float32)", func() {
		factor := broadcast("factor")
		each([]string{"y"}, func(v vectors) {
			y := v.load("y")
			VMULPS(factor, y, y)
			v.store("y", y)
		})
	})
	vectorFunc("scaledProduct", "func(y, x, gain []float32, factor float32)", func() {
		factor := broadcast("factor")
		each([]string{"y", "x", "gain"}, func(v vectors) {
			x := v.load("x")
			VMULPS(factor, x, x)
			VMULPS(v.load("gain"), x, x)
			v.store("y", x)
		})
	})
	vectorFunc("normBackward", "func(dx, dy, x, gain []float32, inv, pull float32)", func() {
		inv, pull := broadcast("inv"), broadcast("pull")
		each([]string{"dx", "dy", "x", "gain"}, func(v vectors) {
			dx, dy := v.load("dx"), v.load("dy")
			VMULPS(v.load("gain"), dy, dy)
			VFMADD231PS(inv, dy, dx)
			VFNMADD231PS(v.load("x"), pull, dx)
			v.store("dx", dx)
		})
	})
	vectorFunc("scoreBackward", "func(ds, p []float32, shift, factor float32)", func() {
		shift, factor := broadcast("shift"), broadcast("factor")
		each([]string{"ds", "p"}, func(v vectors) {
			ds := v.load("ds")
			VSUBPS(shift, ds, ds)
			VMULPS(factor, ds, ds)
			VMULPS(v.load("p"), ds, ds)
			v.store("ds", ds)
		})
	})
	vectorFunc("rotate", "func(a, b, cos, sin []float32)", func() {
		each([]string{"a", "b", "cos", "sin"}, func(v vectors) {
			a, b, cos, sin := v.load("a"), v.load("b"), v.load("cos"), v.load("sin")
			turnedA, turnedB := YMM(), YMM()
			VMULPS(sin, b, turnedA)
			VFMSUB231PS(cos, a, turnedA)
			VMULPS(sin, a, turnedB)
			VFMADD231PS(cos, b, turnedB)
			v.store("a", turnedA)
			v.store("b", turnedB)
		})
	})
}
