package train_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"bdlora/train"
)

// inputs makes a model folder and datasets in a fresh working directory.
func inputs(t *testing.T) train.Config {
	t.Helper()
	t.Chdir(t.TempDir())
	if err := os.Mkdir("m", 0o777); err != nil {
		t.Fatal(err)
	}
	for path, content := range map[string]string{
		"m/model.safetensors": "weights", "m/config.json": "{}", "m/tokenizer.json": "tokens", "m/README.md": "words",
		"d.jsonl": "rows", "e.jsonl": "other rows",
	} {
		write(t, path, content)
	}
	return train.Config{ModelNameOrPath: "m", Dataset: "d.jsonl", EvalDataset: "e.jsonl"}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
		t.Fatal(err)
	}
}

func mustInputs(t *testing.T, c train.Config) []train.Fingerprint {
	t.Helper()
	prints, err := train.Inputs(c)
	if err != nil {
		t.Fatal(err)
	}
	return prints
}

func TestInputs(t *testing.T) {
	got := mustInputs(t, inputs(t))
	var want []train.Fingerprint
	for _, file := range [][2]string{
		{"model_name_or_path/config.json", "{}"}, {"model_name_or_path/model.safetensors", "weights"},
		{"model_name_or_path/tokenizer.json", "tokens"}, {"dataset", "rows"}, {"eval_dataset", "other rows"},
	} {
		sum := fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(file[1])))
		want = append(want, train.Fingerprint{Name: file[0], Bytes: int64(len(file[1])), Sum: sum})
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// The same content elsewhere is the same input; other content, a file more or a
// file less is not, and the line says which.
func TestDiffInputs(t *testing.T) {
	c := inputs(t)
	was := mustInputs(t, c)
	if err := os.Rename("m", "moved"); err != nil {
		t.Fatal(err)
	}
	c.ModelNameOrPath = "moved"
	write(t, "moved/README.md", "other words")
	if got := train.DiffInputs(was, mustInputs(t, c)); got != nil {
		t.Errorf("moved: got %q, want nothing", got)
	}
	write(t, "d.jsonl", "r0ws")
	write(t, "moved/chat_template.jinja", "{{ messages }}")
	if err := os.Remove("moved/tokenizer.json"); err != nil {
		t.Fatal(err)
	}
	got := train.DiffInputs(was, mustInputs(t, c))
	for i, want := range []string{
		"model_name_or_path/tokenizer.json: the checkpoint has it, this run has not",
		"dataset: the checkpoint has 4 bytes of sha256:",
		"model_name_or_path/chat_template.jinja: this run has it, the checkpoint has not",
	} {
		if len(got) != 3 || !strings.HasPrefix(got[i], want) {
			t.Fatalf("got %q, want 3 lines, number %d beginning with %q", got, i+1, want)
		}
	}
}

// Of a file over 512 MiB any change over a 512th of it is seen, and so is one byte at
// its start or end, where the sizes and names of tensors and the last numbers are.
func TestInputsSampleLargeFiles(t *testing.T) {
	c := inputs(t)
	const size = 600 << 20
	path := filepath.Join("m", "model.safetensors")
	fresh := func() *os.File { // zeros, which take no room on the disk
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		file, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := file.Truncate(size); err != nil {
			t.Fatal(err)
		}
		return file
	}
	fresh().Close()
	was := mustInputs(t, c)
	if !strings.HasPrefix(was[1].Sum, "sha256-sampled:") || was[1].Bytes != size {
		t.Errorf("got %v, want a sampled sum of %d bytes", was[1], size)
	}
	for _, tt := range []struct {
		name       string
		at, length int64
	}{
		{"first byte", 0, 1}, {"last byte", size - 1, 1},
		{"a 512th", size/3 + 12345, size/512 + 64<<10}, {"a 512th at the end", size - size/512 - 1, size / 512},
	} {
		file := fresh()
		if _, err := file.WriteAt([]byte(strings.Repeat("x", int(tt.length))), tt.at); err != nil {
			t.Fatal(err)
		}
		file.Close()
		if got := train.DiffInputs(was, mustInputs(t, c)); len(got) != 1 {
			t.Errorf("%s: got %q, want one line", tt.name, got)
		}
	}
}

func TestInputsThatAreNotThere(t *testing.T) {
	for _, missing := range []string{"m", "d.jsonl", "e.jsonl"} {
		c := inputs(t)
		if err := os.RemoveAll(missing); err != nil {
			t.Fatal(err)
		}
		if _, err := train.Inputs(c); err == nil || !strings.Contains(err.Error(), missing) {
			t.Errorf("without %s: got %v, want an error that names it", missing, err)
		}
	}
}
