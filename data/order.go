package data

import (
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
)

// Order is the order in which the given epoch, counted from 0, visits n things: a
// permutation of 0…n-1 that depends on the arguments alone, so a run can be resumed
// at any place of any epoch. It is the same on every platform and version of Go.
func Order(seed uint64, epoch, n int) []int {
	return permutation(seed, uint64(epoch), n)
}

// heldOutStream is the stream of random numbers that choose the held-out rows; no
// epoch gets to this number.
const heldOutStream = math.MaxUint64

// permutation is a Fisher-Yates shuffle of 0…n-1 by the stream-th sequence of PCG.
// The bounded numbers are our own, since those of math/rand may change.
func permutation(seed, stream uint64, n int) []int {
	random := rand.NewPCG(seed, stream)
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	for i := n - 1; i > 0; i-- {
		j, _ := bits.Mul64(random.Uint64(), uint64(i)+1) // uniform in 0…i
		order[i], order[j] = order[j], order[i]
	}
	return order
}

// Split holds out a part of the examples for evaluation. A held below 1 is that
// fraction of the rows, rounded up; from 1 on it is their number; 0 is none. Which
// rows are held out depends on seed and the rows' number alone. All examples of one
// row, that is of one File and Line, go to the same side, and each side keeps its order.
//
// It returns an error if held is negative, not a number, from 1 on and not whole,
// or leaves no row to train on.
func Split(examples []Example, held float64, seed uint64) (train, heldOut []Example, err error) {
	rows := byRow(examples)
	count, err := heldOutRows(len(rows), held)
	if err != nil {
		return nil, nil, err
	}
	chosen := make([]bool, len(rows))
	for _, row := range permutation(seed, heldOutStream, len(rows))[:count] {
		chosen[row] = true
	}
	for i, row := range rows {
		if chosen[i] {
			heldOut = append(heldOut, row...)
		} else {
			train = append(train, row...)
		}
	}
	return train, heldOut, nil
}

func heldOutRows(rows int, held float64) (int, error) {
	if !(held >= 0) || held >= 1 && held != math.Trunc(held) {
		return 0, fmt.Errorf("data: val_size is %v, want a fraction below 1 or a whole number of rows", held)
	}
	count := held
	if held < 1 {
		count = math.Ceil(held*float64(rows) - 1e-9) // 0.07 of 100 is 7.000000000000001
	}
	if count > 0 && count >= float64(rows) {
		return 0, fmt.Errorf("data: val_size %v holds out all of %d rows, want at least one left to train on", held, rows)
	}
	return int(count), nil
}

// byRow cuts examples, without copying them, where a new row begins.
func byRow(examples []Example) [][]Example {
	var rows [][]Example
	for start := 0; start < len(examples); {
		first := &examples[start]
		end := start + 1
		for end < len(examples) && examples[end].Line == first.Line && examples[end].File == first.File {
			end++
		}
		rows = append(rows, slices.Clip(examples[start:end]))
		start = end
	}
	return rows
}
