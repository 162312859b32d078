package safetensors_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bdlora/data/safetensors"
)

func TestOpenModelReadsShardsAsOne(t *testing.T) {
	m, err := safetensors.OpenModel("testdata/sharded")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for i := range 3 {
		wantF32(t, tensor(t, m, fmt.Sprintf("layer.%d.weight", i)), ramp(8*4, float32(i)))
	}
	wantF32(t, tensor(t, m, "norm.weight"), ramp(4, 0))
	if got := len(m.Tensors()); got != 4 {
		t.Errorf("got %d tensors, want 4", got)
	}
	if _, ok := m.Tensor("layer.3.weight"); ok {
		t.Error("got a tensor layer.3.weight, want none")
	}
}

// shardA and shardB are files of one tensor each.
var (
	shardA = file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, []byte("A"))
	shardB = file(`{"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, []byte("B"))
)

func modelDir(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "model")
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestOneFileWinsOverAnIndex(t *testing.T) {
	m, err := safetensors.OpenModel(modelDir(t, map[string]string{
		"model.safetensors":            string(shardA),
		"model.safetensors.index.json": "not even JSON",
	}))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if got := tensor(t, m, "a").Bytes(); string(got) != "A" {
		t.Errorf("got %q, want A", got)
	}
}

func TestTheIndexDecidesWhichShardCounts(t *testing.T) {
	stale := `"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}`
	m, err := safetensors.OpenModel(modelDir(t, map[string]string{
		"model.safetensors.index.json": `{"weight_map":{"b":"1.safetensors","a":"2.safetensors"}}`,
		"1.safetensors":                string(shardB),
		"2.safetensors":                string(file("{"+stale+"}", []byte("A-"))),
	}))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if got := tensor(t, m, "b").Bytes(); string(got) != "B" || len(m.Tensors()) != 2 {
		t.Errorf("got %q of %d tensors, want B of 2", got, len(m.Tensors()))
	}
}

func TestBadModelsAreRefused(t *testing.T) {
	index := func(pairs string) string { return `{"weight_map":{` + pairs + `}}` }
	for _, test := range []struct {
		name, index string
		kind        error
		want        string
	}{
		{"not JSON", `{`, safetensors.ErrFormat, "unexpected end"},
		{"no tensors", `{}`, safetensors.ErrFormat, "lists no tensor"},
		{"shard above", index(`"a":"../a.safetensors"`), safetensors.ErrFormat, `"../a.safetensors", want a plain`},
		{"shard below", index(`"a":"sub/a.safetensors"`), safetensors.ErrFormat, "want a plain file name"},
		{"absolute shard", index(`"a":"/etc/passwd"`), safetensors.ErrFormat, "want a plain file name"},
		{"no name", index(`"a":""`), safetensors.ErrFormat, "want a plain file name"},
		{"dots", index(`"a":".."`), safetensors.ErrFormat, "want a plain file name"},
		{"missing shard", index(`"a":"absent.safetensors"`), os.ErrNotExist, "absent.safetensors"},
		{"tensor elsewhere", index(`"b":"a.safetensors"`), safetensors.ErrFormat, `tensor "b" is not in a.`},
		{"bad shard", index(`"a":"a.safetensors","x":"bad.safetensors"`), safetensors.ErrTruncated, "bad.safetensors"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := modelDir(t, map[string]string{
				"model.safetensors.index.json": test.index,
				"a.safetensors":                string(shardA),
				"sub/a.safetensors":            string(shardA),
				"../a.safetensors":             string(shardA),
				"bad.safetensors":              "x",
			})
			_, err := safetensors.OpenModel(dir)
			if !errors.Is(err, test.kind) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v, want %v and %q", err, test.kind, test.want)
			}
		})
	}
}

func TestAFolderWithoutWeights(t *testing.T) {
	if _, err := safetensors.OpenModel(t.TempDir()); !errors.Is(err, safetensors.ErrNoWeights) {
		t.Errorf("got error %v, want %v", err, safetensors.ErrNoWeights)
	}
}

func TestATruncatedModelIsNotMissing(t *testing.T) {
	dir := modelDir(t, map[string]string{"model.safetensors": string(shardA[:len(shardA)-1])})
	if _, err := safetensors.OpenModel(dir); !errors.Is(err, safetensors.ErrTruncated) {
		t.Errorf("got error %v, want %v", err, safetensors.ErrTruncated)
	}
}
