package cpu

import (
	"math"
	"time"
)

// PeakRate measures the float32 operations a second that b's threads reach together
// by multiply-adds between registers: 2 for each multiply-add and lane, the best of
// many short runs, 0.2 s in all. of says which instructions they were. Nothing that
// computes in them can be faster.
//
// In plain Go it is what the compiler makes of eight independent sums, which the
// processor could well surpass.
func (b *Backend) PeakRate() (flops float64, of string) {
	const windows, rounds, units = 150, 1000, 400
	p := b.routines.peak
	return fastest(windows, float64(units*b.threads*rounds)*p.flops, func() {
		b.pool.each(units*b.threads, func(*worker, int) { p.run(rounds) })
	}), p.of
}

// ReadRate measures the bytes a second that b's threads reach together in reading
// memory from one end to the other: 1 GiB, which no cache holds, for the time of the
// call. It takes about a second.
func (b *Backend) ReadRate() float64 {
	const passes, unit, page = 5, 1 << 16, 1024 // the last two in numbers
	numbers := make([]float32, 1<<28)
	// A page that was never written to is read from the one page of zeros.
	b.pool.each(len(numbers)/page, func(_ *worker, i int) { numbers[i*page] = 1 })
	return fastest(passes, 4*float64(len(numbers)), func() {
		b.pool.each(len(numbers)/unit, func(_ *worker, i int) { b.routines.read(numbers[i*unit : (i+1)*unit]) })
	})
}

// fastest is the largest rate of several runs, each of so much work.
func fastest(runs int, work float64, run func()) float64 {
	least := math.Inf(1)
	for range runs {
		began := time.Now()
		run()
		least = min(least, time.Since(began).Seconds())
	}
	return work / least
}

// peak is a loop of multiply-adds that touches no memory.
type peak struct {
	of    string
	run   func(rounds int) float32
	flops float64 // of a round
}

func peakGeneric(rounds int) float32 {
	var a, b, c, d, e, f, g, h float32
	x, y := float32(rounds), 1/float32(rounds)
	for range rounds {
		a, b, c, d = a*y+x, b*y+x, c*y+x, d*y+x
		e, f, g, h = e*y+x, f*y+x, g*y+x, h*y+x
	}
	return a + b + c + d + e + f + g + h
}

func readGeneric(x []float32) float32 {
	var a, b, c, d float32
	for ; len(x) >= 4; x = x[4:] {
		a, b, c, d = a+x[0], b+x[1], c+x[2], d+x[3]
	}
	return a + b + c + d
}
