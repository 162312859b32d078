package serving_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"bdlora/model/serving"
)

func TestFitLineFindsTheLine(t *testing.T) {
	line := serving.Line{Latency: 40e-6, PerByte: 1e-9}
	var samples []serving.Timed[float64]
	for i, bytes := range []float64{512, 4096, 65536, 1 << 20, 16 << 20} {
		noise := 1 + 0.02*float64(i%2*2-1)
		samples = append(samples, serving.Timed[float64]{Of: bytes, Seconds: noise * line.Seconds(bytes)})
	}
	got, err := serving.FitLine(samples)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "latency", got.Latency, line.Latency, 0.05)
	near(t, "seconds a byte", got.PerByte, line.PerByte, 0.05)
}

// Times that fall with the size, or grow faster than it, still give a line that can be.
func TestFitLineIsNeverNegative(t *testing.T) {
	for name, times := range map[string][]float64{"falling": {3e-6, 2e-6, 1e-6}, "convex": {1e-9, 1e-6, 1e-3}} {
		var samples []serving.Timed[float64]
		for i, seconds := range times {
			samples = append(samples, serving.Timed[float64]{Of: math.Pow(10, float64(i)), Seconds: seconds})
		}
		got, err := serving.FitLine(samples)
		if err != nil || got.Latency < 0 || got.PerByte < 0 || got.Latency+got.PerByte == 0 {
			t.Errorf("%s: got %+v and error %v, want a line that is not negative", name, got, err)
		}
	}
	if _, err := serving.FitLine([]serving.Timed[float64]{{Of: 8, Seconds: 1}, {Of: 8, Seconds: 2}}); err == nil {
		t.Error("one size: got no error, want one")
	}
}

// Steps of a known machine give it back, whichever of its rates bounds each.
func TestFitMachineFindsTheMachine(t *testing.T) {
	want := serving.Machine{ReadRate: 2e10, FlopRate: 1e11, Product: 3e-6}
	var samples []serving.Timed[serving.Work]
	for _, way := range serving.Ways() {
		s := setup(t, "llama-3.2-1b", way, 16)
		for _, step := range []serving.Step{{1, 128, 0}, {1, 512, 0}, {1, 1, 128}, {8, 1, 128}, {32, 1, 512}} {
			samples = append(samples, serving.Timed[serving.Work]{Of: s.Work(step), Seconds: want.Seconds(s.Work(step))})
		}
	}
	got, err := serving.FitMachine(samples)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "read rate", got.ReadRate, want.ReadRate, 1e-6)
	near(t, "flop rate", got.FlopRate, want.FlopRate, 1e-6)
	near(t, "seconds a product", got.Product, want.Product, 1e-6)
}

// Times that are nothing but noise still give a machine that can be.
func TestFitMachineOfNoiseIsNotNegative(t *testing.T) {
	const seeds = 200
	for seed := range uint64(seeds) {
		noise := rand.New(rand.NewPCG(seed, 1))
		var samples []serving.Timed[serving.Work]
		for _, way := range []serving.Way{serving.None, serving.BDLoRA} {
			s := setup(t, "llama-3.2-1b", way, 16)
			for _, step := range []serving.Step{{1, 3, 0}, {2, 1, 4}, {1, 512, 0}} {
				samples = append(samples, serving.Timed[serving.Work]{Of: s.Work(step), Seconds: 1e-3 + noise.Float64()})
			}
		}
		m, err := serving.FitMachine(samples)
		if err != nil || !(m.ReadRate > 0 && m.FlopRate > 0 && m.Product >= 0) {
			t.Fatalf("seed %d: got %+v and error %v, want positive rates", seed, m, err)
		}
	}
	if _, err := serving.FitMachine(nil); err == nil {
		t.Error("no samples: got no error, want one")
	}
}

// near fails unless got is want within a relative tolerance.
func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance*want) {
		t.Errorf("%s: got %g, want %g within %g", what, got, want, tolerance)
	}
}
