package train

import (
	"math"
	"slices"
	"strconv"
)

// axis maps the range [low, high] of values to the chart's units [from, to]. Ticks
// are the multiples of step, which is 1, 2 or 5 times a power of ten.
type axis struct {
	low, high, step float64
	from, to        float64
}

// newStepAxis is for whole steps from 0 to the last one, or to 1.
func newStepAxis(steps []float64, from, to float64) axis {
	last := 1.0
	if len(steps) > 0 {
		last = max(last, slices.Max(steps))
	}
	return axis{0, last, max(1, niceStep(last/8)), from, to}
}

// newAxis has room for all values, and for [0, 1] where there are none. It begins
// and ends with a tick.
func newAxis(values []float64, from, to float64) axis {
	low, high := 0.0, 1.0
	if len(values) > 0 {
		low, high = slices.Min(values), slices.Max(values)
	}
	if size := max(math.Abs(low), math.Abs(high)); high-low < max(1e-9*size, 1e-12) {
		margin := max(0.05*size, 1e-3) // all values are the same, or nearly so
		low, high = low-margin, high+margin
	}
	step := niceStep((high - low) / 6)
	return axis{math.Floor(low/step) * step, math.Ceil(high/step) * step, step, from, to}
}

// niceStep is the least of 1, 2 and 5 times a power of ten that is not below rough.
func niceStep(rough float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(rough)))
	for _, digit := range []float64{1, 2, 5} {
		if digit*power >= rough {
			return digit * power
		}
	}
	return 10 * power
}

// at is where on the chart a value lies.
func (a axis) at(value float64) float64 {
	return a.from + (value-a.low)/(a.high-a.low)*(a.to-a.from)
}

// ticks are the multiples of step from low, which is one, to high.
func (a axis) ticks() []float64 {
	count := int(math.Floor((a.high-a.low)/a.step + 1e-6))
	ticks := make([]float64, count+1)
	for i := range ticks {
		ticks[i] = a.low + float64(i)*a.step
	}
	return ticks
}

// label writes a tick with the digits that tell it from its neighbours.
func (a axis) label(tick float64) string {
	if math.Abs(tick) < a.step/2 {
		tick = 0 // not -0, nor what rounding left of it
	}
	size := max(math.Abs(a.low), math.Abs(a.high))
	decimals := max(0, digits(1/a.step))
	if decimals > 6 || size >= 1e7 {
		return strconv.FormatFloat(tick, 'g', digits(size/a.step)+1, 64)
	}
	return strconv.FormatFloat(tick, 'f', decimals, 64)
}

// digits is the number of decimal digits that it takes to count to ratio, about.
func digits(ratio float64) int { return int(math.Ceil(math.Log10(ratio) - 1e-9)) }
