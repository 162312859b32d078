package main

// format is how the numbers of a source are stored.
type format struct {
	suffix, goType string
	shift          int // log2 of the bytes of a goType
}

var (
	f32  = format{"F32", "float32", 2}
	bf16 = format{"BF16", "uint16", 1}
	f16  = format{"F16", "uint16", 1}

	int8s = format{"Int8", "int8", 0} // each its own number
	nf4   = format{"NF4", "byte", 0}  // two codes of kernels.NF4Map, the upper half first
)

// bytes is the size of n of its Go type.
func (f format) bytes(n int) int { return n << f.shift }

// decoder reads numbers of a format. All but float32 come as eight 16-bit integers,
// which become eight float32.
type decoder struct {
	*routine
	format
	planes []vec // of nf4: bytes of its numbers
	half   vec   // of nf4: 15 in each byte
}

// newDecoder is a decoder with the tables that it needs.
func newDecoder(r *routine, f format) decoder {
	d := decoder{routine: r, format: f}
	if f == nf4 {
		from := r.gp()
		d.planes, d.half = r.vecs(4), r.vec()
		r.op("MOVD", "$"+nf4Table+"<>(SB)", from)
		r.op("VLD1", from.at(0), list(d.planes, "B16"))
		r.op("VMOVI", imm(15), d.half.lanes("B16"))
	}
	return d
}

// load16 reads eight numbers of fewer bits than 32 and moves from on.
func (d decoder) load16(v vec, from gp) {
	switch d.format {
	case int8s:
		d.op("FMOVD.P", from.at(8), v.f())
		d.sxtl(v, v)
	case nf4:
		d.unpack(v, from)
	default:
		d.op("FMOVQ.P", from.at(16), v.f())
	}
}

// widen makes low and high of the eight numbers of v; high may be v.
func (d decoder) widen(low, high, v vec) {
	switch d.format {
	case bf16:
		d.shll(low, high, v)
	case f16:
		d.fcvtl(low, high, v)
	case int8s:
		d.sxtlHalves(low, high, v)
		d.scvtf(low, low)
		d.scvtf(high, high)
	case nf4:
		d.lookUp(low, high, v)
	}
}

// load8 reads eight numbers as float32 and moves from on.
func (d decoder) load8(low, high vec, from gp) {
	if d.format == f32 {
		d.op("FLDPQ.P", from.at(32), pair(low, high))
		return
	}
	d.load16(high, from)
	d.widen(low, high, high)
}

// unpack reads the codes of four bytes as eight 16-bit integers.
func (d decoder) unpack(v vec, from gp) {
	d.scoped(func() {
		upper := d.vec()
		d.op("FMOVS.P", from.at(4), v.f())
		d.op("VUSHR", imm(4), v.lanes("B16"), upper.lanes("B16"))
		d.op("VAND", d.half.lanes("B16"), v.lanes("B16"), v.lanes("B16"))
		d.op("VZIP1", v.lanes("B16"), upper.lanes("B16"), v.lanes("B16"))
		d.op("VUXTL", v.lanes("B8"), v.lanes("H8"))
	})
}

// lookUp makes low and high of eight codes, byte by byte of their numbers; high may
// be v. It looks up the upper bytes of v, too, but leaves out what it finds.
func (d decoder) lookUp(low, high, v vec) {
	d.scoped(func() {
		b := d.vecs(4)
		for i, plane := range d.planes {
			d.op("VTBL", v.lanes("B16"), list([]vec{plane}, "B16"), b[i].lanes("B16"))
		}
		d.op("VTRN1", b[1].lanes("B16"), b[0].lanes("B16"), b[0].lanes("B16"))
		d.op("VTRN1", b[3].lanes("B16"), b[2].lanes("B16"), b[2].lanes("B16"))
		d.op("VZIP1", b[2].lanes("H8"), b[0].lanes("H8"), low.lanes("H8"))
		d.op("VZIP2", b[2].lanes("H8"), b[0].lanes("H8"), high.lanes("H8"))
	})
}
