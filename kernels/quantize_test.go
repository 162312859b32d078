package kernels_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"bdlora/kernels"
)

// quantizedGolden is one matrix as bitsandbytes has it.
type quantizedGolden struct {
	Name         string  `json:"name"`
	Shape        [2]int  `json:"shape"`
	Codes        []byte  `json:"codes"`
	Absmax       []byte  `json:"absmax"` // float32 in int8
	NestedAbsmax []byte  `json:"nested_absmax"`
	Offset       float32 `json:"offset"`
	SHA256       string  `json:"sha256"` // of the numbers in float32
}

type quantizedGoldens struct {
	DynamicMap []byte            `json:"dynamic_map"`
	Ties       []byte            `json:"ties"`
	NF4        []quantizedGolden `json:"nf4"`
	ShortTies  []byte            `json:"short ties"`
	Halves     []byte            `json:"halves"`
	Int8       []quantizedGolden `json:"int8"`
}

func readQuantized(t *testing.T) (g quantizedGoldens) {
	t.Helper()
	text, err := os.ReadFile("testdata/quantized.json")
	if err == nil {
		err = json.Unmarshal(text, &g)
	}
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func floats(b []byte) []float32 {
	x := make([]float32, len(b)/4)
	for i := range x {
		x[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return x
}

// congruential are the numbers of testdata/make_quantized.py.
func congruential(state uint32, count int) []float32 {
	x := make([]float32, count)
	for i := range x {
		total := 0
		for range 4 {
			state = state*1664525 + 1013904223
			total += int(state>>20) - 1<<11
		}
		x[i] = float32(total) * 0x1p-17
		if i%500 == 499 {
			x[i] *= 8
		}
	}
	return x
}

// weightOf is x in a format of files.
func weightOf(name string, format kernels.Format, rows, cols int, x []float32) *kernels.Weight {
	w := &kernels.Weight{Name: name, Format: format, Rows: rows, Cols: cols}
	for _, v := range x {
		switch format {
		case kernels.FormatBF16:
			w.U16 = append(w.U16, kernels.Float32ToBF16(v))
		case kernels.FormatF16:
			w.U16 = append(w.U16, kernels.Float32ToF16(v))
		default:
			w.F32 = append(w.F32, v)
		}
	}
	return w
}

// weight is the matrix that a golden was made of.
func (g quantizedGolden) weight(seed uint32, all quantizedGoldens) *kernels.Weight {
	rows, cols := g.Shape[0], g.Shape[1]
	format := map[string]kernels.Format{"BF16": kernels.FormatBF16, "F16": kernels.FormatF16}[g.Name]
	literal := map[string][]byte{"ties": all.Ties, "short ties": all.ShortTies, "halves": all.Halves}[g.Name]
	if literal != nil {
		return weightOf(g.Name, format, rows, cols, floats(literal))
	}
	if g.Name == "odd" {
		seed = 8
	}
	return weightOf(g.Name, format, rows, cols, congruential(seed, rows*cols))
}

func quantize(t *testing.T, w *kernels.Weight, format kernels.Format, threads int) *kernels.Weight {
	t.Helper()
	q, err := w.Quantize(format, threads)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func decoded(w *kernels.Weight) []float32 {
	x := make([]float32, w.Rows*w.Cols)
	w.Decode(x, 0)
	return x
}

func sumOf(x []float32) string {
	sum := sha256.New()
	binary.Write(sum, binary.LittleEndian, x)
	return fmt.Sprintf("%x", sum.Sum(nil))
}

func TestDynamicMapIsBitsandbytes(t *testing.T) {
	if want := floats(readQuantized(t).DynamicMap); !slices.Equal(kernels.DynamicMap[:], want) {
		t.Errorf("got %v, want %v", kernels.DynamicMap, want)
	}
}

func TestNF4IsBitsandbytesBitForBit(t *testing.T) {
	goldens := readQuantized(t)
	for _, g := range goldens.NF4 {
		t.Run(g.Name, func(t *testing.T) {
			w := quantize(t, g.weight(7, goldens), kernels.FormatNF4, 2)
			wantBytes(t, "codes", w.NF4.Codes, g.Codes)
			if w.NF4.Offset != g.Offset {
				t.Errorf("offset is %v, want %v", w.NF4.Offset, g.Offset)
			}
			if want := floats(g.NestedAbsmax); !slices.Equal(w.NF4.NestedAbsmax, want) {
				t.Errorf("nested absmax is %v, want %v", w.NF4.NestedAbsmax, want)
			}
			wantBytes(t, "absmax", w.NF4.Absmax, g.Absmax)
			if got := sumOf(decoded(w)); got != g.SHA256 {
				t.Errorf("numbers hash to %s, want %s", got, g.SHA256)
			}
		})
	}
}

func wantBytes(t *testing.T, name string, got, want []byte) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: got %d bytes, want %d", name, len(got), len(want))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("%s: byte %d of %d is %#02x, want %#02x", name, i, len(want), got[i], want[i])
		}
	}
}

// Bitsandbytes multiplies by 1/127 where we divide, so that its numbers may be an ulp
// off: codes and scales are compared.
func TestInt8IsBitsandbytes(t *testing.T) {
	goldens := readQuantized(t)
	for _, g := range goldens.Int8 {
		t.Run(g.Name, func(t *testing.T) {
			w := quantize(t, g.weight(9, goldens), kernels.FormatInt8, 2)
			if want := floats(g.Absmax); !slices.Equal(w.Int8.Absmax, want) {
				t.Errorf("absmax is %v, want %v", w.Int8.Absmax, want)
			}
			for i, code := range w.Int8.Codes {
				if code != int8(g.Codes[i]) {
					t.Fatalf("code %d is %d, want %d", i, code, int8(g.Codes[i]))
				}
			}
		})
	}
}

// Half of the largest gap of NF4Map is 0.152; a block's scale survives in 8 bits to
// within a 64th of the largest deviation from their mean. Half a step of int8 is a
// 254th.
func TestQuantizedNumbersAreNear(t *testing.T) {
	const rows, cols = 30, 96
	w := weightOf("w", kernels.FormatF32, rows, cols, congruential(3, rows*cols))
	for format, bound := range map[kernels.Format]float32{kernels.FormatNF4: 0.152 + 0.06, kernels.FormatInt8: 1.001 / 254} {
		q := quantize(t, w, format, 1)
		for i, got := range decoded(q) {
			var block []float32
			if format == kernels.FormatNF4 {
				block = w.F32[i/64*64 : i/64*64+64]
			} else {
				block = w.F32[i/cols*cols : i/cols*cols+cols]
			}
			largest := max(slices.Max(block), -slices.Min(block))
			if off := max(got-w.F32[i], w.F32[i]-got); off > bound*largest {
				t.Fatalf("%v: number %d is %g, want %g within %g of %g", format, i, got, w.F32[i], bound, largest)
			}
		}
	}
}

func TestThreadsDoNotChangeQuantizedBits(t *testing.T) {
	const rows, cols = 700, 100
	w := weightOf("w", kernels.FormatBF16, rows, cols, congruential(4, rows*cols))
	one, many := quantize(t, w, kernels.FormatNF4, 1).NF4, quantize(t, w, kernels.FormatNF4, 5).NF4
	if !bytes.Equal(one.Codes, many.Codes) || !bytes.Equal(one.Absmax, many.Absmax) || one.Offset != many.Offset {
		t.Error("NF4 of 5 threads differs from that of one")
	}
	if one, many := quantize(t, w, kernels.FormatInt8, 1), quantize(t, w, kernels.FormatInt8, 5); !slices.Equal(one.Int8.Codes, many.Int8.Codes) {
		t.Error("int8 of 5 threads differs from that of one")
	}
}

func TestQuantizeRefusesWhatIsNotFinite(t *testing.T) {
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		w := weightOf("model.w", kernels.FormatF32, 3, 70, congruential(6, 210))
		w.F32[150] = float32(bad)
		for _, format := range []kernels.Format{kernels.FormatInt8, kernels.FormatNF4} {
			_, err := w.Quantize(format, 2)
			if err == nil || !strings.Contains(err.Error(), "model.w") || !strings.Contains(err.Error(), "row ") {
				t.Errorf("%v of %g: got error %v, want one that names the weight and the row", format, bad, err)
			}
		}
	}
}

// What is too small to divide by must not become NaN.
func TestQuantizeOfTinyNumbers(t *testing.T) {
	w := weightOf("w", kernels.FormatF32, 2, 64, congruential(6, 128))
	for i := range 64 {
		w.F32[i] *= 1e-38
	}
	for _, format := range []kernels.Format{kernels.FormatInt8, kernels.FormatNF4} {
		for i, x := range decoded(quantize(t, w, format, 1))[:64] {
			if !(x > -2e-4 && x < 2e-4) {
				t.Fatalf("%v: number %d is %g, want about 0", format, i, x)
			}
		}
	}
}
