package main

import "fmt"

// Vector instructions by name, each on four float32 unless said. Go's assembler has a
// few of them; the others are words by the formulas of the Arm Architecture Reference
// Manual (DDI 0487, C4.1, Advanced SIMD), with GNU's spelling behind. quad is the bit
// for 128-bit registers, or for the upper half of a source.
const quad = 1 << 30

// word writes an instruction that Go's assembler does not know.
func (r *routine) word(bits uint32, format string, registers ...any) {
	fmt.Fprintf(r.text, "\tWORD $%#08x // %s\n", bits, fmt.Sprintf(format, registers...))
}

// threeSame is the encoding "three same": d = n ∘ m, lane by lane.
func threeSame(u, size, opcode uint32, d, n, m vec) uint32 {
	return quad | u<<29 | 0b01110<<24 | size<<22 | 1<<21 | uint32(m)<<16 | opcode<<11 | 1<<10 | uint32(n)<<5 | uint32(d)
}

// twoRegisters is the encoding "two-register miscellaneous": d = f(n).
func twoRegisters(q, u, size, opcode uint32, d, n vec) uint32 {
	return q | u<<29 | 0b01110<<24 | size<<22 | 0b10000<<17 | opcode<<12 | 0b10<<10 | uint32(n)<<5 | uint32(d)
}

// acrossLanes is the encoding "across lanes": d[0] = n[0] ∘ n[1] ∘ ….
func acrossLanes(u, size, opcode uint32, d, n vec) uint32 {
	return quad | u<<29 | 0b01110<<24 | size<<22 | 0b11000<<17 | opcode<<12 | 0b10<<10 | uint32(n)<<5 | uint32(d)
}

// byElement is the encoding "vector × indexed element" of 32-bit lanes.
func byElement(u, opcode uint32, d, n, m vec, lane int) uint32 {
	low, high := uint32(lane&1), uint32(lane>>1)
	return quad | u<<29 | 0b01111<<24 | 0b10<<22 | low<<21 | uint32(m)<<16 | opcode<<12 | high<<11 |
		uint32(n)<<5 | uint32(d)
}

func (r *routine) three(name string, u, size, opcode uint32, d, n, m vec) {
	r.word(threeSame(u, size, opcode, d, n, m), "%s v%d.4s, v%d.4s, v%d.4s", name, d, n, m)
}

// fadd: d = n + m.
func (r *routine) fadd(d, n, m vec) { r.three("fadd", 0, 0b00, 0b11010, d, n, m) }

// fsub: d = n − m.
func (r *routine) fsub(d, n, m vec) { r.three("fsub", 0, 0b10, 0b11010, d, n, m) }

// fmul: d = n·m.
func (r *routine) fmul(d, n, m vec) { r.three("fmul", 1, 0b00, 0b11011, d, n, m) }

// fdiv: d = n/m.
func (r *routine) fdiv(d, n, m vec) { r.three("fdiv", 1, 0b00, 0b11111, d, n, m) }

// fmax: d is the larger of n and m, or NaN.
func (r *routine) fmax(d, n, m vec) { r.three("fmax", 0, 0b00, 0b11110, d, n, m) }

// fmin: d is the smaller of n and m, or NaN.
func (r *routine) fmin(d, n, m vec) { r.three("fmin", 0, 0b10, 0b11110, d, n, m) }

// fcmgt: the bits of d are ones where n > m, which no NaN is.
func (r *routine) fcmgt(d, n, m vec) { r.three("fcmgt", 1, 0b10, 0b11100, d, n, m) }

// bic: d = n &^ m.
func (r *routine) bic(d, n, m vec) {
	r.word(threeSame(0, 0b01, 0b00011, d, n, m), "bic v%d.16b, v%d.16b, v%d.16b", d, n, m)
}

// faddp: d = (n0 + n1, n2 + n3, m0 + m1, m2 + m3).
func (r *routine) faddp(d, n, m vec) { r.three("faddp", 1, 0b00, 0b11010, d, n, m) }

// fmla: d += n·m, rounded once.
func (r *routine) fmla(d, n, m vec) { r.op("VFMLA", m.s4(), n.s4(), d.s4()) }

