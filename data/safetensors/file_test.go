package safetensors_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bdlora/data/safetensors"
)

const goldenPath = "testdata/dtypes.safetensors"

// ramp is what testdata/make.py puts into every tensor of numbers.
func ramp(count int, offset float32) []float32 {
	values := make([]float32, count)
	for i := range values {
		values[i] = float32(i)*0.75 - 2 + offset
	}
	return values
}

func open(t *testing.T, path string) *safetensors.File {
	t.Helper()
	f, err := safetensors.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func tensor(t *testing.T, f interface {
	Tensor(string) (*safetensors.Tensor, bool)
}, name string) *safetensors.Tensor {
	t.Helper()
	tensor, ok := f.Tensor(name)
	if !ok {
		t.Fatalf("no tensor %q", name)
	}
	return tensor
}

func wantF32(t *testing.T, tensor *safetensors.Tensor, want []float32) {
	t.Helper()
	got, err := tensor.F32()
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%s: got %v, %v, want %v", tensor.Name, got, err, want)
	}
}

func TestOpenReadsWhatPythonWrote(t *testing.T) {
	f := open(t, goldenPath)
	if got := f.Metadata(); len(got) != 1 || got["format"] != "pt <&>" {
		t.Errorf("got metadata %v, want format: pt <&>", got)
	}
	shapes := map[string]string{
		"f32": "F32 [3 4]", "bf16": "BF16 [5 1]", "f16": "F16 [7]", "f64": "F64 [2]", "i64": "I64 [3]",
		"i8": "I8 [3]", "bool": "BOOL [2]", "f8": "F8_E4M3 [5]", "scalar": "F32 []", "empty": "F32 [0 8]",
		`odd <name> & "é"`: "F32 [1]",
	}
	for _, x := range f.Tensors() {
		if got := fmt.Sprint(x.Dtype, " ", x.Shape); got != shapes[x.Name] {
			t.Errorf("%s: got %s, want %s", x.Name, got, shapes[x.Name])
		}
	}
	if got := len(f.Tensors()); got != len(shapes) {
		t.Errorf("got %d tensors, want %d", got, len(shapes))
	}
	if _, ok := f.Tensor("__metadata__"); ok {
		t.Error("got a tensor __metadata__, want none")
	}
}

func TestViewsHaveTheNumbersOfPython(t *testing.T) {
	f := open(t, goldenPath)
	wantF32(t, tensor(t, f, "f32"), ramp(12, 0))
	wantF32(t, tensor(t, f, "scalar"), ramp(1, 0))
	wantF32(t, tensor(t, f, "empty"), []float32{})
	for i, bits := range mustU16(t, tensor(t, f, "bf16")) {
		if got, want := math.Float32frombits(uint32(bits)<<16), ramp(5, 0)[i]; got != want {
			t.Errorf("bf16[%d]: got %v, want %v", i, got, want)
		}
	}
	// -2, -1.25, -0.5, 0.25, 1, 1.75, 2.5 as sign, 5 bits of exponent, 10 of fraction.
	f16 := []uint16{0xc000, 0xbd00, 0xb800, 0x3400, 0x3c00, 0x3f00, 0x4100}
	if got := mustU16(t, tensor(t, f, "f16")); !slices.Equal(got, f16) {
		t.Errorf("f16: got %x, want %x", got, f16)
	}
	i64 := tensor(t, f, "i64")
	if got := binary.LittleEndian.Uint64(i64.Bytes()[16:]); len(i64.Bytes()) != 24 || got != 2 {
		t.Errorf("i64: got %d bytes, last number %d, want 24 bytes and 2", len(i64.Bytes()), got)
	}
	if got := tensor(t, f, "f32").Elements(); got != 3*4 {
		t.Errorf("f32: got %d elements, want 12", got)
	}
}

func mustU16(t *testing.T, x *safetensors.Tensor) []uint16 {
	t.Helper()
	bits, err := x.U16()
	if err != nil {
		t.Fatal(err)
	}
	return bits
}

