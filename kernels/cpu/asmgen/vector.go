package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// width is the vector of an instruction set.
type width struct {
	suffix string
	bytes  int
}

var (
	avx2   = width{"AVX2", 32}
	avx512 = width{"AVX512", 64}
)

// lanes is how many float32 a vector holds.
func (w width) lanes() int { return w.bytes / 4 }

// register is a vector register of anything.
func (w width) register() VecVirtual {
	if w == avx512 {
		return ZMM()
	}
	return YMM()
}

func (w width) zeros() VecVirtual {
	x := w.register()
	zero(x)
	return x
}

// constant is a vector constant in a register.
func (w width) constant(name string) VecVirtual {
	x := w.register()
	VBROADCASTSS(constant(name), x)
	return x
}

// broadcast is a scalar parameter in every lane.
func (w width) broadcast(param string) VecVirtual {
	x := w.register()
	p, err := Param(param).Resolve()
	if err != nil {
		panic(err)
	}
	VBROADCASTSS(p.Addr, x)
	return x
}

// upperHalf: t = the upper half of the lanes of x.
func (w width) upperHalf(x, t VecVirtual) {
	if w == avx512 {
		VEXTRACTF64X4(Imm(1), x, t.AsY())
		return
	}
	VEXTRACTF128(Imm(1), x, t.AsX())
}

// vectorFunc writes a function that loops over slices.
func (w width) vectorFunc(name, signature string, write func()) {
	TEXT(name+w.suffix, NOSPLIT, signature)
	Pragma("noescape")
	Doc(name + w.suffix + " is routines." + name + ".")
	write()
	VZEROUPPER()
	RET()
}

// vectors is one round of a loop over slices of equal length: a vector of each, or
// in the last round what is left, under a mask.
type vectors struct {
	width
	at     map[string]Register
	last   bool
	mask   VecVirtual // of AVX2
	opmask OpmaskVirtual
}

func (v vectors) load(slice string) VecVirtual {
	x, from := v.register(), Mem{Base: v.at[slice]}
	switch {
	case !v.last:
		VMOVUPS(from, x)
	case v.width == avx512:
		VMOVUPS_Z(from, v.opmask, x)
	default:
		VMASKMOVPS(from, v.mask, x)
	}
	return x
}

func (v vectors) store(slice string, x VecVirtual) {
	to := Mem{Base: v.at[slice]}
	switch {
	case !v.last:
		VMOVUPS(x, to)
	case v.width == avx512:
		VMOVUPS(x, v.opmask, to)
	default:
		VMASKMOVPS(x, v.mask, to)
	}
}

// fill puts other's lanes into those of x that the round has not.
func (v vectors) fill(x, other VecVirtual) {
	switch {
	case !v.last:
	case v.width == avx512:
		VBLENDMPS(x, other, v.opmask, x)
	default:
		VBLENDVPS(v.mask, x, other, x)
	}
}

// takeMask makes the mask of the first left lanes. It destroys left.
func (v *vectors) takeMask(left Register) {
	v.last = true
	if v.width == avx512 {
		ones := GP32()
		MOVL(U32(1<<32-1), ones)
		BZHIL(left.(GPVirtual).As32(), ones, ones)
		v.opmask = K()
		KMOVW(ones, v.opmask)
		return
	}
	masks := GP64()
	LEAQ(constant("mask"), masks)
	NEGQ(left)
	v.mask = YMM()
	VMOVUPS(Mem{Base: masks, Index: left, Scale: 4, Disp: constantBytes}, v.mask)
}

// each writes the loop over the slices, as long as the first of them. It writes
// body twice: for full rounds and for the last one.
func (w width) each(slices []string, body func(v vectors)) {
	v := vectors{width: w, at: map[string]Register{}}
	for _, s := range slices {
		v.at[s] = Load(Param(s).Base(), GP64())
	}
	left := Load(Param(slices[0]).Len(), GP64())
	SUBQ(Imm(uint64(w.lanes())), left)
	JL(LabelRef("last"))
	Label("full")
	body(v)
	for _, s := range slices {
		ADDQ(Imm(uint64(w.bytes)), v.at[s])
	}
	SUBQ(Imm(uint64(w.lanes())), left)
	JGE(LabelRef("full"))
	Label("last")
	ADDQ(Imm(uint64(w.lanes())), left)
	JZ(LabelRef("done"))
	v.takeMask(left)
	body(v)
	Label("done")
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
