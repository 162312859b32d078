package kernelstest

import (
	"math"
	"testing"

	"bdlora/kernels"
)

var elementwiseChecks = []check{
	{"Copy", checkCopy},
	{"Add", checkAdd},
	{"Clear", checkClear},
	{"Scale", checkScale},
	{"Embed", checkEmbed},
	{"RMSNorm", checkRMSNorm},
	{"RMSNormBackward", checkRMSNormBackward},
	{"RoPE", checkRoPE},
	{"SwiGLU", checkSwiGLU},
	{"SwiGLUBackward", checkSwiGLUBackward},
	{"SwiGLUBackwardInPlace", checkSwiGLUBackwardInPlace},
	{"Dropout", checkDropout},
	{"DropoutOfParts", checkDropoutOfParts},
}

// rowSizes surround the vectors of 4, 8 and 16 that fast kernels work in.
var rowSizes = []struct{ rows, cols int }{
	{0, 4}, {1, 1}, {1, 5}, {3, 8}, {7, 17}, {5, 33}, {16, 64}, {31, 100}, {4, 1030},
}

// forRows runs f on every size and layout.
func forRows(f func(rows, cols int, lay layout)) {
	for _, s := range rowSizes {
		f(s.rows, s.cols, packed)
		f(s.rows, s.cols, strided)
	}
}

// exact is l for kernels that are right but for the rounding of the result.
func (l lab) exact() lab {
	l.tolerance = 0x1p-24
	return l
}

func checkCopy(t testing.TB, l lab) {
	forRows(func(rows, cols int, lay layout) {
		operands := []operand{
			newOperand("y", overwrote, rows, cols, lay),
			newOperand("x", source, rows, cols, lay),
		}
		l.exact().try(t, operands, func(be kernels.Backend, m []kernels.Matrix) float64 {
			be.Copy(m[0], m[1])
			return 0
		})
	})
}

func checkAdd(t testing.TB, l lab) {
	forRows(func(rows, cols int, lay layout) {
		operands := []operand{
			newOperand("y", updated, rows, cols, lay),
			newOperand("x", source, rows, cols, lay),
		}
		l.exact().try(t, operands, func(be kernels.Backend, m []kernels.Matrix) float64 {
			be.Add(m[0], m[1])
			return 0
		})
	})
}

func checkClear(t testing.TB, l lab) {
	for _, s := range rowSizes {
		l.exact().try(t, []operand{vector("b", overwrote, s.cols)}, func(be kernels.Backend, m []kernels.Matrix) float64 {
			be.Clear(m[0].Buf)
			return 0
		})
	}
}

func checkScale(t testing.TB, l lab) {
	for _, s := range rowSizes {
		l.try(t, []operand{vector("b", updated, s.cols)}, func(be kernels.Backend, m []kernels.Matrix) float64 {
			be.Scale(m[0].Buf, -0.3)
			return 0
		})
	}
}

func checkEmbed(t testing.TB, l lab) {
	for _, s := range rowSizes {
		for _, format := range formats {
			l.tryEmbed(t, newWeight(format, 11, s.cols), []int32{4, 0, -1, 10, 4, 7})
		}
	}
}

func (l lab) tryEmbed(t testing.TB, w *kernels.Weight, tokens []int32) {
	t.Helper()
	operands := []operand{newOperand("y", overwrote, len(tokens), w.Cols, strided)}
	l.exact().try(t, operands, func(be kernels.Backend, m []kernels.Matrix) float64 {
		be.Embed(m[0], w, tokens)
		return 0
	})
}

// eps is large enough that a kernel which forgets it fails.
const eps = 1e-2

func checkRMSNorm(t testing.TB, l lab) {
	forRows(func(rows, cols int, lay layout) {
		operands := []operand{
			newOperand("y", overwrote, rows, cols, lay),
			vector("inv", overwrote, rows),
			newOperand("x", source, rows, cols, lay),
			vector("gain", source, cols),
		}
		l.try(t, operands, func(be kernels.Backend, m []kernels.Matrix) float64 {
			be.RMSNorm(m[0], m[1].Buf, m[2], m[3].Buf, eps)
			return 0
		})
	})
}

func checkRMSNormBackward(t testing.TB, l lab) {
	forRows(func(rows, cols int, lay layout) {
		x := newOperand("x", source, rows, cols, lay)
		inv := make([]float64, rows)
		for i := range inv {
			squares := 0.0
			for _, v := range x.values()[i*cols : (i+1)*cols] {
				squares += float64(v) * float64(v)
			}
			inv[i] = 1 / math.Sqrt(squares/float64(cols)+eps)
		}
		operands := []operand{
			newOperand("dx", updated, rows, cols, lay),
			newOperand("dy", source, rows, cols, lay),
			x,
			vector("inv", source, rows).with(inv),
			vector("gain", source, cols),
		}
		l.try(t, operands, func(be kernels.Backend, m []kernels.Matrix) float64 {
			be.RMSNormBackward(m[0], m[1], m[2], m[3].Buf, m[4].Buf)
			return 0
		})
	})
}

