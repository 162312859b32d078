package train

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"bdlora/bdlora"
	"bdlora/kernels"
	"bdlora/model"
)

// prepare does all that comes before the first step: it finds everything that is
// wrong before anything is written but the log.
func (t *trainer) prepare(ctx context.Context) error {
	checkpoint, skipped, err := t.findCheckpoint()
	if err != nil {
		return err
	}
	if t.model, err = model.Load(t.cfg.ModelNameOrPath); err != nil {
		return err
	}
	t.model.HoldAs(model.BaseDtype(t.cfg.BaseDtype))
	plan, err := t.cfg.Plan(t.model)
	if err != nil {
		return err
	}
	t.cfg = t.cfg.settled(plan)
	rows, evalRows, counts, err := t.cfg.Examples()
	if err != nil {
		return err
	}
	if err := errors.Join(checkExamples(rows, t.model.Config), checkExamples(evalRows, t.model.Config)); err != nil {
		return err
	}
	if t.layout, err = t.cfg.layout(rows, evalRows); err != nil {
		return err
	}
	fit, err := t.fit(plan, rows, evalRows)
	if err := errors.Join(err, fit.check()); err != nil {
		return err
	}
	if t.inputs, err = Inputs(t.cfg); err != nil {
		return err
	}
	t.inputs = append(t.inputs, examplesPrint("examples", rows), examplesPrint("eval examples", evalRows))
	debug.FreeOSMemory() // what reading the rows has left behind
	if err := t.load(checkpoint, plan); err != nil {
		return err
	}
	if err := t.quantize(ctx); err != nil {
		return err
	}
	if err := t.build(); err != nil {
		return err
	}
	start := Start{
		Model: t.cfg.ModelNameOrPath, Adapter: plan.String(), TrainableParams: plan.Params(),
		AllParams: plan.Params() + plan.Base.Params, Rows: len(rows), EvalRows: len(evalRows),
		DroppedRows: counts.Dropped, TruncatedRows: counts.Truncated, Steps: t.state.GlobalStep,
		TotalSteps: t.state.MaxSteps, Epochs: float64(t.state.MaxSteps) / float64(t.layout.train.StepsPerEpoch()), Skipped: skipped,
		Fit: fit,
	}
	if checkpoint != nil {
		start.Resumed = checkpoint.Dir
	} else {
		start.InitAdapter = t.cfg.InitAdapter
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return t.open(start)
}

// quantize brings the base model into base_dtype.
func (t *trainer) quantize(ctx context.Context) error {
	threads := t.cfg.Threads
	if threads == 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	err := t.model.Quantize(ctx, model.QuantizeConfig{
		CacheDir: t.cfg.CacheDir, Threads: threads, Progress: t.observer.Quantizing,
	})
	debug.FreeOSMemory() // the layers that went into the cache
	return err
}

// open writes the first files of the output folder and begins the sitting.
func (t *trainer) open(start Start) (err error) {
	if t.log, err = OpenLog(filepath.Join(t.cfg.OutputDir, LogName), t.state.LogHistory); err != nil {
		return err
	}
	if err := t.cfg.Write(filepath.Join(t.cfg.OutputDir, ConfigName)); err != nil {
		return err
	}
	t.observer.Start(start)
	t.sitting.began = time.Now()
	return nil
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

// settled is c with the rank and the alpha that the plan chose, so that two settings
// that mean the same adapter are the same.
func (c Config) settled(plan *bdlora.Plan) Config {
	c.LoraR, c.MatchLoraRank, c.LoraAlpha = plan.Config.Rank, 0, plan.Config.Alpha
	return c
}

// load puts the adapter, the optimizer and the state where the checkpoint has them, or
// where a new run begins.
func (t *trainer) load(checkpoint *Checkpoint, plan *bdlora.Plan) error {
	t.schedule = t.cfg.Schedule(t.layout.steps)
	if checkpoint == nil {
		adapter, err := t.cfg.startAdapter(plan)
		if err != nil {
			return err
		}
		t.adapter, t.saved = adapter, -1
		t.state = State{MaxSteps: t.layout.steps, Inputs: t.inputs}
		t.place(nil)
		return nil
	}
	if err := errors.Join(t.checkSame(checkpoint), t.bringBest(checkpoint, plan)); err != nil {
		return err
	}
	s, err := checkpoint.Load(plan.Base)
	if err != nil {
		return err
	}
	t.adapter, t.state, t.saved, t.lastSave = s.Adapter, s.State, s.State.GlobalStep, checkpoint.Dir
	t.place(s)
	return nil
}

// checkSame refuses a checkpoint of another run than the settings describe.
func (t *trainer) checkSame(c *Checkpoint) error {
	lines := append(Diff(c.Config, t.cfg), DiffInputs(c.State.Inputs, t.inputs)...)
	if len(lines) == 0 {
		return nil
	}
	return fmt.Errorf("%s: %w:\n  %s", c.Dir, ErrOtherRun, strings.Join(lines, "\n  "))
}

// bringBest makes sure that the checkpoint of the lowest evaluation loss is in the
// output folder, where the end of the run looks for it: a run may go on in another
// folder than it began in.
func (t *trainer) bringBest(c *Checkpoint, plan *bdlora.Plan) error {
	step := c.State.BestStep
	if !t.cfg.LoadBestModelAtEnd || step == 0 {
		return nil
	}
	folder := filepath.Dir(filepath.Clean(c.Dir))
	best, err := OpenCheckpoint(CheckpointPath(folder, step))
	if err == nil {
		err = t.checkSame(best)
	}
	if err != nil || sameFolder(folder, t.cfg.OutputDir) {
		return err
	}
	s, err := best.Load(plan.Base)
	if err != nil {
		return err
	}
	_, err = SaveCheckpoint(t.cfg.OutputDir, s)
	return err
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

// build makes the graph, and the evaluator if there is anything to evaluate.
func (t *trainer) build() (err error) {
	t.graph, err = model.NewGraph(t.be, t.model, t.trainable, t.layout.graphConfig(t.cfg))
	if err == nil && t.layout.eval != nil {
		t.evaluator = newEvaluator(t.layout.eval, t.graph.Inference())
	}
	return err
}

// save writes a checkpoint of the current step, if there is none yet, and removes
// those that save_total_limit has no room for.
func (t *trainer) save() error {
	if t.saved == t.state.GlobalStep {
		return nil
	}
	t.download()
	dir, err := SaveCheckpoint(t.cfg.OutputDir, &Snapshot{
		Config: t.cfg, State: t.state, Adapter: t.adapter,
		First: t.host(t.optimizer.First), Second: t.host(t.optimizer.Second),
	})
	if err != nil {
		return err
	}
	t.saved, t.lastSave = t.state.GlobalStep, dir
	best := 0
	if t.cfg.LoadBestModelAtEnd {
		best = t.state.BestStep
	}
	if _, err := Rotate(t.cfg.OutputDir, t.saved, best, t.cfg.SaveTotalLimit); err != nil {
		return err
	}
	t.observer.Saved(dir)
	return nil
}

// download copies the adapter to the host.
func (t *trainer) download() {
	for i, params := range t.trainable.Params {
		t.be.Download(t.adapter.Shards[i], params)
	}
}

// host copies buffers to the host.
func (t *trainer) host(bufs []kernels.Buf) [][]float32 {
	hosts := make([][]float32, len(bufs))
	for i, b := range bufs {
		hosts[i] = make([]float32, b.Len())
		t.be.Download(hosts[i], b)
	}
	return hosts
}

// finalAdapter fills t.adapter with what the run leaves: the last step's numbers, or
// those of the lowest evaluation loss if the settings ask for them.
func (t *trainer) finalAdapter() (best bool, err error) {
	t.download()
	if !t.cfg.LoadBestModelAtEnd || t.state.BestStep == 0 || t.state.BestStep == t.state.GlobalStep {
		return false, nil
	}
	c, err := OpenCheckpoint(CheckpointPath(t.cfg.OutputDir, t.state.BestStep))
	if err != nil {
		return false, err
	}
	s, err := c.Load(t.adapter.Plan.Base)
	if err != nil {
		return false, err
	}
	t.adapter = s.Adapter
	return true, nil
}
