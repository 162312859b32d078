package kernels_test

import (
	"math"
	"testing"

	"bdlora/kernels"
)

// halves are the two 16-bit formats: how they are decoded and encoded, and the
// widths that IEEE 754 gives them.
var halves = []struct {
	name         string
	decode       func(uint16) float32
	encode       func(float32) uint16
	mantissaBits int
	bias         int
}{
	{"bf16", kernels.BF16ToFloat32, kernels.Float32ToBF16, 7, 127},
	{"f16", kernels.F16ToFloat32, kernels.Float32ToF16, 10, 15},
}

// formula is the value of a bit pattern by the definition of IEEE 754.
func formula(bits uint16, mantissaBits, bias int) float64 {
	mantissa := float64(bits & (1<<mantissaBits - 1))
	exponent := int(bits&0x7fff) >> mantissaBits
	sign := 1 - 2*float64(bits>>15)
	switch {
	case exponent == 0x7fff>>mantissaBits && mantissa != 0:
		return math.NaN()
	case exponent == 0x7fff>>mantissaBits:
		return math.Inf(int(sign))
	case exponent == 0:
		return sign * math.Ldexp(mantissa, 1-bias-mantissaBits)
	}
	return sign * math.Ldexp(mantissa+math.Ldexp(1, mantissaBits), exponent-bias-mantissaBits)
}

func TestHalfDecodesEveryPatternToItsValue(t *testing.T) {
	for _, h := range halves {
		for bits := range 1 << 16 {
			got, want := float64(h.decode(uint16(bits))), formula(uint16(bits), h.mantissaBits, h.bias)
			same := got == want && math.Signbit(got) == math.Signbit(want)
			if !same && !(math.IsNaN(got) && math.IsNaN(want)) {
				t.Fatalf("%s %#04x: got %g, want %g", h.name, bits, got, want)
			}
		}
	}
}

func TestHalfEncodeInvertsDecode(t *testing.T) {
	for _, h := range halves {
		for bits := range 1 << 16 {
			f := h.decode(uint16(bits))
			got, want := h.encode(f), uint16(bits)
			if f != f {
				want |= 1 << (h.mantissaBits - 1) // a signalling NaN is made quiet
			}
			if got != want {
				t.Fatalf("%s %g: got %#04x, want %#04x", h.name, f, got, want)
			}
		}
	}
}

// Between each two neighbours lies one tie. The tie goes to the even one, and the
// closest float32 on either side of it goes to that side.
func TestHalfRoundsToNearestEven(t *testing.T) {
	for _, h := range halves {
		infinity := uint16(0x7fff) >> h.mantissaBits << h.mantissaBits
		for low := range infinity {
			high := low + 1
			above := float64(h.decode(high))
			if high == infinity { // rounding treats it as the next step of the same size
				above = 2*float64(h.decode(low)) - float64(h.decode(low-1))
			}
			tie := float32((float64(h.decode(low)) + above) / 2)
			even := low + low&1
			for _, row := range []struct {
				f    float32
				want uint16
			}{
				{tie, even},
				{math.Nextafter32(tie, 0), low},
				{math.Nextafter32(tie, float32(math.Inf(1))), high},
			} {
				if got := h.encode(row.f); got != row.want {
					t.Fatalf("%s %g: got %#04x, want %#04x", h.name, row.f, got, row.want)
				}
				if got := h.encode(-row.f); got != row.want|0x8000 {
					t.Fatalf("%s %g: got %#04x, want %#04x", h.name, -row.f, got, row.want|0x8000)
				}
			}
		}
	}
}

func TestHalfOverflowsToInfinity(t *testing.T) {
	for _, h := range halves {
		for _, f := range []float32{math.MaxFloat32, float32(math.Inf(1))} {
			if got := h.decode(h.encode(f)); !math.IsInf(float64(got), 1) {
				t.Errorf("%s %g: got %g, want +Inf", h.name, f, got)
			}
		}
		if got := h.encode(math.SmallestNonzeroFloat32); got != 0 {
			t.Errorf("%s of the smallest float32: got %#04x, want 0", h.name, got)
		}
	}
}
