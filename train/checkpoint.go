package train

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"bdlora/bdlora"
)

// What is in a checkpoint, beside the shards and the PEFT files of its adapter.
const (
	// ConfigName is the settings really used, in checkpoints and output folders.
	ConfigName = "run.yaml"

	stateName  = "trainer_state.json"
	firstName  = "optimizer/exp_avg"    // Adam's first moments, a file a shard
	secondName = "optimizer/exp_avg_sq" // Adam's second moments, a file a shard
)

// Snapshot is a run between two optimizer steps: all that it takes to go on, or what one
// process has of that.
type Snapshot struct {
	Config  Config
	State   State
	Adapter *bdlora.Adapter
	First   [][]float32 // Adam's first moments, laid out as Adapter.Shards
	Second  [][]float32 // Adam's second moments, likewise
}

// CheckpointPath is the folder of the checkpoint after so many steps.
func CheckpointPath(outputDir string, step int) string {
	return filepath.Join(outputDir, fmt.Sprintf("%s%d", checkpointPrefix, step))
}

// SaveCheckpoint writes the folder checkpoint-{step} into outputDir and returns its
// path:
//
//	shards/tp{N}/…                 the adapter: [bdlora.Adapter.SaveShards]
//	adapter_config.json            the adapter: [bdlora.Adapter.SavePEFT]
//	adapter_model.safetensors
//	optimizer/exp_avg/shard-…      first moments, laid out as the shards
//	optimizer/exp_avg_sq/shard-…   second moments, likewise
//	trainer_state.json             [State]
//	run.yaml                       [Config]
//	manifest.json                  size and SHA-256 of all of them, written last
//
// It is written beside its place, synced and renamed, and replaces a folder of that
// name. On an error everything is as it was. All processes of g call it, each with its
// own shards and moments.
func SaveCheckpoint(g *Grid, outputDir string, s *Snapshot) (dir string, err error) {
	dir = CheckpointPath(outputDir, s.State.GlobalStep)
	if err := g.fill(dir, s.writeShards, s.writeRest); err != nil {
		return "", err
	}
	return dir, nil
}

// writeShards writes what the process holds.
func (s *Snapshot) writeShards(dir string) error {
	for _, numbers := range []struct {
		dir    string
		shards [][]float32
	}{
		{bdlora.ShardsPath(dir, s.Adapter.Plan.Shards()), s.Adapter.Shards},
		{filepath.Join(dir, firstName), s.First},
		{filepath.Join(dir, secondName), s.Second},
	} {
		if got, want := len(numbers.shards), len(s.Adapter.Shards); got != want {
			return fmt.Errorf("train: %s: got %d shards, want %d", filepath.Base(numbers.dir), got, want)
		}
		if err := os.MkdirAll(numbers.dir, 0o777); err != nil {
			return err
		}
		laidOut := &bdlora.Adapter{Plan: s.Adapter.Plan, First: s.Adapter.First, Shards: numbers.shards}
		if err := laidOut.WriteShards(numbers.dir); err != nil {
			return err
		}
	}
	return nil
}

// writeRest adds to the shards of all processes what one of them writes, the manifest
// last.
func (s *Snapshot) writeRest(dir string) error {
	shards := bdlora.ShardsPath(dir, s.Adapter.Plan.Shards())
	if err := bdlora.WriteShardsIndex(shards, s.Adapter.Plan); err != nil {
		return err
	}
	whole, err := wholeAdapter(s.Adapter, shards)
	if err != nil {
		return err
	}
	if err := whole.SavePEFT(dir); err != nil {
		return err
	}
	if err := s.State.write(filepath.Join(dir, stateName)); err != nil {
		return err
	}
	if err := s.Config.Write(filepath.Join(dir, ConfigName)); err != nil {
		return err
	}
	return writeManifest(dir, s.State.GlobalStep)
}

// wholeAdapter is the adapter that a is of, whose shards are all in the folder dir.
func wholeAdapter(a *bdlora.Adapter, dir string) (*bdlora.Adapter, error) {
	if a.Whole() {
		return a, nil
	}
	return bdlora.LoadShards(dir, a.Plan.Base)
}

// Checkpoint is a checkpoint on disk whose files are what was written.
type Checkpoint struct {
	Dir    string
	Config Config
	State  State
}

// OpenCheckpoint opens the checkpoint in the folder dir, whose name does not
// matter, after comparing every file with the manifest. It reads all of them once,
// about a second for a GB.
//
// It returns an error that is [ErrNoCheckpoint] if there is no such folder, and
// [ErrBrokenCheckpoint], with the file at fault, if it is not as it was written.
func OpenCheckpoint(dir string) (*Checkpoint, error) {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", dir, ErrNoCheckpoint)
	}
	c, err := openCheckpoint(dir)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", dir, ErrBrokenCheckpoint, err)
	}
	return c, nil
}

func openCheckpoint(dir string) (*Checkpoint, error) {
	m, err := readManifest(dir, stateName, ConfigName)
	if err != nil {
		return nil, err
	}
	state, err := readState(filepath.Join(dir, stateName))
	if err != nil {
		return nil, err
	}
	if state.GlobalStep != m.Step {
		return nil, fmt.Errorf("%s: global_step is %d, want %d as in %s",
			stateName, state.GlobalStep, m.Step, ManifestName)
	}
	config, err := ReadConfig(filepath.Join(dir, ConfigName), nil)
	if err != nil {
		return nil, err
	}
	return &Checkpoint{Dir: dir, Config: config, State: *state}, nil
}

// Load reads the numbers that a process of g holds, for the base model that they were
// trained on. It does not change the checkpoint, nor read the manifest again.
func (c *Checkpoint) Load(g *Grid, base bdlora.Base) (*Snapshot, error) {
	from, to := g.shards(c.Config.Blocks)
	adapter, err := bdlora.LoadShardsPart(bdlora.ShardsPath(c.Dir, c.Config.Blocks), base, from, to)
	if err != nil {
		return nil, err
	}
	first, err := readMoments(filepath.Join(c.Dir, firstName), adapter)
	if err != nil {
		return nil, err
	}
	second, err := readMoments(filepath.Join(c.Dir, secondName), adapter)
	if err != nil {
		return nil, err
	}
	return &Snapshot{Config: c.Config, State: c.State, Adapter: adapter, First: first, Second: second}, nil
}

// readMoments reads those of the shards of a.
func readMoments(dir string, a *bdlora.Adapter) ([][]float32, error) {
	moments := make([][]float32, len(a.Shards))
	for i := range moments {
		moments[i] = make([]float32, a.Plan.ShardLen)
		path := filepath.Join(dir, bdlora.ShardName(a.First+i, a.Plan.Shards()))
		if err := bdlora.ReadShard(path, a.Plan, a.First+i, moments[i]); err != nil {
			return nil, err
		}
	}
	return moments, nil
}
