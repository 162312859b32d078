package train_test

import (
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"bdlora/bdlora"
	"bdlora/kernels/comm"
	"bdlora/train"
)

// tinyBase is a model of one layer with a column- and a row-parallel linear.
func tinyBase() bdlora.Base {
	return bdlora.Base{
		NameOrPath: "m", Layers: 1, Heads: 4, KVHeads: 2, Params: 96,
		Linears: []bdlora.Linear{
			{Name: "self_attn.q_proj", Out: 8, In: 6, Heads: 4, Parallel: bdlora.ColumnParallel},
			{Name: "self_attn.o_proj", Out: 6, In: 8, Heads: 4, Parallel: bdlora.RowParallel},
		},
	}
}

// snapshotAt is a run after so many steps, in two shards of random numbers.
func snapshotAt(t *testing.T, step int) *train.Snapshot {
	t.Helper()
	config := train.DefaultConfig()
	config.ModelNameOrPath, config.Dataset, config.OutputDir = "m", "d.jsonl", "o"
	config.Blocks, config.LoraR, config.LoraAlpha = 2, 4, 32
	plan, err := bdlora.NewPlan(tinyBase(), config.Adapter())
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, uint64(step)))
	numbers := func() [][]float32 {
		shards := make([][]float32, plan.Shards())
		for i := range shards {
			for range plan.ShardLen {
				shards[i] = append(shards[i], float32(random.NormFloat64()))
			}
		}
		return shards
	}
	loss := 1 / float64(step)
	return &train.Snapshot{
		Config:  config,
		Adapter: &bdlora.Adapter{Plan: plan, Shards: numbers()},
		First:   numbers(),
		Second:  numbers(),
		State: train.State{
			GlobalStep: step, MaxSteps: 100, Epoch: float64(step) / 3, TokensSeen: 1 << 60, TrainedTokens: 77,
			Interval:   train.Interval{Steps: 3, LossSum: 1.0 / 3, Tokens: 9, TrainedTokens: 7, Elapsed: time.Second},
			BestMetric: &loss, BestStep: step, Patience: 1, Elapsed: time.Minute,
			LogHistory: []train.Entry{{CurrentSteps: step, TotalSteps: 100, Loss: &loss}},
			Inputs:     []train.Fingerprint{{Name: "dataset", Bytes: 5, Sum: "sha256:00"}},
		},
	}
}

// alone is the grid of one process.
func alone(t *testing.T) *train.Grid {
	t.Helper()
	grid, err := train.NewGrid(comm.Alone(), 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	return grid
}

func save(t *testing.T, outputDir string, step int) (dir string) {
	t.Helper()
	dir, err := train.SaveCheckpoint(alone(t), outputDir, snapshotAt(t, step))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// tree is the content of all files below dir, by path.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(filepath.Join(dir, path))
		files[path] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestCheckpointGivesBackTheRun(t *testing.T) {
	want := snapshotAt(t, 7)
	want.First[0][0] = float32(math.Copysign(0, -1))
	want.First[0][1] = math.SmallestNonzeroFloat32
	dir, err := train.SaveCheckpoint(alone(t), t.TempDir(), want)
	if err != nil {
		t.Fatal(err)
	}
	c, err := train.OpenCheckpoint(dir)
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Load(alone(t), tinyBase())
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got.Config, want.Config) || !reflect.DeepEqual(got.State, want.State) {
		t.Errorf("got  %+v %+v\nwant %+v %+v", got.Config, got.State, want.Config, want.State)
	}
	sameBits(t, "shards", got.Adapter.Shards, want.Adapter.Shards)
	sameBits(t, "first moments", got.First, want.First)
	sameBits(t, "second moments", got.Second, want.Second)
}

func sameBits(t *testing.T, name string, got, want [][]float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: got %d shards, want %d", name, len(got), len(want))
	}
	for shard := range want {
		for i := range want[shard] {
			if g, w := math.Float32bits(got[shard][i]), math.Float32bits(want[shard][i]); g != w {
				t.Fatalf("%s: shard %d, element %d: got bits %08x, want %08x", name, shard, i, g, w)
			}
		}
	}
}

func TestCheckpointBytesDependOnTheRunAlone(t *testing.T) {
	a, b := tree(t, save(t, t.TempDir(), 7)), tree(t, save(t, t.TempDir(), 7))
	for _, path := range slices.Sorted(maps.Keys(a)) {
		if a[path] != b[path] {
			t.Errorf("%s: two checkpoints of one run differ", path)
		}
	}
}

