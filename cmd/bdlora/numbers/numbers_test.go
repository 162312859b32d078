package numbers_test

import (
	"testing"

	"bdlora/cmd/bdlora/numbers"
)

func TestNumbersAreForPeople(t *testing.T) {
	for got, want := range map[string]string{
		numbers.Thousands(0): "0", numbers.Thousands(999): "999", numbers.Thousands(1000): "1,000",
		numbers.Thousands(int64(12345678)): "12,345,678",
		numbers.Rate(99.94):                "99.9", numbers.Rate(1234.5): "1,234",
		numbers.Mebibytes(3 << 19):     "1.5 MiB",
		numbers.Milliseconds(0.012345): "12.3",
		numbers.Trainable(25, 10000):   "trainable params: 25 || all params: 10,000 || trainable%: 0.2500",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestMedianOfAnEvenNumberIsTheLower(t *testing.T) {
	for want, values := range map[float64][]float64{1: {1}, 2: {3, 2}, 3: {9, 1, 3}, 4: {7, 5, 4, 1}} {
		if got := numbers.Median(values); got != want {
			t.Errorf("%v: got %g, want %g", values, got, want)
		}
	}
}
