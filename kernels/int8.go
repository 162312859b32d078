package kernels

// Int8 are the numbers of a [Weight] in 8 bits, with a scale for each row, which is
// an output of a linear:
//
//	number = code·scale,  scale = absmax/127,  code = round(number·(1/absmax)·127)
//
// with halves rounded to even and absmax the row's largest absolute value. Inputs
// stay in float32, so there are no outliers to set apart. Source: the vector-wise
// quantisation of arXiv 2208.07339 (LLM.int8()), whose codes and Absmax are those of
// bitsandbytes' int8_vectorwise_quant without a threshold.
type Int8 struct {
	Codes  []int8
	Absmax []float32 // of each row of the whole weight, if it is a view of some columns
}

// Scale is what a code of the row stands for, once.
func (q *Int8) Scale(row int) float32 { return q.Absmax[row] / 127 }

func (q *Int8) decode(dst []float32, from, stride int) {
	for len(dst) > 0 {
		row, col := from/stride, from%stride
		n := min(len(dst), stride-col)
		scale := q.Scale(row)
		for i, code := range q.Codes[from : from+n] {
			dst[i] = float32(code) * scale
		}
		dst, from = dst[n:], from+n
	}
}
