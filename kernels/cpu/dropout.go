package cpu

import (
	"math"

	"bdlora/kernels"
)

// Dropout computes y = x ⊙ mask/(1-p), or y += … if add.
func (b *Backend) Dropout(y, x kernels.Matrix, d kernels.Dropout, add bool) {
	to := rowsOf("Dropout", "y", y, y.Rows, y.Cols)
	from := rowsOf("Dropout", "x", x, y.Rows, y.Cols)
	scale := float32(1 / (1 - d.P))
	b.eachRow(y.Rows, y.Cols, func(w *worker, i int) {
		kept := w.scratch.floats(y.Cols)
		dropRow(kept, from.at(i), d, i)
		if add {
			b.routines.addScaled(to.at(i), kept, scale)
			return
		}
		copy(to.at(i), kept)
		b.routines.scale(to.at(i), scale)
	})
}

// dropRow copies row i of x, with zeros where [kernels.Dropout.Keep] is false. It is
// Keep with what all columns share taken out, compared as integers, and without a
// branch, which no processor could foresee.
func dropRow(kept, x []float32, d kernels.Dropout, i int) {
	threshold := uint64(math.Ceil(d.P * (1 << 53)))
	place := d.Key + uint64(i)*0x9e3779b97f4a7c15 + uint64(d.FirstCol)*0xd1b54a32d192ed03
	for j, v := range x {
		z := place
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		z ^= z >> 31
		dropped := uint32((z>>11 - threshold) >> 63)
		kept[j] = math.Float32frombits(math.Float32bits(v) & (dropped - 1))
		place += 0xd1b54a32d192ed03
	}
}
