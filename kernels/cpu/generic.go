package cpu

import "math"

// The routines in plain Go; see [routines] for what each computes.

func tileGeneric(steps int, a []float32, aLane, aStep int, b []float32, bStep int, c []float32, cRow int, add bool) {
	for i := range 4 {
		var s0, s1, s2, s3 float32
		for s := range steps {
			x, y := a[i*aLane+s*aStep], (*[4]float32)(b[s*bStep:])
			s0 += x * y[0]
			s1 += x * y[1]
			s2 += x * y[2]
			s3 += x * y[3]
		}
		row := (*[4]float32)(c[i*cRow:])
		if add {
			s0, s1, s2, s3 = row[0]+s0, row[1]+s1, row[2]+s2, row[3]+s3
		}
		*row = [4]float32{s0, s1, s2, s3}
	}
}

func copyF32(dst, src []float32) { copy(dst, src) }

// dotGeneric sums in four lanes, which the processor does at once.
func dotGeneric(x, y []float32) float32 {
	var lanes [4]float32
	y = y[:len(x)]
	i := 0
	for ; i+4 <= len(x); i += 4 {
		lanes[0] += x[i] * y[i]
		lanes[1] += x[i+1] * y[i+1]
		lanes[2] += x[i+2] * y[i+2]
		lanes[3] += x[i+3] * y[i+3]
	}
	for ; i < len(x); i++ {
		lanes[0] += x[i] * y[i]
	}
	return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3])
}

func dot3Generic(x, y, z []float32) float32 {
	var sum float32
	for i := range x {
		sum += x[i] * y[i] * z[i]
	}
	return sum
}

func largestGeneric(x []float32) float32 {
	most := float32(math.Inf(-1))
	for _, v := range x {
		most = max(most, v)
	}
	return most
}

func sumSquaresGeneric(x []float32) float64 {
	sum := 0.0
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	return sum
}

func addScaledGeneric(y, x []float32, factor float32) {
	for i := range y {
		y[i] += factor * x[i]
	}
}

func scaleGeneric(y []float32, factor float32) {
	for i := range y {
		y[i] *= factor
	}
}

func scaledProductGeneric(y, x, gain []float32, factor float32) {
	for i := range y {
		y[i] = factor * x[i] * gain[i]
	}
}

func normBackwardGeneric(dx, dy, x, gain []float32, inv, pull float32) {
	for i := range dx {
		dx[i] += inv*gain[i]*dy[i] - pull*x[i]
	}
}

func rotateGeneric(a, b, cos, sin []float32) {
	for i := range a {
		a[i], b[i] = a[i]*cos[i]-b[i]*sin[i], b[i]*cos[i]+a[i]*sin[i]
	}
}

func expSumGeneric(y, x []float32, factor, shift float32) float32 {
	sum := 0.0
	for i := range y {
		e := math.Exp(float64(factor*x[i] - shift))
		y[i] = float32(e)
		sum += e
	}
	return float32(sum)
}

func swiGLUGeneric(y, gate, up []float32) {
	for i := range y {
		y[i] = gate[i] * sigmoid(gate[i]) * up[i]
	}
}

func swiGLUBackwardGeneric(dgate, dup, dy, gate, up []float32) {
	for i := range dgate {
		s := sigmoid(gate[i])
		h := gate[i] * s
		slope := s + h*(1-s)
		dgate[i], dup[i] = dy[i]*up[i]*slope, dy[i]*h
	}
}

func sigmoid(x float32) float32 { return float32(1 / (1 + math.Exp(-float64(x)))) }

func adamWGeneric(param, grad, m, v []float32, factors *[9]float32) {
	gradScale, beta1, rest1, beta2, rest2 := factors[0], factors[1], factors[2], factors[3], factors[4]
	unbias, eps, rate, decay := factors[5], factors[6], factors[7], factors[8]
	for i := range param {
		g := gradScale * grad[i]
		m[i] = beta1*m[i] + rest1*g
		v[i] = beta2*v[i] + rest2*g*g
		root := float32(math.Sqrt(float64(unbias * v[i])))
		param[i] -= decay*param[i] + rate*(m[i]/(root+eps))
	}
}

// dropGeneric has no branch, which no processor could foresee.
func dropGeneric(y, x []float32, place, threshold uint64) {
	for i, v := range x {
		z := place
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		z ^= z >> 31
		dropped := uint32((z>>11 - threshold>>11) >> 63)
		y[i] = math.Float32frombits(math.Float32bits(v) & (dropped - 1))
		place += dropColumn
	}
}
