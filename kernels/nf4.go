package kernels

// The blocks of [NF4].
const (
	NF4Block       = 64  // numbers that share an absmax
	NF4NestedBlock = 256 // of these that share one of their own
)

// NF4Map are the numbers from -1 to 1 that the codes of [NF4] stand for: quantiles of
// a normal distribution, with an exact zero. Source: arXiv 2305.14314, appendix E.
var NF4Map = [16]float32{
	-1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453,
	-0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0,
	0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
	0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1,
}

// NF4 are the numbers of a [Weight] as 4-bit NormalFloat with double quantisation,
// value for value as bitsandbytes has them. They are cut into blocks of [NF4Block],
// counted row by row and over the ends of rows:
//
//	number = NF4Map[code]·scale of its block
//	scale  = DynamicMap[absmax]·nested absmax of its block + offset
//
// Source: arXiv 2305.14314 (QLoRA).
type NF4 struct {
	// Codes are two to a byte, the first one in its upper half.
	Codes        []byte
	Absmax       []byte    // of each block, a code of [DynamicMap]
	NestedAbsmax []float32 // of each [NF4NestedBlock] of Absmax
	Offset       float32   // the mean of what Absmax stands for
	First        int       // the number at which the weight begins, if it is a view
}

// Scale is the largest absolute value of a block, as far as it survived.
func (q *NF4) Scale(block int) float32 {
	// The conversion keeps compilers from fusing the sum, which bitsandbytes does not.
	return float32(DynamicMap[q.Absmax[block]]*q.NestedAbsmax[uint(block)/NF4NestedBlock]) + q.Offset
}

// scales are those of the blocks block, block+stride and so on.
func (q *NF4) scales(dst []float32, block, stride int) {
	for i := range dst {
		dst[i] = q.Scale(block)
		block += stride
	}
}

// decode does not look at First.
func (q *NF4) decode(dst []float32, from int) {
	for len(dst) > 0 {
		n := min(len(dst), NF4Block-from%NF4Block)
		scale := q.Scale(from / NF4Block)
		for i := range dst[:n] {
			dst[i] = NF4Map[q.code(from+i)] * scale
		}
		dst, from = dst[n:], from+n
	}
}

// code is that of number i.
func (q *NF4) code(i int) byte { return q.Codes[i/2] >> (4 - i%2*4) & 15 }
