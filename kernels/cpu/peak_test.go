package cpu_test

import (
	"testing"

	"bdlora/kernels/cpu"
)

// What a processor reaches is its own business, but a loop that has been optimised
// away would look like one of thousands of GHz.
func TestPeakRateIsThatOfAProcessor(t *testing.T) {
	eachPath(t, 1, func(t *testing.T, be *cpu.Backend) {
		const least, most = 1e8, 64 * 2 * 8e9 // four vectors of 16 multiply-adds a cycle at 8 GHz
		rate, of := be.PeakRate()
		if rate < least || rate > most {
			t.Errorf("got %g flops a second of %s, want %g to %g", rate, of, least, float64(most))
		}
		if of == "" {
			t.Error("got no name of what was measured")
		}
	})
}

func TestReadRateIsThatOfAMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("reads 1 GiB several times")
	}
	const least, most = 1e8, 1e13
	if rate := cpu.New(0).ReadRate(); rate < least || rate > most {
		t.Errorf("got %g bytes a second, want %g to %g", rate, float64(least), float64(most))
	}
}
