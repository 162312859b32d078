package kernels

// Precision is what products may make of float32 operands where a processor is faster
// with less, by the names and in the sense of PyTorch's float32_matmul_precision. It
// is a permission: a processor without such units computes in float32 anyway.
type Precision string

// The precisions.
const (
	PrecisionHighest Precision = "highest" // float32's own 24 significant bits
	PrecisionHigh    Precision = "high"    // 16 significant bits: two bfloat16 terms
	PrecisionMedium  Precision = "medium"  // 8 significant bits: rounded to bfloat16
)

// Precisions are all of them, best first.
func Precisions() []Precision { return []Precision{PrecisionHighest, PrecisionHigh, PrecisionMedium} }
