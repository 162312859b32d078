package serving

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"
)

// Timed is a measured time of something.
type Timed[T any] struct {
	Of      T
	Seconds float64
}

// FitLine is the line with the least squares of relative errors to the measured times
// of collectives of so many bytes on the wire. Neither of its numbers is negative.
//
// It refuses fewer than two sizes.
func FitLine(samples []Timed[float64]) (Line, error) {
	var xs, ys, weights []float64
	for _, s := range samples {
		xs, ys = append(xs, s.Of), append(ys, s.Seconds)
		weights = append(weights, 1/(s.Seconds*s.Seconds))
	}
	if sizes := slices.Compact(slices.Sorted(slices.Values(xs))); len(sizes) < 2 {
		return Line{}, fmt.Errorf("serving: a line through %d sizes of collectives, want at least 2", len(sizes))
	}
	latency, perByte := stat.LinearRegression(xs, ys, weights, false)
	if latency < 0 {
		latency, perByte = stat.LinearRegression(xs, ys, weights, true)
	}
	if perByte < 0 {
		latency, perByte = stat.Mean(ys, weights), 0
	}
	return Line{latency, perByte}, nil
}

// FitMachine is the Machine with the least squares of relative errors to the measured
// times of some work. Which of the samples are bound by reading and which by computing
// is settled in turns with the rates. Where noise would make any of its numbers negative,
// a product costs nothing but its bytes and operations.
//
// It refuses to do so without samples.
func FitMachine(samples []Timed[Work]) (Machine, error) {
	if len(samples) == 0 {
		return Machine{}, fmt.Errorf("serving: no measured steps, want some to fit a machine to")
	}
	m := Machine{ReadRate: 1, FlopRate: 1}
	for _, s := range samples { // the rates that were reached at least
		m.ReadRate = math.Max(m.ReadRate, s.Of.Bytes/s.Seconds)
		m.FlopRate = math.Max(m.FlopRate, s.Of.Flops/s.Seconds)
	}
	const turns = 20
	for range turns {
		next, err := m.refit(samples)
		if err != nil || next == m {
			return next, err
		}
		m = next
	}
	return m, nil
}

// refit solves for the numbers of m with each sample bound by what m says.
func (m Machine) refit(samples []Timed[Work]) (Machine, error) {
	const read, compute, product = 0, 1, 2
	design, ones := mat.NewDense(len(samples), 3, nil), mat.NewVecDense(len(samples), nil)
	var used [3]bool
	for i, s := range samples {
		bound, amount := read, s.Of.Bytes
		if s.Of.Flops/m.FlopRate > s.Of.Bytes/m.ReadRate {
			bound, amount = compute, s.Of.Flops
		}
		design.Set(i, bound, amount/s.Seconds)
		design.Set(i, product, float64(s.Of.Products)/s.Seconds)
		ones.SetVec(i, 1)
		used[bound], used[product] = true, used[product] || s.Of.Products > 0
	}
	x, err := solve(design, ones, used)
	if used[product] && (err != nil || slices.Min(x[:]) < 0) { // then times do not show what a product costs
		used[product] = false
		x, err = solve(design, ones, used)
	}
	if err != nil {
		return m, fmt.Errorf("serving: a machine by %d measured steps: %w", len(samples), err)
	}
	if used[read] {
		m.ReadRate = 1 / x[read]
	}
	if used[compute] {
		m.FlopRate = 1 / x[compute]
	}
	m.Product = x[product]
	return m, nil
}

// solve is the least-squares solution of a·x = b with the columns that are used; the
// others' x is 0. Columns are scaled to be comparable first.
func solve(a *mat.Dense, b *mat.VecDense, used [3]bool) (x [3]float64, err error) {
	rows, _ := a.Dims()
	var columns []int
	var norms []float64
	for j, is := range used {
		if is {
			columns, norms = append(columns, j), append(norms, mat.Norm(a.ColView(j), 2))
		}
	}
	scaled := mat.NewDense(rows, len(columns), nil)
	for j, column := range columns {
		for i := range rows {
			scaled.Set(i, j, a.At(i, column)/norms[j])
		}
	}
	var solution mat.VecDense
	if err := solution.SolveVec(scaled, b); err != nil {
		return x, err
	}
	for j, column := range columns {
		x[column] = solution.AtVec(j) / norms[j]
	}
	return x, nil
}
