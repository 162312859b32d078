package train

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"bdlora/bdlora"
	"bdlora/kernels"
)

// common is what all processes of a run must have in common.
type common struct {
	Config Config
	Inputs []Fingerprint
}

// own are the settings in which processes may differ: where each finds the files, whose
// content is compared, and what it computes on.
var own = []string{"model_name_or_path", "dataset", "eval_dataset", "init_adapter", "cache_dir", "threads"}

// compareProcesses refuses processes that have read other settings, files or
// checkpoints than the first one.
func (t *trainer) compareProcesses(checkpoint *Checkpoint) error {
	if t.grid.World.Procs() == 1 {
		return nil
	}
	origin, err := t.cfg.origin(checkpoint)
	if err := t.grid.agree(err); err != nil {
		return err
	}
	mine := common{t.cfg, slices.Concat(t.inputs, origin)}
	text, err := json.Marshal(mine)
	if err := t.grid.agree(err); err != nil {
		return err
	}
	said, err := t.grid.tell(string(text))
	if err != nil {
		return err
	}
	var first common
	if err = json.Unmarshal([]byte(said), &first); err == nil {
		err = first.compare(mine)
	}
	return t.grid.agree(err)
}

// origin is the fingerprints of what a run goes on from: a checkpoint, whose manifest has
// the sums of all that is in it, or init_adapter.
func (c Config) origin(checkpoint *Checkpoint) (prints []Fingerprint, err error) {
	name, files := "checkpoint", []string{}
	switch {
	case checkpoint != nil:
		files = append(files, filepath.Join(checkpoint.Dir, ManifestName))
	case c.InitAdapter != "":
		name = "init_adapter"
		files, err = bdlora.Files(c.InitAdapter)
	}
	for _, path := range files {
		one, errOne := fingerprint(name+"/"+filepath.Base(path), path, math.MaxInt64)
		prints, err = append(prints, one), errors.Join(err, errOne)
	}
	return prints, err
}

// compare says how a process differs from the first one.
func (first common) compare(mine common) error {
	lines := diffConfigs("process 0", first.Config, "this one", mine.Config,
		func(f field) bool { return slices.Contains(own, f.key) })
	lines = append(lines, diffInputs("process 0", first.Inputs, "this one", mine.Inputs)...)
	if len(lines) == 0 {
		return nil
	}
	return fmt.Errorf("%w:\n  %s", ErrProcessesDiffer, strings.Join(lines, "\n  "))
}

// compareReplicas refuses replicas whose adapters and moments are not the same bits: each
// makes every step for itself, and nothing would bring them together again.
func (t *trainer) compareReplicas() error {
	if t.grid.Data.Procs() == 1 {
		return nil
	}
	sums, err := gather(t.grid.Data, t.sum())
	if err != nil {
		return err
	}
	if sums[t.grid.Replica] != sums[0] {
		err = fmt.Errorf("step %d: %w: the adapter or its moments are not those of replica 0",
			t.state.GlobalStep, ErrProcessesDiffer)
	}
	return t.grid.agree(err)
}

// sum is the SHA-256 of all that the optimizer has changed.
func (t *trainer) sum() string {
	hash, some := sha256.New(), make([]float32, 1<<14)
	for _, bufs := range [][]kernels.Buf{t.trainable.Params, t.optimizer.First, t.optimizer.Second} {
		for _, buf := range bufs {
			for from := 0; from < buf.Len(); from += len(some) {
				part := some[:min(len(some), buf.Len()-from)]
				t.be.Download(part, buf.Slice(from, from+len(part)))
				binary.Write(hash, binary.LittleEndian, part) // a hash takes all it is given
			}
		}
	}
	return string(hash.Sum(nil))
}
