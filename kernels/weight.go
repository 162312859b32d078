package kernels

// Format is how the numbers of a frozen [Weight] are stored.
type Format uint8

// The formats of Hugging Face checkpoints.
const (
	FormatF32  Format = iota // IEEE 754 binary32
	FormatBF16               // the upper half of a binary32
	FormatF16                // IEEE 754 binary16
)

// String is the format's name in a safetensors header: F32, BF16, F16.
func (f Format) String() string {
	switch f {
	case FormatF32:
		return "F32"
	case FormatBF16:
		return "BF16"
	case FormatF16:
		return "F16"
	}
	return "unknown"
}

// Float32 is the number that a bit pattern of FormatBF16 or FormatF16 stands for.
func (f Format) Float32(bits uint16) float32 {
	if f == FormatF16 {
		return F16ToFloat32(bits)
	}
	return BF16ToFloat32(bits)
}

// Weight is a frozen [Rows, Cols] matrix in the format of its file, row-major and
// without gaps. It usually lies in a memory-mapped file: nobody may write to it,
// and nothing copies it whole. For a linear, Rows is out and Cols is in.
type Weight struct {
	Name       string // the checkpoint's full path, for messages
	Format     Format
	Rows, Cols int
	F32        []float32 // FormatF32: Rows·Cols numbers
	U16        []uint16  // FormatBF16 and FormatF16: Rows·Cols bit patterns
}

// RowRange is the view of rows [from, to) of w.
func (w *Weight) RowRange(from, to int) *Weight {
	p := *w
	p.Rows = to - from
	if w.F32 != nil {
		p.F32 = w.F32[from*w.Cols : to*w.Cols]
	}
	if w.U16 != nil {
		p.U16 = w.U16[from*w.Cols : to*w.Cols]
	}
	return &p
}
