package kernels_test

import (
	"testing"

	"bdlora/kernels"
	"bdlora/kernels/ref"
)

// Law: a Sizes counts every number that it is asked for in bytes of its Backend, and
// its buffers are cut like any other.
func TestSizesCountAndHoldNothing(t *testing.T) {
	for _, test := range []struct {
		be   kernels.Backend
		want int64
	}{{ref.New[float32](), 4 * 1e12}, {ref.New[float64](), 8 * 1e12}} {
		sizes := test.be.CountMemory()
		b := sizes.Alloc(1e12-5).Slice(3, 10)
		m := kernels.NewMatrix(sizes.Alloc(5), 1, 5)
		if b.Len() != 7 {
			t.Errorf("got a part of %d, want 7", b.Len())
		}
		sizes.Linear(m, m, nil)
		if sizes.SumSquares(b) != 0 {
			t.Error("got a sum, want 0: nothing is computed")
		}
		if got := sizes.Allocated(); got != test.want || sizes.Scratch() != 0 {
			t.Errorf("got %d bytes and %d of scratch, want %d and none", got, sizes.Scratch(), test.want)
		}
		if again := sizes.CountMemory(); again.Allocated() != 0 || again.Dtype() != test.be.Dtype() {
			t.Errorf("a new count begins at %d of %v", again.Allocated(), again.Dtype())
		}
	}
}
