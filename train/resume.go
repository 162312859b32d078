package train

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"bdlora/bdlora"
	"bdlora/model"
)

// chooseCheckpoint opens what the first process finds to resume from, on all processes.
func (t *trainer) chooseCheckpoint() (c *Checkpoint, skipped []error, err error) {
	dir := ""
	if t.grid.first() {
		if c, skipped, err = t.findCheckpoint(); c != nil {
			dir = c.Dir
		}
	}
	if err := t.grid.agree(err); err != nil {
		return nil, nil, err
	}
	if dir, err = t.grid.tell(dir); err != nil || dir == "" {
		return nil, nil, err
	}
	if !t.grid.first() {
		c, err = OpenCheckpoint(dir)
	}
	return c, skipped, t.grid.agree(err)
}

// findCheckpoint is what the settings ask to resume from; nil for a new run. An output
// folder may not have another run in it.
func (t *trainer) findCheckpoint() (c *Checkpoint, skipped []error, err error) {
	from := t.cfg.ResumeFromCheckpoint
	if from != "" && from != ResumeAuto {
		if !sameFolder(filepath.Dir(filepath.Clean(from)), t.cfg.OutputDir) {
			if err := refuseRun(t.cfg.OutputDir); err != nil {
				return nil, nil, err
			}
		}
		c, err = OpenCheckpoint(from)
		return c, nil, err
	}
	if from == ResumeAuto {
		c, skipped, err = Latest(t.cfg.OutputDir)
		switch {
		case !errors.Is(err, ErrNoCheckpoint):
			return c, skipped, err
		case len(skipped) > 0:
			return nil, nil, errors.Join(skipped...)
		}
	}
	return nil, nil, refuseRun(t.cfg.OutputDir)
}

// refuseRun is an [ErrOutputExists] if dir has checkpoints or an adapter in it.
func refuseRun(dir string) error {
	steps, err := CheckpointSteps(dir)
	if err != nil {
		return err
	}
	there := bdlora.PEFTConfigName
	if len(steps) > 0 {
		there = filepath.Base(CheckpointPath(dir, steps[0]))
	}
	if _, err := os.Stat(filepath.Join(dir, there)); err != nil {
		return nil
	}
	return fmt.Errorf("output_dir: %s has %s: %w", dir, there, ErrOutputExists)
}

func sameFolder(a, b string) bool {
	absA, errA := filepath.Abs(a)
	absB, errB := filepath.Abs(b)
	return errA == nil && errB == nil && absA == absB
}

// begin puts the adapter, the optimizer and the state where the checkpoint has them, or
// where a new run begins.
func (t *trainer) begin(checkpoint *Checkpoint, plan *bdlora.Plan) error {
	t.schedule = t.cfg.Schedule(t.layout.steps)
	if checkpoint == nil {
		from, to := t.grid.shards(plan.Shards())
		adapter, err := t.cfg.startAdapter(plan, from, to)
		if err != nil {
			return err
		}
		t.adapter, t.saved = adapter, -1
		t.state = State{MaxSteps: t.layout.steps, Inputs: t.inputs}
		t.place(nil)
		return nil
	}
	s, err := t.loadCut(checkpoint, plan)
	if err != nil {
		return err
	}
	t.adapter, t.state, t.saved, t.lastSave = s.Adapter, s.State, s.State.GlobalStep, checkpoint.Dir
	t.place(s)
	return nil
}

// checkSame refuses a checkpoint of another run than the settings describe, whose adapter
// is of plan.
func (t *trainer) checkSame(c *Checkpoint, plan *bdlora.Plan) error {
	was, err := t.cutConfig(c, plan)
	if err != nil {
		return fmt.Errorf("%s: %w", c.Dir, err)
	}
	lines := append(Diff(was, t.cfg), DiffInputs(c.State.Inputs, t.inputs)...)
	if len(lines) == 0 {
		return nil
	}
	return fmt.Errorf("%s: %w:\n  %s", c.Dir, ErrOtherRun, strings.Join(lines, "\n  "))
}

// bringBest makes sure that the checkpoint of the lowest evaluation loss is in the
// output folder, where the end of the run looks for it: a run may go on in another
// folder than it began in.
func (t *trainer) bringBest(c *Checkpoint, plan *bdlora.Plan) error {
	if c == nil || !t.cfg.LoadBestModelAtEnd || c.State.BestStep == 0 {
		return nil
	}
	folder := filepath.Dir(filepath.Clean(c.Dir))
	s, err := t.loadBest(CheckpointPath(folder, c.State.BestStep), plan)
	if err := t.grid.agree(err); err != nil {
		return err
	}
	if elsewhere, err := t.grid.any(!sameFolder(folder, t.cfg.OutputDir)); err != nil || !elsewhere {
		return err
	}
	_, err = SaveCheckpoint(t.grid, t.cfg.OutputDir, s)
	return err
}

// loadBest reads a checkpoint of this run.
func (t *trainer) loadBest(dir string, plan *bdlora.Plan) (*Snapshot, error) {
	best, err := OpenCheckpoint(dir)
	if err != nil {
		return nil, err
	}
	if err := t.checkSame(best, plan); err != nil {
		return nil, err
	}
	return t.loadCut(best, plan)
}

// place copies adapter and moments into the Backend's memory.
func (t *trainer) place(s *Snapshot) {
	t.trainable = model.NewTrainable(t.be, t.adapter)
	t.optimizer = NewOptimizer(t.be, t.trainable)
	if s == nil {
		return
	}
	for i := range s.First {
		t.be.Upload(t.optimizer.First[i], s.First[i])
		t.be.Upload(t.optimizer.Second[i], s.Second[i])
	}
}
