package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// columnPlace is what a column adds to an element's place; see kernels.Dropout.Keep.
const columnPlace = 0xd1b54a32d192ed03

// mixers are the factors of SplitMix64's finaliser and the shifts before them.
var mixers = []struct {
	shift  uint64
	factor uint64
}{{30, 0xbf58476d1ce4e5b9}, {27, 0x94d049bb133111eb}}

// columnOrder is in which order the columns of a round lie in two vectors. That of
// AVX2 is what VSHUFPS, which puts its two masks together, turns into 0 … 7.
var columnOrder = map[width][]uint64{
	avx2:   {0, 1, 4, 5, 2, 3, 6, 7},
	avx512: {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
}

// words are vectors of uint64 that dropout keeps in registers.
type words struct {
	width
	places    [2]VecVirtual
	next      VecVirtual // what a round adds to the places
	threshold VecVirtual
	factors   [2]VecVirtual
	uppers    [2]VecVirtual // the upper halves of factors, for AVX2
	sign      VecVirtual    // for AVX2
}

// dropout writes the routine that draws a mask: two vectors of 64-bit hashes a round.
func (w width) dropout() {
	table := w.columnTable()
	w.vectorFunc("drop", "func(y, x []float32, place, threshold uint64)", func() {
		d := w.newWords(table)
		w.each([]string{"y", "x"}, func(v vectors) {
			low, high := d.hash(d.places[0]), d.hash(d.places[1])
			x := v.load("x")
			d.keep(x, low, high)
			v.store("y", x)
			for _, place := range d.places {
				VPADDQ(d.next, place, place)
			}
		})
	})
}

// columnTable is what the columns of the first round add to the place of the first,
// and then what every further round adds.
func (w width) columnTable() Mem {
	table := GLOBL("dropColumns"+w.suffix, RODATA|NOPTR)
	for i, col := range columnOrder[w] {
		DATA(8*i, U64(col*columnPlace))
	}
	return table
}

func (w width) newWords(columns Mem) words {
	d := words{width: w, next: w.word(uint64(w.lanes()) * columnPlace), threshold: w.wordParam("threshold")}
	for i := range 2 {
		d.places[i] = w.wordParam("place")
		VPADDQ(columns.Offset(w.bytes*i), d.places[i], d.places[i])
		d.factors[i] = w.word(mixers[i].factor)
	}
	if w == avx2 {
		d.uppers = [2]VecVirtual{w.word(mixers[0].factor >> 32), w.word(mixers[1].factor >> 32)}
		d.sign = w.word(1 << 63)
		VPXOR(d.sign, d.threshold, d.threshold)
	}
	return d
}

// word is n in every 64 bits of a register.
func (w width) word(n uint64) VecVirtual {
	g := GP64()
	MOVQ(U64(n), g)
	return w.repeat(g)
}

// wordParam is a parameter in every 64 bits of a register.
func (w width) wordParam(name string) VecVirtual { return w.repeat(Load(Param(name), GP64())) }

func (w width) repeat(g Register) VecVirtual {
	x := w.register()
	VMOVQ(g, x.AsX())
	VPBROADCASTQ(x.AsX(), x)
	return x
}

// hash is SplitMix64's finaliser of place.
func (d words) hash(place VecVirtual) VecVirtual {
	z, t := d.register(), d.register()
	shiftXor := func(shift uint64, x VecVirtual) {
		VPSRLQ(Imm(shift), x, t)
		d.xor(t, x, z)
	}
	shiftXor(mixers[0].shift, place)
	d.multiply(z, 0)
	shiftXor(mixers[1].shift, z)
	d.multiply(z, 1)
	shiftXor(31, z)
	return z
}

func (w width) xor(a, b, y VecVirtual) {
	if w == avx512 {
		VPXORQ(a, b, y)
		return
	}
	VPXOR(a, b, y)
}

// multiply: z *= factor i. AVX2 makes it of products of halves.
func (d words) multiply(z VecVirtual, i int) {
	if d.width == avx512 {
		VPMULLQ(d.factors[i], z, z)
		return
	}
	cross, upper := YMM(), YMM()
	VPSRLQ(Imm(32), z, upper)
	VPMULUDQ(d.factors[i], upper, upper)
	VPMULUDQ(d.uppers[i], z, cross)
	VPADDQ(upper, cross, cross)
	VPSLLQ(Imm(32), cross, cross)
	VPMULUDQ(d.factors[i], z, z)
	VPADDQ(cross, z, z)
}

// keep clears the lanes of x whose hash is below the threshold.
func (d words) keep(x, low, high VecVirtual) {
	if d.width == avx512 {
		const notLess = 5
		lower, upper := K(), K()
		VPCMPUQ(Imm(notLess), d.threshold, low, lower)
		VPCMPUQ(Imm(notLess), d.threshold, high, upper)
		KUNPCKBW(lower, upper, upper)
		VMOVAPS_Z(x, upper, x)
		return
	}
	for _, z := range []VecVirtual{low, high} {
		VPXOR(d.sign, z, z)
		VPCMPGTQ(z, d.threshold, z) // threshold > z
	}
	VSHUFPS(Imm(0x88), high, low, low)
	VANDNPS(x, low, x)
}
