package kernelstest

import (
	"testing"

	"bdlora/kernels"
)

var viewChecks = []check{
	{"LinearOfColumns", checkLinearOfColumns},
	{"EmbedOfColumns", checkEmbedOfColumns},
}

// forColumns runs f on views of some columns and rows of a weight, [rows, cols] in every
// format: from the first column on, from within a block of NF4, and of whole blocks if
// cols are some.
func forColumns(rows, cols int, f func(w *kernels.Weight)) {
	for _, format := range formats {
		for _, around := range [][2]int{{0, 3}, {5, 2}, {64, 64}} {
			whole := newWeight(format, rows+3, around[0]+cols+around[1])
			f(whole.RowRange(2, rows+2).ColRange(around[0], around[0]+cols))
		}
	}
}

func checkLinearOfColumns(t testing.TB, l lab) {
	for _, s := range productSizes {
		forColumns(s.n, s.k, func(w *kernels.Weight) {
			l.tryLinear(t, s.m, w, strided)
			l.tryLinearBackward(t, s.m, w, strided, true)
			l.tryCopy(t, w, s.m, w.Rows, w.Cols, func(be kernels.Backend, y, x kernels.Matrix, w *kernels.Weight) {
				be.Linear(y, x, w)
			})
			if w.Cols == 1 {
				return // without gaps it is a row as well, and may be summed as one
			}
			l.tryCopy(t, w, s.m, w.Cols, w.Rows, func(be kernels.Backend, y, x kernels.Matrix, w *kernels.Weight) {
				be.LinearBackward(y, x, w, false)
			})
		})
	}
}

func checkEmbedOfColumns(t testing.TB, l lab) {
	tokens := []int32{4, 0, 10, 4, 7}
	for _, s := range rowSizes {
		forColumns(11, s.cols, func(w *kernels.Weight) {
			l.tryEmbed(t, w, tokens)
			l.tryCopy(t, w, len(tokens), w.Cols, 1, func(be kernels.Backend, y, _ kernels.Matrix, w *kernels.Weight) {
				be.Embed(y, w, tokens)
			})
		})
	}
}

// tryCopy checks that a kernel gives the same bits for w and for a copy without gaps.
func (l lab) tryCopy(t testing.TB, w *kernels.Weight, tokens, out, in int,
	run func(be kernels.Backend, y, x kernels.Matrix, w *kernels.Weight)) {
	t.Helper()
	dense := copied(w)
	if dense == nil {
		return
	}
	operands := []operand{
		newOperand("y", overwrote, tokens, out, strided),
		newOperand("y of a copy", overwrote, tokens, out, strided),
		newOperand("x", source, tokens, in, strided),
	}
	bufs, _ := runOn(l.be, operands, func(be kernels.Backend, m []kernels.Matrix) float64 {
		run(be, m[0], m[2], w)
		run(be, m[1], m[2], dense)
		return 0
	})
	values := func(i int) []float32 { return gather[float32](operands[i].view(kernels.F32(download(l.be, bufs[i])))) }
	sameBits(t, "y of columns: ", values(0), values(1))
}

// copied is w without gaps, or nil where a copy would have to be quantised anew: of
// blocks of NF4 that the view cuts, or whose scales share more than one of their own.
func copied(w *kernels.Weight) *kernels.Weight {
	c := &kernels.Weight{Name: w.Name, Format: w.Format, Rows: w.Rows, Cols: w.Cols}
	switch w.Format {
	case kernels.FormatF32:
		c.F32 = eachRow(w, 0, 1, w.F32)
	case kernels.FormatInt8:
		c.Int8 = &kernels.Int8{Codes: eachRow(w, 0, 1, w.Int8.Codes), Absmax: w.Int8.Absmax}
	case kernels.FormatNF4:
		q := *w.NF4
		cut := q.First%kernels.NF4Block + w.Cols%kernels.NF4Block + w.Stride()%kernels.NF4Block
		if cut > 0 || len(q.NestedAbsmax) > 1 {
			return nil
		}
		q.Codes, q.Absmax = eachRow(w, q.First, 2, q.Codes), eachRow(w, q.First, kernels.NF4Block, q.Absmax)
		q.First = 0
		c.NF4 = &q
	default:
		c.U16 = eachRow(w, 0, 1, w.U16)
	}
	return c
}

// eachRow is what all has of each row of w, whose first number is at first, with an
// element for so many numbers.
func eachRow[T any](w *kernels.Weight, first, numbers int, all []T) []T {
	var rows []T
	for i := range w.Rows {
		rows = append(rows, all[(first+i*w.Stride())/numbers:][:w.Cols/numbers]...)
	}
	return rows
}
