package kernels

import "fmt"

// Format is how the numbers of a frozen [Weight] are stored.
type Format uint8

// The formats of Hugging Face checkpoints, and those that a base model is held in
// to take less memory.
const (
	FormatF32  Format = iota // IEEE 754 binary32
	FormatBF16               // the upper half of a binary32
	FormatF16                // IEEE 754 binary16
	FormatInt8               // see [Int8]
	FormatNF4                // see [NF4]
)

// String is the format's name in a safetensors header, F32, BF16, F16, and INT8 or
// NF4, which headers have not.
func (f Format) String() string {
	switch f {
	case FormatF32:
		return "F32"
	case FormatBF16:
		return "BF16"
	case FormatF16:
		return "F16"
	case FormatInt8:
		return "INT8"
	case FormatNF4:
		return "NF4"
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

// Weight is a frozen [Rows, Cols] matrix in the format of its file, row-major: number
// (i, j) is that at i·Stride()+j. It usually lies in a memory-mapped file: nobody may
// write to it, and nothing copies it whole. For a linear, Rows is out and Cols is in.
type Weight struct {
	Name       string // the checkpoint's full path, for messages
	Format     Format
	Rows, Cols int
	Gap        int       // numbers between two rows, which a view of some columns leaves out
	F32        []float32 // FormatF32: numbers
	U16        []uint16  // FormatBF16 and FormatF16: bit patterns
	Int8       *Int8     // FormatInt8
	NF4        *NF4      // FormatNF4
}

// Stride is the distance from the start of a row to that of the next.
func (w *Weight) Stride() int { return w.Cols + w.Gap }

// RowRange is the view of rows [from, to) of w.
func (w *Weight) RowRange(from, to int) *Weight { return w.part(from, to, 0, w.Cols) }

// ColRange is the view of columns [from, to) of w.
func (w *Weight) ColRange(from, to int) *Weight { return w.part(0, w.Rows, from, to) }

func (w *Weight) part(row, rowEnd, col, colEnd int) *Weight {
	if row < 0 || rowEnd < row || rowEnd > w.Rows || col < 0 || colEnd < col || colEnd > w.Cols {
		panic(fmt.Sprintf("kernels: rows [%d, %d) and columns [%d, %d) of weight %s, which is [%d, %d]",
			row, rowEnd, col, colEnd, w.Name, w.Rows, w.Cols))
	}
	p := *w
	p.Rows, p.Cols, p.Gap = rowEnd-row, colEnd-col, w.Stride()-(colEnd-col)
	start, end := row*w.Stride()+col, (rowEnd-1)*w.Stride()+colEnd
	if p.Rows == 0 || p.Cols == 0 {
		start, end = 0, 0
	}
	switch w.Format {
	case FormatF32:
		p.F32 = w.F32[start:end]
	case FormatBF16, FormatF16:
		p.U16 = w.U16[start:end]
	case FormatInt8:
		p.Int8 = &Int8{Codes: w.Int8.Codes[start:end], Absmax: w.Int8.Absmax[row:rowEnd]}
	case FormatNF4:
		q := *w.NF4
		q.First += start
		p.NF4 = &q
	}
	return &p
}

// Scale is the factor of the number at i, and of all that share it: of its row in
// FormatInt8, of its block in FormatNF4. It is 1 in the other formats.
func (w *Weight) Scale(i int) float32 {
	switch w.Format {
	case FormatInt8:
		return w.Int8.Scale(i / w.Stride())
	case FormatNF4:
		return w.NF4.Scale((w.NF4.First + i) / NF4Block)
	}
	return 1
}

// Scales sets dst to the factors of the numbers at from, from+stride and so on.
func (w *Weight) Scales(dst []float32, from, stride int) {
	if w.Format == FormatNF4 && stride%NF4Block == 0 {
		w.NF4.scales(dst, (w.NF4.First+from)/NF4Block, stride/NF4Block)
		return
	}
	for i := range dst {
		dst[i] = w.Scale(from + i*stride)
	}
}

// Decode sets dst to the numbers at from, from+1 and so on, those of a gap included.
// It is the definition of every format.
func (w *Weight) Decode(dst []float32, from int) {
	switch w.Format {
	case FormatF32:
		copy(dst, w.F32[from:from+len(dst)])
	case FormatBF16:
		for i, bits := range w.U16[from : from+len(dst)] {
			dst[i] = BF16ToFloat32(bits)
		}
	case FormatF16:
		for i, bits := range w.U16[from : from+len(dst)] {
			dst[i] = F16ToFloat32(bits)
		}
	case FormatInt8:
		w.Int8.decode(dst, from, w.Stride())
	case FormatNF4:
		w.NF4.decode(dst, w.NF4.First+from)
	default:
		panic(fmt.Sprintf("kernels: weight %s has format %d, want one up to NF4", w.Name, w.Format))
	}
}
