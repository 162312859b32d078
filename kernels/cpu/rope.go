package cpu

import (
	"fmt"
	"math"
	"slices"

	"bdlora/kernels"
)

// RoPE turns the pair (j, j+HeadDim/2) of each head by positions[i]·r.Freq[j], in
// place, and scales it by r.Scale.
func (b *Backend) RoPE(x kernels.Matrix, positions []int32, r *kernels.Rotary, inverse bool) {
	half := len(r.Freq)
	checkLen("RoPE", "positions", len(positions), x.Rows)
	xs := rowsOf("RoPE", "x", x, x.Rows, x.Cols)
	if half == 0 || x.Cols%(2*half) != 0 {
		panic(fmt.Sprintf("cpu: RoPE: x has %d columns, want heads of %d", x.Cols, 2*half))
	}
	b.angles.extend(r, positions)
	b.eachRow(x.Rows, x.Cols, func(w *worker, i int) {
		row := xs.at(i)
		cos, sin := b.angles.at(int(positions[i]))
		if inverse {
			back := w.scratch.floats(half)
			copy(back, sin)
			b.routines.scale(back, -1)
			sin = back
		}
		for head := 0; head < len(row); head += 2 * half {
			b.routines.rotate(row[head:head+half], row[head+half:head+2*half], cos, sin)
		}
	})
}

// angles are the cosines and sines of one [kernels.Rotary], scaled, for positions
// from 0 on as far as they have been needed.
type angles struct {
	freq     []float64
	scale    float64
	cos, sin []float32 // [positions, len(freq)]
}

// extend makes at valid for the positions.
func (a *angles) extend(r *kernels.Rotary, positions []int32) {
	if a.scale != r.Scale || !slices.Equal(a.freq, r.Freq) {
		*a = angles{freq: slices.Clone(r.Freq), scale: r.Scale}
	}
	if len(positions) == 0 {
		return
	}
	if low := slices.Min(positions); low < 0 {
		panic(fmt.Sprintf("cpu: RoPE: position is %d, want 0 or more", low))
	}
	for p := len(a.cos) / len(a.freq); p <= int(slices.Max(positions)); p++ {
		for _, freq := range a.freq {
			sin, cos := math.Sincos(float64(p) * freq)
			a.cos = append(a.cos, float32(r.Scale*cos))
			a.sin = append(a.sin, float32(r.Scale*sin))
		}
	}
}

func (a *angles) at(position int) (cos, sin []float32) {
	from, to := position*len(a.freq), (position+1)*len(a.freq)
	return a.cos[from:to], a.sin[from:to]
}
