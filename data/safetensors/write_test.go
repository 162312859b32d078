package safetensors_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bdlora/data/safetensors"
)

// entries is what would write f again.
func entries(t *testing.T, f *safetensors.File) []safetensors.Entry {
	t.Helper()
	var out []safetensors.Entry
	for _, x := range f.Tensors() {
		switch x.Dtype {
		case safetensors.F32:
			values, _ := x.F32()
			out = append(out, safetensors.FromF32(x.Name, x.Shape, values))
		case safetensors.BF16, safetensors.F16:
			out = append(out, safetensors.FromU16(x.Name, x.Dtype, x.Shape, mustU16(t, x)))
		default:
			out = append(out, safetensors.Entry{
				Name: x.Name, Dtype: x.Dtype, Shape: x.Shape,
				Data: func(w io.Writer) error { _, err := w.Write(x.Bytes()); return err },
			})
		}
	}
	return out
}

func TestWriteMakesTheBytesOfPython(t *testing.T) {
	want, err := os.ReadFile(goldenPath)
	if err != nil {
		t.Fatal(err)
	}
	f := open(t, goldenPath)
	shuffled := entries(t, f)
	for seed := range uint64(5) {
		rand.New(rand.NewPCG(seed, 0)).Shuffle(len(shuffled), func(i, j int) {
			shuffled[i], shuffled[j] = shuffled[j], shuffled[i]
		})
		path := filepath.Join(t.TempDir(), "out.safetensors")
		if err := safetensors.Write(path, shuffled, f.Metadata()); err != nil {
			t.Fatal(err)
		}
		if got, _ := os.ReadFile(path); !bytes.Equal(got, want) {
			t.Errorf("seed %d: got %d bytes\n%.300q\nwant %d bytes\n%.300q", seed, len(got), got, len(want), want)
		}
	}
}

func TestNumbersBeginAligned(t *testing.T) {
	for length := range 16 {
		var out bytes.Buffer
		name := strings.Repeat("n", length)
		err := safetensors.Encode(&out, []safetensors.Entry{safetensors.FromF32(name, nil, []float32{1})}, nil)
		if start := out.Len() - 4; err != nil || start%8 != 0 {
			t.Errorf("name of %d: numbers begin at byte %d (%v), want a multiple of 8", length, start, err)
		}
	}
}

func TestWriteOfManyPortions(t *testing.T) {
	values := make([]float32, 100_003)
	bits := make([]uint16, len(values))
	for i := range values {
		values[i], bits[i] = float32(i), uint16(i)
	}
	path := filepath.Join(t.TempDir(), "big.safetensors")
	err := safetensors.Write(path, []safetensors.Entry{
		safetensors.FromU16("u", safetensors.BF16, []int{len(bits)}, bits),
		safetensors.FromF32("f", []int{len(values)}, values),
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	f := open(t, path)
	wantF32(t, tensor(t, f, "f"), values)
	if got := mustU16(t, tensor(t, f, "u")); !slices.Equal(got, bits) {
		t.Error("u: got other bits than written")
	}
	if f.Metadata() != nil {
		t.Errorf("got metadata %v, want none", f.Metadata())
	}
}

func TestBadEntriesLeaveTheOldFile(t *testing.T) {
	errDisk := errors.New("no more rows")
	stream := func(dtype safetensors.Dtype, shape []int, data func(io.Writer) error) []safetensors.Entry {
		return []safetensors.Entry{{Name: "a", Dtype: dtype, Shape: shape, Data: data}}
	}
	f32 := func(shape []int, values ...float32) safetensors.Entry { return safetensors.FromF32("a", shape, values) }
	for _, test := range []struct {
		name    string
		entries []safetensors.Entry
		want    string
	}{
		{"same name", []safetensors.Entry{f32([]int{1}, 1), f32([]int{1}, 1)}, `tensor "a": the name occurs twice`},
		{"reserved name", []safetensors.Entry{safetensors.FromF32("__metadata__", nil, []float32{1})}, "is reserved"},
		{"unknown dtype", stream("F33", nil, nil), `dtype is "F33"`},
		{"negative size", []safetensors.Entry{f32([]int{-1})}, "no negative size"},
		{"too few", []safetensors.Entry{f32([]int{2, 2}, 1, 2, 3)}, `tensor "a": got 12 bytes, want 16 for F32 [2 2]`},
		{"too many", []safetensors.Entry{f32([]int{2}, 1, 2, 3)}, `tensor "a": got at least 4 bytes more`},
		{"failing", stream("F32", []int{1}, func(io.Writer) error { return errDisk }), errDisk.Error()},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "out.safetensors")
			if err := os.WriteFile(path, []byte("old"), 0o666); err != nil {
				t.Fatal(err)
			}
			err := safetensors.Write(path, test.entries, nil)
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.HasPrefix(err.Error(), path) {
				t.Errorf("got error %v, want the path and %q", err, test.want)
			}
			left, _ := os.ReadDir(dir)
			if got, _ := os.ReadFile(path); string(got) != "old" || len(left) != 1 {
				t.Errorf("got %q and %d files, want the old file alone", got, len(left))
			}
		})
	}
}