func TestViewsOfAnotherDtypeAreRefused(t *testing.T) {
	f := open(t, goldenPath)
	_, asF32 := tensor(t, f, "f64").F32()
	_, asU16 := tensor(t, f, "f32").U16()
	for want, err := range map[string]error{
		`tensor "f64": dtype is F64, want F32`:         asF32,
		`tensor "f32": dtype is F32, want BF16 or F16`: asU16,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got error %v, want %q", err, want)
		}
	}
}

// Old writers did not pad the header, so that the numbers lie at any address.
func TestUnalignedNumbersAreTheSame(t *testing.T) {
	for pad := range 8 {
		header := `{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},` +
			`"b":{"dtype":"BF16","shape":[1],"data_offsets":[8,10]}}` + strings.Repeat(" ", pad)
		f, err := safetensors.Parse(file(header, []byte("\x00\x00\x00\xc0\x00\x00\xa0\xbf\x80\x3f")))
		if err != nil {
			t.Fatal(err)
		}
		wantF32(t, tensor(t, f, "a"), ramp(2, 0))
		if got := mustU16(t, tensor(t, f, "b")); !slices.Equal(got, []uint16{0x3f80}) {
			t.Errorf("padding %d: got %x, want 3f80", pad, got)
		}
	}
}

func TestAlignedViewsAreNotCopies(t *testing.T) {
	x := tensor(t, open(t, goldenPath), "f32")
	first, _ := x.F32()
	second, _ := x.F32()
	if &first[0] != &second[0] {
		t.Error("got two copies, want one view")
	}
}

// file is a safetensors file of any header and body.
func file(header string, body []byte) []byte {
	data := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(data, header...), body...)
}

// The two kinds of bad files, for short.
var truncated, malformed = safetensors.ErrTruncated, safetensors.ErrFormat

