package cpu

import (
	"math"

	"bdlora/kernels"
)

// The steps of the hash's argument from element to element; see
// [kernels.Dropout.Keep].
const (
	dropRow    = 0x9e3779b97f4a7c15
	dropColumn = 0xd1b54a32d192ed03
)

// Dropout computes y = x ⊙ mask/(1-p), or y += … if add. It is Keep with what the
// columns of a row share taken out, compared as integers.
func (b *Backend) Dropout(y, x kernels.Matrix, d kernels.Dropout, add bool) {
	to := rowsOf("Dropout", "y", y, y.Rows, y.Cols)
	from := rowsOf("Dropout", "x", x, y.Rows, y.Cols)
	scale := float32(1 / (1 - d.P))
	threshold := uint64(math.Ceil(d.P*(1<<53))) << 11
	b.eachRow(y.Rows, y.Cols, func(w *worker, i int) {
		place := d.Key + uint64(i)*dropRow + uint64(d.FirstCol)*dropColumn
		if !add {
			b.routines.drop(to.at(i), from.at(i), place, threshold)
			b.routines.scale(to.at(i), scale)
			return
		}
		kept := w.scratch.floats(y.Cols)
		b.routines.drop(kept, from.at(i), place, threshold)
		b.routines.addScaled(to.at(i), kept, scale)
	})
}
