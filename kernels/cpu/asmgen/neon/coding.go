package main

import (
	"math"

	"bdlora/kernels/cpu/asmgen/numbers"
)

const nf4Table = "nf4Bytes"

// codings writes the loops that read weights of few bits.
func codings(a *assembly) {
	a.table(nf4Table, nf4Bytes())
	for _, f := range []format{int8s, nf4} {
		interleaveCodes(a, f)
		copyCodes(a, f)
		dotCodes(a, f)
	}
}

// nf4Bytes are the first bytes of the sixteen numbers, then the second ones, and so
// on.
func nf4Bytes() []uint32 {
	words := make([]uint32, 16)
	for i, x := range numbers.NF4Map {
		for plane := range 4 {
			words[4*plane+i/4] |= math.Float32bits(x) >> (8 * plane) & 0xff << (8 * (i % 4))
		}
	}
	return words
}

// scales points to the eight scales of a packer.
func (d decoder) scales() gp {
	scales := d.gp()
	d.op("MOVD", "$"+d.arg("scales_0"), scales)
	return scales
}

// interleaveCodes writes the packer of eight lanes that are contiguous along the
// steps.
func interleaveCodes(a *assembly, f format) {
	signature := "func(dst []float32, dstStep int, src []" + f.goType + ", lane, steps int, scales [8]float32)"
	a.routine("interleave8"+f.suffix+"NEON", signature, "is coding.interleave8.", func(r *routine) {
		d, scales := newDecoder(r, f), r.vecs(2)
		r.op("FLDPQ", d.scales().at(0), pair(scales[0], scales[1]))
		d.interleave(8, scales)
	})
}

// copyCodes writes the packer of eight steps of lanes that lie side by side.
func copyCodes(a *assembly, f format) {
	signature := "func(dst []float32, dstStep int, src []" + f.goType + ", srcStep, lanes int, scales [8]float32)"
	a.routine("copyRows8"+f.suffix+"NEON", signature, "is coding.copyRows8.", func(r *routine) {
		d, scale, low, high := newDecoder(r, f), r.vecs(1), r.vec(), r.vec()
		dst, dstStep := r.load("dst_base"), r.loadBytes("dstStep", f32)
		src, srcStep := r.load("src_base"), r.loadBytes("srcStep", f)
		lanes, scales, steps, to, from, left := r.load("lanes"), d.scales(), r.gp(), r.gp(), r.gp(), r.gp()
		r.op("LSR", imm(3), lanes, lanes)
		r.op("MOVD", imm(8), steps)
		r.repeat("step", steps, func() {
			r.broadcasts(scale, scales)
			r.op("MOVD", dst, to)
			r.op("MOVD", src, from)
			r.op("MOVD", lanes, left)
			r.repeat("eight", left, func() {
				d.load8(low, high, from)
				r.fmul(low, low, scale[0])
				r.fmul(high, high, scale[0])
				r.op("FSTPQ.P", pair(low, high), to.at(32))
			})
			r.op("ADD", dstStep, dst, dst)
			r.op("ADD", srcStep, src, src)
		})
	})
}

// dotCodes writes the inner loop of products with few rows. The sum of numbers that
// share a scale is made of their codes and then scaled.
func dotCodes(a *assembly, f format) {
	signature := "func(x []float32, src []" + f.goType + ", scales []float32) float32"
	a.routine("dot"+f.suffix+"NEON", signature, "is coding.dot.", func(r *routine) {
		d, floats := newDecoder(r, f), newDecoder(r, f32)
		x, src, scales := r.load("x_base"), r.load("src_base"), r.load("scales_base")
		blocks, rounds, left := r.load("scales_len"), r.load("x_len"), r.gp()
		r.op("LSR", imm(3), rounds, rounds)
		r.op("UDIV", blocks, rounds, rounds)
		total, sums, scale := r.sums(1), r.vecs(2), r.vecs(1)
		xLow, xHigh, low, high := r.vec(), r.vec(), r.vec(), r.vec()
		r.repeat("block", blocks, func() {
			r.zero(sums[0])
			r.zero(sums[1])
			r.op("MOVD", rounds, left)
			r.repeat("eight", left, func() {
				floats.load8(xLow, xHigh, x)
				d.load8(low, high, src)
				r.fmla(sums[0], xLow, low)
				r.fmla(sums[1], xHigh, high)
			})
			r.fadd(sums[0], sums[0], sums[1])
			r.broadcasts(scale, scales)
			r.fmla(total[0], sums[0], scale[0])
		})
		r.returnSum(total)
	})
}