// badFiles is shared with the fuzzer's seeds.
var badFiles = []struct {
	name string
	data []byte
	kind error
	want string
}{
	{"empty", nil, truncated, "0 bytes, want at least 8"},
	{"length only in part", []byte("1234567"), truncated, "7 bytes, want at least 8"},
	{"header cut", file(`{"a":1}`, nil)[:12], truncated, "header of 7 bytes, got 4"},
	{
		"header longer than memory", bytes.Repeat([]byte{0xff}, 64),
		malformed, "header of 18446744073709551615 bytes, want at most 100000000",
	},
	{"no header", file("", nil), malformed, "does not begin with '{'"},
	{"leading space", file(` {}`, nil), malformed, "does not begin with '{'"},
	{"array", file(`[]`, nil), malformed, "does not begin with '{'"},
	{"not JSON", file(`{"a"`, nil), malformed, "EOF"},
	{"not UTF-8", file("{\"\xff\":1}", nil), malformed, "not UTF-8"},
	{"two objects", file(`{}{}`, nil), malformed, "more than spaces"},
	{"bytes without tensors", file(`{}`, []byte("x")), malformed, "1 bytes behind the last tensor"},
	{"tensor is a number", file(`{"a":1}`, nil), malformed, `"a": not a valid safetensors file: got 1, want {`},
	{"metadata of numbers", file(`{"__metadata__":{"a":1}}`, nil), malformed, `"__metadata__": "a"`},
	{"tensor twice", oneF32(`"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},`), malformed, `"a" occurs twice`},
	{
		"key twice", one(`"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]`),
		malformed, `"dtype" occurs twice`,
	},
	{"key in capitals", one(`"DTYPE":"F32","shape":[1],"data_offsets":[0,4]`), malformed, `dtype is ""`},
	{"unknown dtype", one(`"dtype":"F33","shape":[1],"data_offsets":[0,4]`), malformed, `dtype is "F33"`},
	{"no shape", one(`"dtype":"F32","data_offsets":[0,4]`), malformed, "no shape"},
	{"null shape", one(`"dtype":"F32","shape":null,"data_offsets":[0,4]`), malformed, "got null"},
	{"negative size", one(`"dtype":"F32","shape":[-1],"data_offsets":[0,4]`), malformed, "no negative size"},
	{"fractional size", one(`"dtype":"F32","shape":[1.0],"data_offsets":[0,4]`), malformed, "1.0"},
	{
		"shape overflows", one(`"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]`),
		malformed, "2^64 bits",
	},
	{
		"shape wraps to 4", one(`"dtype":"U8","shape":[4611686018427387905,4],"data_offsets":[0,4]`),
		malformed, "2^64 bits",
	},
	{"half a byte", one(`"dtype":"F4","shape":[3],"data_offsets":[0,1]`), malformed, "12 bits, want whole bytes"},
	{"no offsets", one(`"dtype":"F32","shape":[1]`), malformed, "data_offsets is []"},
	{"one offset", one(`"dtype":"F32","shape":[1],"data_offsets":[4]`), malformed, "data_offsets is [4]"},
	{"three offsets", one(`"dtype":"F32","shape":[1],"data_offsets":[0,4,4]`), malformed, "data_offsets is [0 4 4]"},
	{"offsets backwards", one(`"dtype":"F32","shape":[1],"data_offsets":[4,0]`), malformed, "data_offsets is [4 0]"},
	{
		"offsets against shape", one(`"dtype":"F32","shape":[2],"data_offsets":[0,4]`),
		malformed, "hold 4 bytes, want 8 for F32 [2]",
	},
	{"data cut", one(`"dtype":"F32","shape":[2],"data_offsets":[0,8]`), truncated, "tensor ends at byte 8 of 4"},
	{"hole", one(`"dtype":"U8","shape":[3],"data_offsets":[1,4]`), malformed, `"a" begins at byte 1, want 0`},
	{
		"overlap", oneF32(`"b":{"dtype":"U8","shape":[2],"data_offsets":[2,4]},`),
		malformed, `"b" begins at byte 2, want 4`,
	},
	{
		"trailing byte", one(`"dtype":"U8","shape":[3],"data_offsets":[0,3]`),
		malformed, "1 bytes behind the last tensor",
	},
}

// one is a file of a tensor "a" with these members and four bytes of numbers.
func one(members string) []byte { return file(`{"a":{`+members+`}}`, []byte("1234")) }

// oneF32 is a file with these entries before a good tensor of four bytes.
func oneF32(entries string) []byte {
	return file(`{`+entries+`"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, []byte("1234"))
}

func TestBadFilesAreRefused(t *testing.T) {
	for _, test := range badFiles {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "bad.safetensors")
			if err := os.WriteFile(path, test.data, 0o666); err != nil {
				t.Fatal(err)
			}
			_, err := safetensors.Open(path)
			if !errors.Is(err, test.kind) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v, want %v and %q", err, test.kind, test.want)
			}
			if err == nil || !strings.HasPrefix(err.Error(), path+": safetensors: ") {
				t.Errorf("got error %v, want it to begin with the path", err)
			}
		})
	}
}

func TestUnknownKeysOfATensorAreLeftAlone(t *testing.T) {
	f, err := safetensors.Parse(one(`"dtype":"F32","shape":[1],"data_offsets":[0,4],"later":{"x":[1]}`))
	if err != nil || len(f.Tensors()) != 1 {
		t.Errorf("got %v, want one tensor", err)
	}
}

func TestOpenOfNoFile(t *testing.T) {
	if _, err := safetensors.Open(filepath.Join(t.TempDir(), "absent")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got error %v, want %v", err, fs.ErrNotExist)
	}
	if _, err := safetensors.Open(t.TempDir()); err == nil {
		t.Error("a folder: got no error, want one")
	}
}

func TestCloseTwice(t *testing.T) {
	f := open(t, goldenPath)
	if err := errors.Join(f.Close(), f.Close()); err != nil {
		t.Errorf("got %v, want no error", err)
	}
}