// PEFT's adapter is there for those who want to try a checkpoint elsewhere, and is
// the one that was trained.
func TestCheckpointIsAnAdapter(t *testing.T) {
	want := snapshotAt(t, 7)
	dir := save(t, t.TempDir(), 7)
	got, err := bdlora.LoadPEFT(dir, tinyBase())
	if err != nil {
		t.Fatal(err)
	}
	sameBits(t, "PEFT", got.Shards, want.Adapter.Shards)
}

// Whichever file loses a byte, has a bit flipped or is missing: the checkpoint is
// refused with the file's name.
func TestCheckpointRefusesDamage(t *testing.T) {
	outputDir := t.TempDir()
	dir := save(t, outputDir, 7)
	files := tree(t, dir)
	if len(files) != 12 {
		t.Errorf("got files %q, want 12", slices.Sorted(maps.Keys(files)))
	}
	for _, path := range slices.Sorted(maps.Keys(files)) {
		for _, damage := range []struct {
			name string
			do   func(path, content string) error
		}{
			{"truncated", func(path, content string) error { return os.Truncate(path, int64(len(content)/2)) }},
			{"two bytes short", func(path, content string) error { return os.Truncate(path, int64(len(content)-2)) }},
			{"empty", func(path, content string) error { return os.Truncate(path, 0) }},
			{"first bit flipped", func(path, content string) error { return flip(path, content, 0) }},
			{"last bit flipped", func(path, content string) error { return flip(path, content, len(content)-2) }},
			{"missing", func(path, content string) error { return os.Remove(path) }},
		} {
			full := filepath.Join(dir, filepath.FromSlash(path))
			if err := damage.do(full, files[path]); err != nil {
				t.Fatal(err)
			}
			_, err := train.OpenCheckpoint(dir)
			if !errors.Is(err, train.ErrBrokenCheckpoint) || !strings.Contains(filepath.ToSlash(err.Error()), path) {
				t.Errorf("%s %s: got %v, want ErrBrokenCheckpoint with the path", path, damage.name, err)
			}
			if err := os.WriteFile(full, []byte(files[path]), 0o666); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := train.OpenCheckpoint(dir); err != nil {
		t.Errorf("repaired: got %v, want no error", err)
	}
}

// flip changes the lowest bit of one byte of a file.
func flip(path, content string, at int) error {
	damaged := []byte(content)
	damaged[at] ^= 1
	return os.WriteFile(path, damaged, 0o666)
}

// The manifest guards the other files; nothing guards the manifest. Whichever of
// its bytes changes: it is refused, or it says the same.
func TestCheckpointSurvivesNoLyingManifest(t *testing.T) {
	dir := save(t, t.TempDir(), 7)
	want, err := train.OpenCheckpoint(dir)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "manifest.json")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	stride := 1
	if testing.Short() {
		stride = 41
	}
	for at := 0; at < len(content); at += stride {
		damaged := bytes.Clone(content)
		damaged[at] ^= 1
		if err := os.WriteFile(path, damaged, 0o666); err != nil {
			t.Fatal(err)
		}
		if got, err := train.OpenCheckpoint(dir); err == nil && !reflect.DeepEqual(got, want) {
			t.Errorf("byte %d flipped: got another checkpoint and no error", at)
		}
	}
}

func TestCheckpointManifestStaysInItsFolder(t *testing.T) {
	dir := save(t, t.TempDir(), 7)
	path := filepath.Join(dir, "manifest.json")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	content = bytes.Replace(content, []byte(`"run.yaml"`), []byte(`"../../run.yaml"`), 1)
	if err := os.WriteFile(path, content, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := train.OpenCheckpoint(dir); err == nil || !strings.Contains(err.Error(), "leads out of the folder") {
		t.Errorf("got %v, want an error about the path", err)
	}
}

// A file that no manifest lists says nothing about the run, as one that lacks the
// state does not either.
func TestCheckpointNeedsItsState(t *testing.T) {
	dir := save(t, t.TempDir(), 7)
	path := filepath.Join(dir, "manifest.json")
	empty := `{"version": 1, "step": 7, "files": []}`
	if err := os.WriteFile(path, []byte(empty), 0o666); err != nil {
		t.Fatal(err)
	}
	_, err := train.OpenCheckpoint(dir)
	if !errors.Is(err, train.ErrBrokenCheckpoint) || !strings.Contains(err.Error(), "trainer_state.json is not listed") {
		t.Errorf("got %v, want ErrBrokenCheckpoint for the state", err)
	}
}

func TestCheckpointAbsent(t *testing.T) {
	_, err := train.OpenCheckpoint(filepath.Join(t.TempDir(), "checkpoint-1"))
	if !errors.Is(err, train.ErrNoCheckpoint) {
		t.Errorf("got %v, want ErrNoCheckpoint", err)
	}
}

func TestCheckpointOfAnotherModelDoesNotLoad(t *testing.T) {
	c, err := train.OpenCheckpoint(save(t, t.TempDir(), 7))
	if err != nil {
		t.Fatal(err)
	}
	base := tinyBase()
	base.Layers = 2
	if _, err := c.Load(alone(t), base); err == nil {
		t.Error("got no error for a model of two layers, want one")
	}
}

// A save that fails leaves the folder as it was: no new files, and the older
// checkpoint of the same step whole.
func TestCheckpointThatFailsChangesNothing(t *testing.T) {
	nan := math.NaN()
	for name, spoil := range map[string]func(s *train.Snapshot){
		"state that JSON cannot hold": func(s *train.Snapshot) { s.State.BestMetric = &nan },
		"a shard too few":             func(s *train.Snapshot) { s.Second = s.Second[:1] },
		"a number too few":            func(s *train.Snapshot) { s.First[1] = s.First[1][1:] },
		"a number too many":           func(s *train.Snapshot) { s.Adapter.Shards[1] = append(s.Adapter.Shards[1], 0) },
	} {
		t.Run(name, func(t *testing.T) {
			outputDir := t.TempDir()
			save(t, outputDir, 7)
			before := tree(t, outputDir)
			spoiled := snapshotAt(t, 7)
			spoil(spoiled)
			if dir, err := train.SaveCheckpoint(alone(t), outputDir, spoiled); err == nil || dir != "" {
				t.Errorf("got %q and %v, want an error", dir, err)
			}
			if after := tree(t, outputDir); !maps.Equal(after, before) {
				t.Errorf("got files %q, want %q as they were", slices.Sorted(maps.Keys(after)), slices.Sorted(maps.Keys(before)))
			}
		})
	}
}

func TestCheckpointReplacesOneOfItsStep(t *testing.T) {
	outputDir := t.TempDir()
	dir := save(t, outputDir, 7)
	if err := os.Remove(filepath.Join(dir, "run.yaml")); err != nil {
		t.Fatal(err)
	}
	save(t, outputDir, 7)
	if _, err := train.OpenCheckpoint(dir); err != nil {
		t.Errorf("got %v, want the new one", err)
	}
}

// A process that saves one checkpoint after another, to be killed.
func TestSaveUntilKilled(t *testing.T) {
	outputDir := os.Getenv("TRAIN_TEST_OUTPUT")
	if outputDir == "" {
		t.Skip("runs only as the child of TestCheckpointsOutliveAKill")
	}
	for step := 1; ; step = step%3 + 1 { // replacing the older ones over and over
		save(t, outputDir, step)
		if _, err := train.Rotate(outputDir, step, 0, 2); err != nil {
			t.Fatal(err)
		}
	}
}

// After a kill at whatever moment, once the first checkpoint was there: there is
// one, it is whole, and nothing half written is left.
func TestCheckpointsOutliveAKill(t *testing.T) {
	kills := 8
	if testing.Short() {
		kills = 2
	}
	outputDir := t.TempDir()
	random := rand.New(rand.NewPCG(7, 7))
	for range kills {
		killAfter(t, outputDir, time.Duration(random.IntN(60))*time.Millisecond)
		lock, err := train.LockOutput(outputDir)
		if err != nil {
			t.Fatal(err)
		}
		c, skipped, err := train.Latest(outputDir)
		if err != nil {
			t.Fatalf("got %v with %v passed over, want a whole checkpoint", err, skipped)
		}
		s, err := c.Load(alone(t), tinyBase())
		if err != nil {
			t.Fatal(err)
		}
		sameBits(t, "shards", s.Adapter.Shards, snapshotAt(t, c.State.GlobalStep).Adapter.Shards)
		for path := range tree(t, outputDir) {
			if strings.HasPrefix(path, ".checkpoint") {
				t.Errorf("%s is left", path)
			}
		}
		if err := lock.Unlock(); err != nil {
			t.Fatal(err)
		}
	}
}

// killAfter kills a saving process a while after its first checkpoint is there.
func killAfter(t *testing.T, outputDir string, while time.Duration) {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^TestSaveUntilKilled$", "-test.timeout=1m") // if this test is killed
	child.Env = append(os.Environ(), "TRAIN_TEST_OUTPUT="+outputDir)
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	for {
		if steps, err := train.CheckpointSteps(outputDir); err != nil || len(steps) > 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	time.Sleep(while)
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	child.Wait() // it says that it was killed
}
