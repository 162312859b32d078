package bdlora_test

import (
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bdlora/bdlora"
	"bdlora/data/safetensors"
)

// saved is the shards' folder of an adapter in a temporary one.
func saved(t *testing.T, a *bdlora.Adapter) string {
	t.Helper()
	dir := t.TempDir()
	if err := a.SaveShards(dir); err != nil {
		t.Fatal(err)
	}
	return bdlora.ShardsPath(dir, a.Plan.Shards())
}

func TestShardsComeBackBitForBit(t *testing.T) {
	for _, n := range []int{1, 2, 4} {
		c := config(8, n)
		c.Targets = []string{"q_proj", "down_proj"}
		c.RankPattern = map[string]int{"down_proj": 4}
		a := trained(t, c)
		a.Shards[n-1][0] = math.Float32frombits(0x7fc00123) // a NaN keeps its payload
		a.Shards[n-1][1] = float32(math.Copysign(0, -1))
		dir := saved(t, a)
		got, err := bdlora.LoadShards(dir, tiny.base())
		if err != nil {
			t.Fatal(err)
		}
		for i := range a.Shards {
			if !slices.Equal(bits(got.Shards[i]), bits(a.Shards[i])) {
				t.Errorf("n=%d: shard %d differs", n, i)
			}
		}
		again := saved(t, got)
		for _, name := range names(t, dir) {
			wantSameFile(t, filepath.Join(again, name), filepath.Join(dir, name))
		}
	}
}

// Law: what several processes draw, write and read, a part each, is what one does.
func TestPartsAreTheWhole(t *testing.T) {
	plan, err := bdlora.NewPlan(tiny.base(), config(8, 4))
	if err != nil {
		t.Fatal(err)
	}
	whole := bdlora.New(plan, 7)
	want, dir := saved(t, whole), t.TempDir()
	for from := 0; from < 4; from += 2 {
		part := bdlora.NewPart(plan, 7, from, from+2)
		if err := part.WriteShards(dir); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(part.SaveShards(t.TempDir()), part.SavePEFT(t.TempDir())); err == nil || part.Whole() {
			t.Error("half of an adapter was saved as if it were a whole one")
		}
	}
	if err := bdlora.WriteShardsIndex(dir, plan); err != nil {
		t.Fatal(err)
	}
	for _, name := range names(t, want) {
		wantSameFile(t, filepath.Join(dir, name), filepath.Join(want, name))
	}
	part, err := bdlora.LoadShardsPart(dir, tiny.base(), 1, 3)
	if err != nil {
		t.Fatal(err)
	}
	for i, shard := range whole.Part(1, 3).Shards {
		if part.First != 1 || !slices.Equal(bits(part.Shards[i]), bits(shard)) {
			t.Errorf("shard %d differs", part.First+i)
		}
	}
	if _, err := bdlora.LoadShardsPart(dir, tiny.base(), 2, 5); err == nil {
		t.Error("got no error for shards [2, 5) of 4")
	}
}