// newRotary are the angles of Llama for a head of 2·half numbers.
func newRotary(half int) *kernels.Rotary {
	r := &kernels.Rotary{Scale: 1.25}
	for j := range half {
		r.Freq = append(r.Freq, math.Pow(500000, -float64(j)/float64(half)))
	}
	return r
}

func checkRoPE(t testing.TB, l lab) {
	positions := []int32{0, 1, 2, 0, 1, 7, 131071}
	for _, s := range []struct{ heads, half int }{{1, 1}, {2, 3}, {3, 4}, {2, 8}, {5, 16}, {3, 32}, {1, 50}} {
		for _, lay := range []layout{packed, strided} {
			for _, inverse := range []bool{false, true} {
				operands := []operand{newOperand("x", updated, len(positions), s.heads*2*s.half, lay)}
				l.try(t, operands, func(be kernels.Backend, m []kernels.Matrix) float64 {
					be.RoPE(m[0], positions, newRotary(s.half), inverse)
					return 0
				})
			}
		}
	}
}

// extremes replaces some elements by numbers whose exponential overflows.
func extremes(o operand) operand {
	return o.fill(func(i int, old float32) float32 {
		switch i % 11 {
		case 3:
			return 200 * old
		case 7:
			return -1000
		case 10:
			return 1000
		}
		return old
	})
}

func checkSwiGLU(t testing.TB, l lab) {
	forRows(func(rows, cols int, lay layout) {
		operands := []operand{
			newOperand("y", overwrote, rows, cols, lay),
			newOperand("gate", source, rows, cols, lay),
			newOperand("up", source, rows, cols, lay),
		}
		swiglu := func(be kernels.Backend, m []kernels.Matrix) float64 {
			be.SwiGLU(m[0], m[1], m[2])
			return 0
		}
		l.try(t, operands, swiglu)
		extremes(operands[1])
		l.try(t, operands, swiglu)
	})
}

func checkSwiGLUBackward(t testing.TB, l lab) {
	forRows(func(rows, cols int, lay layout) {
		operands := []operand{
			newOperand("dgate", overwrote, rows, cols, lay),
			newOperand("dup", overwrote, rows, cols, lay),
			newOperand("dy", source, rows, cols, lay),
			newOperand("gate", source, rows, cols, lay),
			newOperand("up", source, rows, cols, lay),
		}
		backward := func(be kernels.Backend, m []kernels.Matrix) float64 {
			be.SwiGLUBackward(m[0], m[1], m[2], m[3], m[4])
			return 0
		}
		l.try(t, operands, backward)
		extremes(operands[3])
		l.try(t, operands, backward)
	})
}

func checkSwiGLUBackwardInPlace(t testing.TB, l lab) {
	forRows(func(rows, cols int, lay layout) {
		operands := []operand{
			newOperand("dy", source, rows, cols, lay),
			newOperand("gate", updated, rows, cols, lay),
			newOperand("up", updated, rows, cols, lay),
		}
		l.try(t, operands, func(be kernels.Backend, m []kernels.Matrix) float64 {
			be.SwiGLUBackward(m[1], m[2], m[0], m[1], m[2])
			return 0
		})
	})
}

func checkDropout(t testing.TB, l lab) {
	forRows(func(rows, cols int, lay layout) {
		for _, d := range []kernels.Dropout{
			{P: 0},
			{P: 0.1, Key: 0x123456789abcdef},
			{P: 0.6, Key: 77, FirstCol: 5},
		} {
			for _, add := range []bool{false, true} {
				operands := []operand{
					newOperand("y", destination(add), rows, cols, lay),
					newOperand("x", source, rows, cols, lay),
				}
				l.try(t, operands, func(be kernels.Backend, m []kernels.Matrix) float64 {
					be.Dropout(m[0], m[1], d, add)
					return 0
				})
			}
		}
	})
}

// The mask of a column range is the whole mask's.
func checkDropoutOfParts(t testing.TB, l lab) {
	operands := []operand{
		newOperand("y", overwrote, 5, 33, strided),
		newOperand("whole y", overwrote, 5, 33, strided),
		newOperand("x", source, 5, 33, strided),
	}
	drop := func(be kernels.Backend, m []kernels.Matrix) float64 {
		be.Dropout(m[1], m[2], kernels.Dropout{P: 0.4, Key: 5, FirstCol: 100}, false)
		for _, part := range [][2]int{{0, 1}, {1, 20}, {20, 33}} {
			from, to := part[0], part[1]
			d := kernels.Dropout{P: 0.4, Key: 5, FirstCol: 100 + from}
			be.Dropout(m[0].ColRange(from, to), m[2].ColRange(from, to), d, false)
		}
		return 0
	}
	l.try(t, operands, drop)
	bufs, _ := runOn(l.be, operands, drop)
	values := func(i int) []float32 { return gather[float32](operands[i].view(kernels.F32(download(l.be, bufs[i])))) }
	sameBits(t, "y of parts: ", values(0), values(1))
}
