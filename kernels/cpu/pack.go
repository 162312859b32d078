package cpu

import "bdlora/kernels"

// pack writes a panel of a product: dst[s·width + i] = x(i, s), in float32, for all
// rows of x, which are the panel's lanes, and all its columns, the steps. Lanes from
// x.rows to width become zeros.
func (r *routines) pack(dst []float32, width int, x operand) {
	if x.rows < width {
		clear(dst[:width*x.cols])
	}
	switch x.format {
	case kernels.FormatF32:
		r.f32.pack(dst, width, x.f32, x)
	case kernels.FormatBF16:
		r.bf16.pack(dst, width, x.u16, x)
	case kernels.FormatF16:
		r.f16.pack(dst, width, x.u16, x)
	case kernels.FormatInt8:
		r.int8.pack(dst, width, x.weight.Int8.Codes, x)
	case kernels.FormatNF4:
		r.nf4.pack(dst, width, x.weight.NF4.Codes, x)
	}
}

// pack packs src, the numbers of x.
func (p *packing[T]) pack(dst []float32, width int, src []T, x operand) {
	if x.col == 1 {
		p.interleave(dst, width, src, x)
		return
	}
	if x.rows == width && width%vectorLanes == 0 && p.copyRows != nil {
		p.copyRows(dst, width, src, x.col, x.cols)
		return
	}
	for s := range x.cols {
		p.widenAll(dst[s*width:][:x.rows], src[s*x.col:][:x.rows])
	}
}

// interleave packs lanes that are contiguous along the steps.
func (p *packing[T]) interleave(dst []float32, width int, src []T, x operand) {
	lane := 0
	for ; p.interleave8 != nil && lane+8 <= x.rows; lane += 8 {
		p.interleave8(dst[lane:], width, src[lane*x.row:], x.row, x.cols)
	}
	if p.interleave6 != nil && lane+6 <= x.rows {
		p.interleave6(dst[lane:], width, src[lane*x.row:], x.row, x.cols)
		lane += 6
	}
	for i := range x.rows {
		done := 0
		if i < lane {
			done = x.cols - x.cols%vectorLanes
		}
		row := src[i*x.row:][:x.cols]
		for s := done; s < len(row); s++ {
			dst[s*width+i] = p.decode(row[s])
		}
	}
}

// widenRow writes row i of x, whose rows are contiguous, as float32.
func (r *routines) widenRow(dst []float32, x operand, i int) {
	switch x.format {
	case kernels.FormatF32:
		copy(dst, x.f32[i*x.row:][:x.cols])
	case kernels.FormatBF16:
		r.bf16.widenAll(dst, x.u16[i*x.row:][:x.cols])
	case kernels.FormatF16:
		r.f16.widenAll(dst, x.u16[i*x.row:][:x.cols])
	default:
		x.weight.Decode(dst[:x.cols], x.at+i*x.row)
	}
}

func (p *packing[T]) widenAll(dst []float32, src []T) {
	done := 0
	if p.widen != nil {
		p.widen(dst, src)
		done = len(src) - len(src)%vectorLanes
	}
	for i := done; i < len(src); i++ {
		dst[i] = p.decode(src[i])
	}
}
