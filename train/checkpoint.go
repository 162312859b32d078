package train

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"bdlora/bdlora"
	"bdlora/data/durable"
)

// What is in a checkpoint, beside the shards and the PEFT files of its adapter.
const (
	// ConfigName is the settings really used, in checkpoints and output folders.
	ConfigName = "run.yaml"

	stateName  = "trainer_state.json"
	firstName  = "optimizer/exp_avg"    // Adam's first moments, a file a shard
	secondName = "optimizer/exp_avg_sq" // Adam's second moments, a file a shard
)

// Snapshot is a run between two optimizer steps: all that it takes to go on.
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
// name. On an error everything is as it was.
func SaveCheckpoint(outputDir string, s *Snapshot) (dir string, err error) {
	dir = CheckpointPath(outputDir, s.State.GlobalStep)
	err = durable.Dir(dir, func(partial string) error {
		if err := s.write(partial); err != nil {
			return err
		}
		return writeManifest(partial, s.State.GlobalStep)
	})
	if err != nil {
		return "", err
	}
	return dir, nil
}

// write writes all but the manifest into dir.
func (s *Snapshot) write(dir string) error {
	if err := s.Adapter.SaveShards(dir); err != nil {
		return err
	}
	if err := s.Adapter.SavePEFT(dir); err != nil {
		return err
	}
	if err := writeMoments(filepath.Join(dir, firstName), s.Adapter.Plan, s.First); err != nil {
		return err
	}
	if err := writeMoments(filepath.Join(dir, secondName), s.Adapter.Plan, s.Second); err != nil {
		return err
	}
	if err := s.State.write(filepath.Join(dir, stateName)); err != nil {
		return err
	}
	return s.Config.Write(filepath.Join(dir, ConfigName))
}

func writeMoments(dir string, plan *bdlora.Plan, moments [][]float32) error {
	if len(moments) != plan.Shards() {
		return fmt.Errorf("train: %s: got %d shards, want %d", filepath.Base(dir), len(moments), plan.Shards())
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	for i, values := range moments {
		path := filepath.Join(dir, bdlora.ShardName(i, len(moments)))
		if err := bdlora.WriteShard(path, plan, i, values); err != nil {
			return err
		}
	}
	return nil
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

// Load reads the numbers, for the base model that they were trained on. It does not
// change the checkpoint, nor read the manifest again.
func (c *Checkpoint) Load(base bdlora.Base) (*Snapshot, error) {
	adapter, err := bdlora.LoadShards(bdlora.ShardsPath(c.Dir, c.Config.Blocks), base)
	if err != nil {
		return nil, err
	}
	first, err := readMoments(filepath.Join(c.Dir, firstName), adapter.Plan)
	if err != nil {
		return nil, err
	}
	second, err := readMoments(filepath.Join(c.Dir, secondName), adapter.Plan)
	if err != nil {
		return nil, err
	}
	return &Snapshot{Config: c.Config, State: c.State, Adapter: adapter, First: first, Second: second}, nil
}

func readMoments(dir string, plan *bdlora.Plan) ([][]float32, error) {
	moments := make([][]float32, plan.Shards())
	for i := range moments {
		moments[i] = make([]float32, plan.ShardLen)
		path := filepath.Join(dir, bdlora.ShardName(i, len(moments)))
		if err := bdlora.ReadShard(path, plan, i, moments[i]); err != nil {
			return nil, err
		}
	}
	return moments, nil
}