// fmlaDouble: d += n·m, two float64, rounded once.
func (r *routine) fmlaDouble(d, n, m vec) { r.op("VFMLA", m.lanes("D2"), n.lanes("D2"), d.lanes("D2")) }

// fmls: d −= n·m, rounded once.
func (r *routine) fmls(d, n, m vec) { r.op("VFMLS", m.s4(), n.s4(), d.s4()) }

// fmlaLane: d += n·m[lane], rounded once.
func (r *routine) fmlaLane(d, n, m vec, lane int) {
	r.word(byElement(0, 0b0001, d, n, m, lane), "fmla v%d.4s, v%d.4s, v%d.s[%d]", d, n, m, lane)
}

func (r *routine) two(name string, u, size, opcode uint32, d, n vec) {
	r.word(twoRegisters(quad, u, size, opcode, d, n), "%s v%d.4s, v%d.4s", name, d, n)
}

// fneg: d = −n.
func (r *routine) fneg(d, n vec) { r.two("fneg", 1, 0b10, 0b01111, d, n) }

// fsqrt: d = √n.
func (r *routine) fsqrt(d, n vec) { r.two("fsqrt", 1, 0b10, 0b11111, d, n) }

// frintn: d is the integer next to n, the even one of two.
func (r *routine) frintn(d, n vec) { r.two("frintn", 0, 0b00, 0b11000, d, n) }

// fcvtns: d is that as an int32.
func (r *routine) fcvtns(d, n vec) { r.two("fcvtns", 0, 0b00, 0b11010, d, n) }

// fmaxv: d[0] is the largest lane of n, or NaN.
func (r *routine) fmaxv(d, n vec) {
	r.word(acrossLanes(1, 0b00, 0b01111, d, n), "fmaxv s%d, v%d.4s", d, n)
}

// fcvtl: low and high are the eight float16 of n as float32; high may be n.
func (r *routine) fcvtl(low, high, n vec) {
	r.word(twoRegisters(0, 0, 0b00, 0b10111, low, n), "fcvtl v%d.4s, v%d.4h", low, n)
	r.word(twoRegisters(quad, 0, 0b00, 0b10111, high, n), "fcvtl2 v%d.4s, v%d.8h", high, n)
}

// fcvtlDouble: low and high are the four float32 of n as float64; high may be n.
func (r *routine) fcvtlDouble(low, high, n vec) {
	r.word(twoRegisters(0, 0, 0b01, 0b10111, low, n), "fcvtl v%d.2d, v%d.2s", low, n)
	r.word(twoRegisters(quad, 0, 0b01, 0b10111, high, n), "fcvtl2 v%d.2d, v%d.4s", high, n)
}

// longShift is the encoding "shift by immediate" of twice as wide a result, here by
// nothing. width is that of the source's lanes, in bits.
func longShift(q, u, width, opcode uint32, d, n vec) uint32 {
	return q | u<<29 | 0b011110<<23 | width<<16 | opcode<<11 | 1<<10 | uint32(n)<<5 | uint32(d)
}

// sxtl: d is the eight int8 of n as int16.
func (r *routine) sxtl(d, n vec) {
	r.word(longShift(0, 0, 8, 0b10100, d, n), "sxtl v%d.8h, v%d.8b", d, n)
}

// sxtlHalves: low and high are the eight int16 of n as int32; high may be n.
func (r *routine) sxtlHalves(low, high, n vec) {
	r.word(longShift(0, 0, 16, 0b10100, low, n), "sxtl v%d.4s, v%d.4h", low, n)
	r.word(longShift(quad, 0, 16, 0b10100, high, n), "sxtl2 v%d.4s, v%d.8h", high, n)
}

// scvtf: d is n, four int32, as float32.
func (r *routine) scvtf(d, n vec) { r.two("scvtf", 0, 0b00, 0b11101, d, n) }

// shll: low and high are the eight 16-bit numbers of n, times 2¹⁶; high may be n.
func (r *routine) shll(low, high, n vec) {
	r.word(twoRegisters(0, 1, 0b01, 0b10011, low, n), "shll v%d.4s, v%d.4h, #16", low, n)
	r.word(twoRegisters(quad, 1, 0b01, 0b10011, high, n), "shll2 v%d.4s, v%d.8h, #16", high, n)
}