func bits(values []float32) []uint32 {
	b := make([]uint32, len(values))
	for i, v := range values {
		b[i] = math.Float32bits(v)
	}
	return b
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

func TestShardFilesAreCountedFromZero(t *testing.T) {
	dir := saved(t, trained(t, config(8, 2)))
	if want := filepath.Join("shards", "tp2"); !strings.HasSuffix(dir, want) {
		t.Errorf("got folder %s, want it to end in %s", dir, want)
	}
	want := []string{"shard-0-of-2.safetensors", "shard-1-of-2.safetensors", "shards.json"}
	if got := names(t, dir); !slices.Equal(got, want) {
		t.Errorf("got files %q, want %q", got, want)
	}
}

func TestShardHoldsItsOwnBlocksUnderItsOwnNames(t *testing.T) {
	a := trained(t, config(8, 4))
	file, err := safetensors.Open(filepath.Join(saved(t, a), bdlora.ShardName(2, 4)))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, tensor := range file.Tensors() {
		if strings.Contains(tensor.Name, "lora") {
			t.Errorf("%s could be taken for PEFT's", tensor.Name)
		}
	}
	down := a.Plan.Modules[6]
	tensor, ok := file.Tensor("model.layers.0.mlp.down_proj.A")
	if !ok || !slices.Equal(tensor.Shape, []int{8 / 4, 24 / 4}) {
		t.Fatalf("got %+v, want down_proj's A of shape [2 6]", tensor)
	}
	first := math.Float32frombits(binary.LittleEndian.Uint32(tensor.Bytes()))
	if want := down.A.Of(a.Shards[2])[0]; first != want {
		t.Errorf("got first element %g, want %g", first, want)
	}
}

func TestSaveShardsReplacesTheFolder(t *testing.T) {
	dir := t.TempDir()
	first, second := trained(t, config(8, 2)), trained(t, config(4, 2))
	for _, a := range []*bdlora.Adapter{first, second} {
		if err := a.SaveShards(dir); err != nil {
			t.Fatal(err)
		}
	}
	got, err := bdlora.LoadShards(bdlora.ShardsPath(dir, 2), tiny.base())
	if err != nil {
		t.Fatal(err)
	}
	wantSame(t, got, second)
}

func TestLoadShardsRefuses(t *testing.T) {
	const first, second = "shard-0-of-2.safetensors", "shard-1-of-2.safetensors"
	for _, tc := range []struct {
		name   string
		damage func(t *testing.T, dir string)
		want   []string
	}{
		{"a flipped bit", func(t *testing.T, dir string) {
			text := readFile(t, filepath.Join(dir, second))
			text[len(text)-1] ^= 1
			writeFile(t, filepath.Join(dir, second), text)
		}, []string{second, "SHA-256"}},
		{"a cut file", func(t *testing.T, dir string) {
			text := readFile(t, filepath.Join(dir, first))
			writeFile(t, filepath.Join(dir, first), text[:len(text)-4])
		}, []string{first, "bytes with SHA-256"}},
		{"a missing file", func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, second)); err != nil {
				t.Fatal(err)
			}
		}, []string{second}},
		{"another format", edit(`"bdlora-shards"`, `"rank-shards"`), []string{"shards.json", `format "rank-shards"`}},
		{"a later version", edit(`"version": 1`, `"version": 2`), []string{"version 2", "want \"bdlora-shards\" version 1"}},
		{"an unknown key", edit(`"version"`, `"revision"`), []string{`unknown field "revision"`}},
		{"another number of blocks", edit(`"nblocks": 2`, `"nblocks": 4`), []string{"got 2 files, want nblocks = 4"}},
		{"another place", edit(first, "../x"), []string{`file 0 is "../x"`}},
		{"another rank", edit(`"lora_r": 8`, `"lora_r": 4`), []string{first, "shape is [4 16], want [2 16]"}},
		{"fewer linears", edit(`"all-linear"`, `"q_proj"`), []string{first, "got 28 tensors, want 4"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := saved(t, trained(t, config(8, 2)))
			tc.damage(t, dir)
			_, err := bdlora.LoadShards(dir, tiny.base())
			wantError(t, err, tc.want...)
		})
	}
}

// edit replaces a text of shards.json.
func edit(old, replacement string) func(t *testing.T, dir string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		path := filepath.Join(dir, "shards.json")
		text := string(readFile(t, path))
		if !strings.Contains(text, old) {
			t.Fatalf("shards.json does not hold %s:\n%s", old, text)
		}
		writeFile(t, path, []byte(strings.Replace(text, old, replacement, 1)))
	}
}

func TestReadShardRefusesAnotherShard(t *testing.T) {
	a := trained(t, config(8, 2))
	path := filepath.Join(t.TempDir(), "one.safetensors")
	if err := bdlora.WriteShard(path, a.Plan, 1, a.Shards[1]); err != nil {
		t.Fatal(err)
	}
	values := make([]float32, a.Plan.ShardLen)
	wantError(t, bdlora.ReadShard(path, a.Plan, 0, values), path, `metadata "shard": got "1", want "0"`)
	wantError(t, bdlora.ReadShard(path, a.Plan, 1, values[1:]), "want 1376")
	wantError(t, bdlora.WriteShard(path, a.Plan, 1, values[1:]), "got 1375 values, want 1376")
	if err := bdlora.ReadShard(path, a.Plan, 1, values); err != nil || !slices.Equal(values, a.Shards[1]) {
		t.Errorf("got %v, %v; want what was written", values, err)
	}
}
