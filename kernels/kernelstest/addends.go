package kernelstest

import (
	"fmt"
	"testing"

	"bdlora/kernels"
)

// addend is the shape of a [kernels.Addend].
type addend struct {
	col, cols, k int
	alpha        float64
	a, b         layout
}

func operandsOf(addends []addend, tokens int) []operand {
	var operands []operand
	for i, a := range addends {
		operands = append(operands,
			newOperand(fmt.Sprintf("addend %d, A", i), source, tokens, a.k, a.a),
			newOperand(fmt.Sprintf("addend %d, B", i), source, a.k, a.cols, a.b))
	}
	return operands
}

// bind is the addends with their matrices: the A and the B of each.
func bind(addends []addend, m []kernels.Matrix) []kernels.Addend {
	var bound []kernels.Addend
	for i, a := range addends {
		bound = append(bound, kernels.Addend{Col: a.col, Alpha: a.alpha, A: m[2*i], B: m[2*i+1]})
	}
	return bound
}

// addendsOf are the addends that a result of all columns is tried with: an adapter's
// of one shard, those of two and three shards, and some that overlap.
func addendsOf(all int) [][]addend {
	half, third := all/2, all/3
	lists := [][]addend{
		{{0, all, 8, 1, packed, packed}},
		{{0, all, 33, 0.5, strided, transposed}, {0, all, 3, -2, transposed, strided}},
	}
	if third == 0 {
		return lists
	}
	return append(lists,
		[]addend{{0, half, 4, 1.5, strided, transposed}, {half, all - half, 4, 1.5, strided, transposed}},
		[]addend{
			{0, third, 24, 1, strided, packed},
			{third, third, 24, 1, strided, packed},
			{2 * third, third, 24, 1, strided, packed},
		},
		[]addend{
			{third, all - third, 16, 1, packed, strided},
			{0, half + 1, 5, 3, strided, packed},
			{all - 1, 1, 1, 1, packed, packed},
		})
}

func checkLinearAddends(t testing.TB, l lab) {
	for _, s := range append(productSizes, largeSize) {
		for i, addends := range addendsOf(s.n) {
			l.tryLinear(t, s.m, newWeight(formats[i%len(formats)], s.n, s.k), layout(i%2), addends...)
		}
	}
}

func checkLinearBackwardAddends(t testing.TB, l lab) {
	for _, s := range append(productSizes, largeSize) {
		for i, addends := range addendsOf(s.k) {
			w := newWeight(formats[i%len(formats)], s.n, s.k)
			l.tryLinearBackward(t, s.m, w, layout(i%2), i%3 == 0, addends...)
		}
	}
}
