package kernels

// DynamicMap are the numbers from -1 to 1 that 8 bits of dynamic quantisation stand
// for, in ascending order: a sign, an exponent of ten written in unary, and the rest
// for a fraction. It holds the middles of 2^i equal parts of [0.1, 1], times
// 10^(i-6), for i from 0 to 6, and their negatives; and 0 and 1.
//
// Source: arXiv 1511.04561; create_dynamic_map of bitsandbytes.
var DynamicMap = dynamicMap()

func dynamicMap() (m [256]float32) {
	const zero = 127
	m[zero], m[255] = 0, 1
	at, power := 1, 1e-6
	for i := range 7 {
		parts := 1 << i
		for part := range parts {
			middle := (border(part, parts) + border(part+1, parts)) / 2
			value := middle * float32(power)
			m[zero+at], m[zero-at] = value, -value
			at++
		}
		power *= 10
	}
	return m
}

// border is where a part of [0.1, 1] begins, rounded once, as by torch.linspace.
func border(part, parts int) float32 {
	step := (1 - float32(0.1)) / float32(parts)
	if part < (parts+1)/2 {
		return float32(float64(float32(0.1)) + float64(step)*float64(part))
	}
	return float32(1 - float64(step)*float64(parts-part))
}
