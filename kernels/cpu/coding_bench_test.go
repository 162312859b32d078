package cpu_test

import (
	"fmt"
	"testing"

	"bdlora/kernels"
	"bdlora/kernels/cpu"
)

// BenchmarkFormats compares what the formats of a weight cost: at 512 tokens their
// decoding, at one token their bytes.
func BenchmarkFormats(b *testing.B) {
	const out, in = 2048, 8192 // down_proj of Llama-3.2-1B
	for _, format := range []kernels.Format{
		kernels.FormatF32, kernels.FormatBF16, kernels.FormatInt8, kernels.FormatNF4,
	} {
		w := quantizedWeight(format, out, in)
		for _, tokens := range []int{1, 512} {
			x, y := randomMatrix(tokens, in), randomMatrix(tokens, out)
			flops := 2 * float64(tokens*out*in)
			eachBackend(b, fmt.Sprintf("format=%v/pass=forward/tokens=%d", format, tokens), func(b *testing.B, be *cpu.Backend) {
				measure(b, flops, func() { be.Linear(y, x, w) })
			})
			if tokens > 1 {
				eachBackend(b, fmt.Sprintf("format=%v/pass=backward/tokens=%d", format, tokens), func(b *testing.B, be *cpu.Backend) {
					measure(b, flops, func() { be.LinearBackward(x, y, w, false) })
				})
			}
		}
	}
}

// quantizedWeight is randomWeight in any format.
func quantizedWeight(format kernels.Format, out, in int) *kernels.Weight {
	if format <= kernels.FormatF16 {
		return randomWeight(format, out, in)
	}
	w, err := randomWeight(kernels.FormatF32, out, in).Quantize(format, 2)
	if err != nil {
		panic(err) // the numbers are finite
	}
	return w
}

func BenchmarkQuantize(b *testing.B) {
	w := randomWeight(kernels.FormatBF16, 2048, 2048)
	for _, format := range []kernels.Format{kernels.FormatInt8, kernels.FormatNF4} {
		for _, threads := range []int{1, 2} {
			b.Run(fmt.Sprintf("format=%v/threads=%d", format, threads), func(b *testing.B) {
				for b.Loop() {
					if _, err := w.Quantize(format, threads); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(2048*2048), "ns/element")
			})
		}
	}
}
