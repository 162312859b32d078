package kernels

// Flops is the number of floating-point operations of a product of an [m, k] with a
// [k, n] matrix: 2 for each of its multiply-adds.
func Flops(m, k, n int) float64 { return 2 * float64(m) * float64(k) * float64(n) }

// Flops is the number of floating-point operations that forward attention needs: two
// products over the keys that each query sees, exponentials not counted.
func (a *AttentionShape) Flops() float64 {
	seen := 0.0
	for i, queries := range a.Queries {
		q, before := float64(queries), float64(a.Keys[i]-queries)
		seen += q*before + q*(q+1)/2
	}
	return 2 * 2 * seen * float64(a.Heads*a.HeadDim)
}

// BackwardFlops is that of the backward pass: five products, of which the scores'
// are made anew, as is usual to count since arXiv 2205.14135 (FlashAttention).
func (a *AttentionShape) BackwardFlops() float64 { return 5. / 2 * a.Flops() }
