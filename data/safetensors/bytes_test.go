package safetensors_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bdlora/data/safetensors"
)

func TestBytesComeBackAsWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "model.safetensors")
	signed, unsigned := []int8{-128, -1, 0, 127, 5, 6}, []byte{255, 0, 7}
	err := safetensors.Write(path, []safetensors.Entry{
		safetensors.FromBytes("signed", []int{2, 3}, signed),
		safetensors.FromBytes("unsigned", []int{3}, unsigned),
		safetensors.FromBytes("none", []int{0}, []int8{}),
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	f, err := safetensors.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for name, want := range map[string][]int8{"signed": signed, "none": {}} {
		tensor, _ := f.Tensor(name)
		if got, err := tensor.I8(); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: got %v and error %v, want %v", name, got, err, want)
		}
	}
	tensor, _ := f.Tensor("unsigned")
	if !slices.Equal(tensor.Bytes(), unsigned) {
		t.Errorf("got %v, want %v", tensor.Bytes(), unsigned)
	}
	if _, err := tensor.I8(); err == nil || !strings.Contains(err.Error(), "dtype is U8, want I8") {
		t.Errorf("got error %v, want one that names both dtypes", err)
	}
}

// A few MiB are many pages, and the tensors begin and end within one.
func TestReleasedNumbersCanStillBeRead(t *testing.T) {
	dir := t.TempDir()
	var entries []safetensors.Entry
	want := map[string][]int8{}
	for _, name := range []string{"a", "b", "c"} {
		numbers := make([]int8, 1<<20+77)
		for i := range numbers {
			numbers[i] = int8(i%101) + int8(name[0])
		}
		want[name] = numbers
		entries = append(entries, safetensors.FromBytes(name, []int{len(numbers)}, numbers))
	}
	path := filepath.Join(dir, "model.safetensors")
	if err := safetensors.Write(path, entries, nil); err != nil {
		t.Fatal(err)
	}
	m, err := safetensors.OpenModel(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if got := m.Paths(); !slices.Equal(got, []string{path}) {
		t.Errorf("paths are %q, want %q", got, path)
	}
	for range 2 {
		for _, tensor := range m.Tensors() {
			got, err := tensor.I8()
			if err != nil || !slices.Equal(got, want[tensor.Name]) {
				t.Errorf("%s: numbers differ, error %v", tensor.Name, err)
			}
			tensor.Release()
		}
	}
}
