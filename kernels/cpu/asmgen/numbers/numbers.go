// Package numbers are those that the routines of every instruction set are made of.
package numbers

// Of expf in Stephen Moshier's Cephes library: with n = round(x·log₂e) and
// r = x − n·ln 2,
//
//	eˣ = 2ⁿ·(1 + r + r²·(((((ExpP0·r + ExpP1)·r + ExpP2)·r + ExpP3)·r + ExpP4)·r + ExpP5))
const (
	// The range of x in which n is the exponent of a normal float32.
	ExpHigh = 88.3762626647950   // 127.5·ln 2
	ExpLow  = -87.33654475055310 // −126·ln 2

	// ln 2 in two parts, of which the first has so few bits that n times it is exact.
	Ln2High = 0.693359375
	Ln2Low  = -2.12194440e-4

	// The polynomial, for |r| ≤ ln(2)/2.
	ExpP0 = 1.9875691500e-4
	ExpP1 = 1.3981999507e-3
	ExpP2 = 8.3334519073e-3
	ExpP3 = 4.1665795894e-2
	ExpP4 = 1.6666665459e-1
	ExpP5 = 5.0000001201e-1
)

// NF4Map are the numbers of kernels.NF4Map, which a test compares.
var NF4Map = [16]float32{
	-1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453,
	-0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0,
	0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
	0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1,
}
