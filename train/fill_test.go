package train_test

import (
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"os"
	"strings"
	"sync"
	"testing"

	"bdlora/bdlora"
	"bdlora/kernels/comm"
	"bdlora/train"
)

// elsewhere is a Comm whose process does not see the folders that the first one makes.
type elsewhere struct{ comm.Comm }

func (e elsewhere) Broadcast(why comm.Purpose, buf any, root int) error {
	err := e.Comm.Broadcast(why, buf, root)
	if name, ok := buf.([]byte); ok && bytes.Contains(name, []byte(".partial-")) {
		name[len(name)-1] ^= 1
	}
	return err
}

// saveTogether saves a checkpoint from two processes with a shard each; see wraps the
// second one's world.
func saveTogether(t *testing.T, dir string, see func(comm.Comm) comm.Comm) []error {
	t.Helper()
	worlds, errs := comm.NewLocal(2), make([]error, 2)
	worlds[1] = see(worlds[1])
	var all sync.WaitGroup
	for proc, world := range worlds {
		s := snapshotAt(t, 7)
		s.Adapter, s.First, s.Second = s.Adapter.Part(proc, proc+1), s.First[proc:proc+1], s.Second[proc:proc+1]
		all.Go(func() {
			grid, err := train.NewGrid(world, 2, 1)
			if err == nil {
				_, err = train.SaveCheckpoint(grid, dir, s)
			}
			errs[proc] = err
		})
	}
	all.Wait()
	return errs
}

// Law: a checkpoint has the same bytes whoever wrote which part of it.
func TestCheckpointOfManyIsThatOfOne(t *testing.T) {
	one, many := t.TempDir(), t.TempDir()
	save(t, one, 7)
	if err := errors.Join(saveTogether(t, many, func(c comm.Comm) comm.Comm { return c })...); err != nil {
		t.Fatal(err)
	}
	got, want := tree(t, many), tree(t, one)
	if !maps.Equal(got, want) {
		t.Errorf("got %d files, want the %d of one process with the same bytes", len(got), len(want))
	}
	c, err := train.OpenCheckpoint(train.CheckpointPath(many, 7))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bdlora.LoadPEFT(c.Dir, tinyBase()); err != nil {
		t.Error(err)
	}
}

const notShared = "process 1 of 2: output_dir: want a folder on a disk that all processes share"

// Law: a process that does not see the folder of the others fails the save on all, and
// leaves nothing.
func TestCheckpointWantsADiskThatAllShare(t *testing.T) {
	dir := t.TempDir()
	for proc, err := range saveTogether(t, dir, func(c comm.Comm) comm.Comm { return elsewhere{c} }) {
		if err == nil || !strings.HasPrefix(err.Error(), notShared) {
			t.Errorf("process %d: got error %v, want that process 1 does not see the folder", proc, err)
		}
	}
	if left := tree(t, dir); len(left) > 0 {
		t.Errorf("%d files are left", len(left))
	}
}

// Law: a run finds that out before its first step, and leaves nothing.
func TestRunWantsADiskThatAllShare(t *testing.T) {
	cfg, r := onGrid(t, gridConfig(t), [2]int{2, 1}), &recorder{}
	_, errs := job{
		cfg: func(int) train.Config { return cfg },
		world: func(proc int, c comm.Comm) comm.Comm {
			if proc == 1 {
				return elsewhere{c}
			}
			return c
		},
	}.run(r)
	for proc, err := range errs {
		if err == nil || !strings.HasPrefix(err.Error(), notShared) || !errors.As(err, new(*train.SharedError)) {
			t.Errorf("process %d: got error %v, want that process 1 does not see the folder", proc, err)
		}
	}
	if _, err := os.Stat(cfg.OutputDir); len(r.losses) > 0 || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %d steps and, for the output folder, %v; want neither", len(r.losses), err)
	}
}
