package train_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"bdlora/train"
)

func TestCheckpointStepsAreNewestFirst(t *testing.T) {
	outputDir := t.TempDir()
	for _, name := range []string{
		"checkpoint-9", "checkpoint-10", "checkpoint-100", "checkpoint-007", "checkpoint-+5", "checkpoint--5",
		"checkpoint-", "checkpoint-1a", "xcheckpoint-3", ".checkpoint-4.partial-AAAAAAAAAAAAAAAAAAAAAAAAAA", "shards",
	} {
		if err := os.Mkdir(filepath.Join(outputDir, name), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(outputDir, "checkpoint-11"), nil, 0o666); err != nil { // no folder
		t.Fatal(err)
	}
	got, err := train.CheckpointSteps(outputDir)
	if want := []int{100, 10, 9}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}

func TestLatestPassesOverBrokenOnes(t *testing.T) {
	outputDir := t.TempDir()
	for _, step := range []int{5, 10, 15} {
		save(t, outputDir, step)
	}
	remove := func(step int, file string) {
		t.Helper()
		if err := os.Remove(filepath.Join(train.CheckpointPath(outputDir, step), file)); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		damage  func()
		want    int // the step found; 0 for none
		skipped []string
	}{
		{func() {}, 15, nil},
		{func() { remove(15, "manifest.json") }, 10, []string{"manifest.json"}},
		{func() { remove(10, "run.yaml") }, 5, []string{"manifest.json", "run.yaml"}},
		{func() { remove(5, "trainer_state.json") }, 0, []string{"manifest.json", "run.yaml", "trainer_state.json"}},
	} {
		tt.damage()
		c, skipped, err := train.Latest(outputDir)
		if tt.want == 0 && !errors.Is(err, train.ErrNoCheckpoint) {
			t.Errorf("all broken: got %v, want ErrNoCheckpoint", err)
		}
		if tt.want > 0 && (err != nil || c.State.GlobalStep != tt.want) {
			t.Errorf("got %+v, %v, want step %d", c, err, tt.want)
		}
		if len(skipped) != len(tt.skipped) {
			t.Fatalf("got %v passed over, want %d", skipped, len(tt.skipped))
		}
		for i, reason := range skipped {
			if !errors.Is(reason, train.ErrBrokenCheckpoint) || !strings.Contains(reason.Error(), tt.skipped[i]) {
				t.Errorf("got the reason %v, want ErrBrokenCheckpoint for %s", reason, tt.skipped[i])
			}
		}
	}
}

func TestLatestOfNothing(t *testing.T) {
	for _, dir := range []string{t.TempDir(), filepath.Join(t.TempDir(), "absent")} {
		if _, _, err := train.Latest(dir); !errors.Is(err, train.ErrNoCheckpoint) {
			t.Errorf("got %v, want ErrNoCheckpoint", err)
		}
	}
}

func TestRotate(t *testing.T) {
	for _, tt := range []struct {
		name               string
		steps              []int
		saved, best, limit int
		want               []int // removed, in order
	}{
		{"no limit", []int{1, 2, 3}, 3, 0, 0, nil},
		{"below the limit", []int{1, 2, 3}, 3, 0, 3, nil},
		{"oldest first", []int{1, 2, 3, 4}, 4, 0, 2, []int{1, 2}},
		{"the newest alone", []int{1, 2, 3}, 3, 0, 1, []int{1, 2}},
		{"the best counts", []int{1, 2, 3, 4}, 4, 1, 2, []int{2, 3}},
		{"the best is the newest", []int{1, 2, 3}, 3, 3, 2, []int{1}},
		{"the best beyond a limit of one", []int{1, 2, 3}, 3, 1, 1, []int{2}},
		{"the best is gone", []int{2, 3, 4}, 4, 1, 2, []int{2}},
		{"later ones neither count nor go", []int{1, 2, 3, 8, 9}, 3, 0, 2, []int{1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			outputDir := t.TempDir()
			for _, step := range tt.steps {
				if err := os.MkdirAll(filepath.Join(train.CheckpointPath(outputDir, step), "shards"), 0o777); err != nil {
					t.Fatal(err)
				}
			}
			removed, err := train.Rotate(outputDir, tt.saved, tt.best, tt.limit)
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			for _, step := range tt.want {
				want = append(want, train.CheckpointPath(outputDir, step))
			}
			if !reflect.DeepEqual(removed, want) {
				t.Errorf("got %q removed, want %q", removed, want)
			}
			left, err := train.CheckpointSteps(outputDir)
			if err != nil || len(left) != len(tt.steps)-len(want) {
				t.Errorf("got steps %v left, %v, want %d of them", left, err, len(tt.steps)-len(want))
			}
		})
	}
}

func TestLockOutputIsExclusive(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "folder")
	first, err := train.LockOutput(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := train.LockOutput(dir); !errors.Is(err, train.ErrOutputInUse) {
		t.Errorf("second lock: got %v, want ErrOutputInUse", err)
	}
	if err := first.Unlock(); err != nil {
		t.Fatal(err)
	}
	again, err := train.LockOutput(dir)
	if err != nil {
		t.Fatalf("after unlock: got %v, want no error", err)
	}
	if err := again.Unlock(); err != nil {
		t.Error(err)
	}
}

// What a killed run left half written goes away with the lock, and only then.
func TestLockOutputCleansUp(t *testing.T) {
	outputDir := t.TempDir()
	save(t, outputDir, 5)
	left := filepath.Join(outputDir, ".checkpoint-6.partial-AAAAAAAAAAAAAAAAAAAAAAAAAA")
	if err := os.CopyFS(left, os.DirFS(train.CheckpointPath(outputDir, 5))); err != nil {
		t.Fatal(err)
	}
	c, skipped, err := train.Latest(outputDir)
	if err != nil || c.State.GlobalStep != 5 || len(skipped) > 0 {
		t.Errorf("with a half-written one: got %+v, %v, %v, want step 5", c, skipped, err)
	}
	lock, err := train.LockOutput(outputDir)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Unlock()
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want it gone", err)
	}
}
