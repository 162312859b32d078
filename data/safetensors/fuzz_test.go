package safetensors_test

import (
	"bytes"
	"os"
	"runtime"
	"testing"

	"bdlora/data/safetensors"
)

// FuzzSafetensors feeds any bytes to Parse. What it accepts covers the bytes behind
// the header, each once, and is written back with the same tensors.
func FuzzSafetensors(f *testing.F) {
	golden, err := os.ReadFile(goldenPath)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(golden)
	f.Add([]byte(shardA))
	for _, bad := range badFiles {
		f.Add(bad.data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := safetensors.Parse(data)
		if err != nil {
			return
		}
		rest := data
		for i := len(file.Tensors()) - 1; i >= 0; i-- {
			x := file.Tensors()[i]
			if !bytes.HasSuffix(rest, x.Bytes()) {
				t.Fatalf("tensor %q: its bytes do not end where the next one begins", x.Name)
			}
			rest = rest[:len(rest)-len(x.Bytes())]
		}
		wantSameAfterWriting(t, file)
	})
}

func wantSameAfterWriting(t *testing.T, f *safetensors.File) {
	t.Helper()
	var out bytes.Buffer
	if err := safetensors.Encode(&out, entries(t, f), f.Metadata()); err != nil {
		t.Fatal(err)
	}
	again, err := safetensors.Parse(out.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range f.Tensors() {
		if got := tensor(t, again, want.Name); got.Dtype != want.Dtype || !bytes.Equal(got.Bytes(), want.Bytes()) {
			t.Errorf("tensor %q: got %s %x, want %s %x", want.Name, got.Dtype, got.Bytes(), want.Dtype, want.Bytes())
		}
	}
}

// A header may claim any size. Memory follows the bytes that are there.
func TestClaimsAllocateNothing(t *testing.T) {
	const limit = 64 << 10
	for _, bad := range badFiles {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := safetensors.Parse(bad.data)
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; err == nil || got > limit {
			t.Errorf("%s: %d bytes allocated for %d in the file (%v), want at most %d",
				bad.name, got, len(bad.data), err, limit)
		}
	}
}
