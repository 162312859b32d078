package main

import "fmt"

// interleave writes the packer of lanes that are contiguous along the steps: it
// transposes blocks of lanes, as many steps at a time as a register holds.
func interleave(a *assembly, lanes int, f format) {
	name := fmt.Sprintf("interleave%d%sNEON", lanes, f.suffix)
	signature := "func(dst []float32, dstStep int, src []" + f.goType + ", lane, steps int)"
	doc := fmt.Sprintf("is packing.interleave%d. Steps beyond a\nmultiple of 8 are left out.", lanes)
	a.routine(name, signature, doc, func(r *routine) { newDecoder(r, f).interleave(lanes, nil) })
}

// interleave multiplies each lane by its scale, if there are scales.
func (d decoder) interleave(lanes int, scales []vec) {
	dst, dstStep := d.load("dst_base"), d.loadBytes("dstStep", f32)
	from, rounds := d.lanes(lanes), d.load("steps")
	d.op("LSR", imm(3), rounds, rounds)
	if d.format == f32 { // of which a register holds four steps
		d.op("LSL", imm(1), rounds, rounds)
	}
	rows, spare := d.vecs(8), d.vecs(8) // rows beyond lanes are of anything
	d.repeat("block", rounds, func() {
		for i, p := range from {
			if d.format == f32 {
				d.op("FMOVQ.P", p.at(16), rows[i].f())
			} else {
				d.load16(rows[i], p)
			}
		}
		d.eachStep(rows, spare, func(low, high vec) {
			if scales != nil {
				d.fmul(low, low, scales[0])
				d.fmul(high, high, scales[1])
			}
			d.storeLanes(low, high, dst, lanes)
			d.op("ADD", dstStep, dst, dst)
		})
	})
}

// lanes are pointers to src and on, lane numbers apart.
func (d decoder) lanes(n int) []gp {
	from, lane := []gp{d.load("src_base")}, d.loadBytes("lane", d.format)
	for len(from) < n {
		next := d.gp()
		d.op("ADD", lane, from[len(from)-1], next)
		from = append(from, next)
	}
	return from
}

// eachStep turns rows of eight lanes into steps, of eight float32 each.
func (d decoder) eachStep(rows, spare []vec, do func(low, high vec)) {
	if d.format == f32 {
		lows := d.transpose(rows[:4], spare[:4], "S4", "D2")
		highs := d.transpose(rows[4:], spare[4:], "S4", "D2")
		for s := range lows {
			do(lows[s], highs[s])
		}
		return
	}
	low := d.vec()
	for _, step := range d.transpose(rows, spare, "H8", "S4", "D2") {
		d.widen(low, step, step)
		do(low, step)
	}
}

// storeLanes writes the first lanes of eight numbers and not one more: what follows
// may be a panel that another thread has packed.
func (d decoder) storeLanes(low, high vec, dst gp, lanes int) {
	if lanes == 8 {
		d.op("FSTPQ", pair(low, high), dst.at(0))
		return
	}
	d.op("FMOVQ", low.f(), dst.at(0))
	d.op("FMOVD", high.f(), dst.at(16))
}

// transpose returns the columns of rows, in rows or in spare. It swaps halves of 2×2
// blocks: of numbers, of pairs of them, and so on, as the arrangements say.
func (r *routine) transpose(rows, spare []vec, arrangements ...string) []vec {
	for stage, arrangement := range arrangements {
		apart := 1 << stage
		for i := range rows {
			if i&apart == 0 {
				top, bottom := rows[i].lanes(arrangement), rows[i+apart].lanes(arrangement)
				r.op("VTRN1", bottom, top, spare[i].lanes(arrangement))
				r.op("VTRN2", bottom, top, spare[i+apart].lanes(arrangement))
			}
		}
		rows, spare = spare, rows
	}
	return rows
}

// copyRows writes the packer of lanes that lie side by side.
func copyRows(a *assembly, f format) {
	signature := "func(dst []float32, lanes int, src []" + f.goType + ", srcStep, steps int)"
	a.routine("copyRows"+f.suffix+"NEON", signature, "is packing.copyRows.", func(r *routine) {
		d := newDecoder(r, f)
		dst, lanes := r.load("dst_base"), r.load("lanes")
		src, srcStep, steps := r.load("src_base"), r.loadBytes("srcStep", f), r.load("steps")
		from, left, low, high := r.gp(), r.gp(), r.vec(), r.vec()
		r.op("LSR", imm(3), lanes, lanes)
		r.repeat("row", steps, func() {
			r.op("MOVD", src, from)
			r.op("MOVD", lanes, left)
			r.repeat("eight", left, func() {
				d.load8(low, high, from)
				r.op("FSTPQ.P", pair(low, high), dst.at(32))
			})
			r.op("ADD", srcStep, src, src)
		})
	})
}

// dots4 writes the inner loop of products with few rows.
func dots4(a *assembly, f format) {
	signature := "func(dst, x []float32, src []" + f.goType + ", lane int)"
	doc := "is packing.dots4. Steps beyond a multiple of 8 are left out."
	a.routine("dots4"+f.suffix+"NEON", signature, doc, func(r *routine) {
		d, floats := newDecoder(r, f), newDecoder(r, f32)
		dst, x, rounds, rows := r.load("dst_base"), r.load("x_base"), r.load("x_len"), d.lanes(4)
		sums := r.sums(8) // of the first and the last four of eight steps
		xLow, xHigh, low, high := r.vec(), r.vec(), r.vec(), r.vec()
		r.op("LSR", imm(3), rounds, rounds)
		r.repeat("eight", rounds, func() {
			floats.load8(xLow, xHigh, x)
			for i, row := range rows {
				d.load8(low, high, row)
				r.fmla(sums[2*i], xLow, low)
				r.fmla(sums[2*i+1], xHigh, high)
			}
		})
		for ; len(sums) > 1; sums = sums[:len(sums)/2] {
			for i := range len(sums) / 2 {
				r.faddp(sums[i], sums[2*i], sums[2*i+1])
			}
		}
		r.op("FMOVQ", sums[0].f(), dst.at(0))
	})
}

// widen writes the decoder of a 16-bit format.
func widen(a *assembly, f format) {
	doc := "decodes src into dst. Numbers beyond a multiple of 8 are left out."
	a.routine("widen"+f.suffix+"NEON", "func(dst []float32, src []uint16)", doc, func(r *routine) {
		d := newDecoder(r, f)
		dst, src, rounds := r.load("dst_base"), r.load("src_base"), r.load("src_len")
		low, high := r.vec(), r.vec()
		r.op("LSR", imm(3), rounds, rounds)
		r.repeat("eight", rounds, func() {
			d.load8(low, high, src)
			r.op("FSTPQ.P", pair(low, high), dst.at(32))
		})
	})
}
