package kernelstest

import (
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"bdlora/kernels"
)

var memoryChecks = []check{
	{"AllocIsZero", checkAlloc},
	{"DownloadInvertsUpload", checkUpload},
	{"SlicesShareMemory", checkSlice},
	{"ValuesShareMemory", checkValue},
	{"BufOfRefusesViews", checkBufOfViews},
}

func checkAlloc(t testing.TB, l lab) {
	for _, n := range []int{0, 1, 17, 4099} {
		b := l.be.Alloc(n)
		if b.Len() != n {
			t.Fatalf("Alloc(%d): got %d elements", n, b.Len())
		}
		sameBits(t, "Alloc: ", download(l.be, b), make([]float32, n))
	}
}

func checkUpload(t testing.TB, l lab) {
	want := vector("x", source, 100).host
	b := l.be.Alloc(len(want))
	l.be.Upload(b, want)
	sameBits(t, "Download of an Upload: ", download(l.be, b), want)
}

func checkSlice(t testing.TB, l lab) {
	b := l.be.Alloc(7)
	l.be.Upload(b.Slice(2, 5).Slice(1, 3), []float32{1, 2})
	sameBits(t, "upload to elements 3 and 4: ", download(l.be, b), []float32{0, 0, 0, 1, 2, 0, 0})
}

func checkValue(t testing.TB, l lab) {
	for _, shape := range []tensor.Shape{{}, {1}, {6}, {1, 1}, {2, 3}, {1, 6}, {6, 1}, {3, 1, 2}} {
		b := l.be.Alloc(shape.TotalSize())
		v := l.be.Value(b, shape...)
		if !v.Shape().Eq(shape) || v.Dtype() != l.be.Dtype() {
			t.Fatalf("Value: got %v of shape %v, want %v of shape %v", v.Dtype(), v.Shape(), l.be.Dtype(), shape)
		}
		if _, scalar := v.(G.Scalar); scalar != (len(shape) == 0) {
			t.Fatalf("Value of shape %v: got a %T", shape, v)
		}
		want := vector("x", source, b.Len()).values()
		l.be.Upload(b, want)
		sameBits(t, "BufOf of a Value whose buffer has changed: ", download(l.be, l.be.BufOf(v)), want)
		l.be.Clear(l.be.BufOf(v))
		sameBits(t, "buffer whose Value was cleared: ", download(l.be, b), make([]float32, len(want)))
	}
}

func checkBufOfViews(t testing.TB, l lab) {
	whole := func() *tensor.Dense { return tensor.New(tensor.WithShape(3, 4), tensor.Of(l.be.Dtype())) }
	transposed := whole()
	if err := transposed.T(); err != nil {
		t.Fatal(err)
	}
	columns, err := whole().Slice(nil, tensor.S(1, 3))
	if err != nil {
		t.Fatal(err)
	}
	columnMajor := tensor.New(tensor.WithShape(3, 4), tensor.Of(l.be.Dtype()), tensor.AsFortran(nil))
	for name, v := range map[string]G.Value{"transposed": transposed, "columns": columns, "column-major": columnMajor} {
		mustPanic(t, l.be, "BufOf of a "+name+" tensor", func() { l.be.BufOf(v) })
	}
	mustPanic(t, l.be, "BufOf of another dtype", func() { l.be.BufOf(G.NewI(1)) })
	mustPanic(t, l.be, "Value of another size", func() { l.be.Value(l.be.Alloc(5), 2, 3) })
	mustPanic(t, l.be, "Upload of another size", func() { l.be.Upload(l.be.Alloc(5), make([]float32, 4)) })
	mustPanic(t, l.be, "Download of another size", func() { l.be.Download(make([]float32, 4), l.be.Alloc(5)) })
}

// zeros is a fresh [rows, cols] matrix.
func zeros(be kernels.Backend, rows, cols int) kernels.Matrix {
	return kernels.NewMatrix(be.Alloc(rows*cols), rows, cols)
}
