package train

import (
	"context"
	"errors"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"time"

	"bdlora/bdlora"
	"bdlora/model"
)

// prepare does all that comes before the first step: it finds everything that is
// wrong before anything is written but the log.
func (t *trainer) prepare(ctx context.Context) error {
	checkpoint, skipped, err := t.chooseCheckpoint()
	if err != nil {
		return err
	}
	plan, start, err := t.read(checkpoint)
	if err := t.grid.agree(err); err != nil {
		return err
	}
	if err := t.compareProcesses(checkpoint); err != nil {
		return err
	}
	if err := t.bringBest(checkpoint, plan); err != nil {
		return err
	}
	if err := t.load(ctx, checkpoint, plan); err != nil {
		return err
	}
	if err := t.compareReplicas(); err != nil {
		return err
	}
	start.Steps, start.TotalSteps = t.state.GlobalStep, t.state.MaxSteps
	start.Epochs = float64(t.state.MaxSteps) / float64(t.layout.train.StepsPerEpoch())
	start.Skipped = skipped
	if err := t.grid.agree(ctx.Err()); err != nil {
		return err
	}
	return t.grid.agree(t.open(start))
}

// read finds out all about the run that does not take the model's numbers.
func (t *trainer) read(checkpoint *Checkpoint) (plan *bdlora.Plan, start Start, err error) {
	if t.model, err = model.Load(t.cfg.ModelNameOrPath); err != nil {
		return nil, start, err
	}
	t.model.HoldAs(model.BaseDtype(t.cfg.BaseDtype))
	if err := t.model.Join(t.grid.Tensor); err != nil {
		return nil, start, err
	}
	if plan, err = t.cfg.Plan(t.model); err != nil {
		return nil, start, err
	}
	if plan, err = t.cutPlan(plan, checkpoint); err != nil {
		return nil, start, err
	}
	t.cfg = t.cfg.settled(plan)
	start = Start{
		TensorParallelSize: t.cfg.TensorParallelSize, DataParallelSize: t.cfg.DataParallelSize,
		Model: t.cfg.ModelNameOrPath, Adapter: plan.String(), TrainableParams: plan.Params(),
		AllParams: plan.Params() + plan.Base.Params, InitAdapter: t.cfg.InitAdapter,
	}
	if err := t.readRows(plan, &start); err != nil {
		return nil, start, err
	}
	if checkpoint != nil {
		start.Resumed, start.InitAdapter, start.Regrid = checkpoint.Dir, "", t.cfg.regrid(checkpoint.Config)
		err = t.checkSame(checkpoint, plan)
	}
	return plan, start, err
}

// readRows lays out the rows and checks that there is memory for them.
func (t *trainer) readRows(plan *bdlora.Plan, start *Start) error {
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
	start.Rows, start.EvalRows, start.DroppedRows, start.TruncatedRows = len(rows), len(evalRows), counts.Dropped, counts.Truncated
	start.Fit, err = t.fit(plan, rows, evalRows)
	if err := errors.Join(err, start.Fit.check()); err != nil {
		return err
	}
	if t.inputs, err = Inputs(t.cfg); err != nil {
		return err
	}
	t.inputs = append(t.inputs, examplesPrint("examples", rows), examplesPrint("eval examples", evalRows))
	debug.FreeOSMemory() // what reading the rows has left behind
	return nil
}

// load brings everything into the Backend's memory. All processes agree before the next
// of them exchanges anything.
func (t *trainer) load(ctx context.Context, checkpoint *Checkpoint, plan *bdlora.Plan) error {
	if err := t.grid.agree(t.begin(checkpoint, plan)); err != nil {
		return err
	}
	if err := t.grid.agree(t.quantize(ctx)); err != nil {
		return err
	}
	return t.grid.agree(t.build())
}

// quantize brings the base model into base_dtype.
func (t *trainer) quantize(ctx context.Context) error {
	threads := t.cfg.Threads
	if threads == 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	err := t.grid.meanwhile(ctx, func(ctx context.Context) error {
		return t.model.Quantize(ctx, model.QuantizeConfig{
			CacheDir: t.cfg.CacheDir, Threads: threads, Progress: t.observer.Quantizing,
		})
	})
	debug.FreeOSMemory() // the layers that went into the cache
	return err
}

// open writes the first files of the output folder and begins the sitting.
func (t *trainer) open(start Start) (err error) {
	if t.grid.first() {
		if t.log, err = OpenLog(filepath.Join(t.cfg.OutputDir, LogName), t.state.LogHistory); err != nil {
			return err
		}
		if err := t.cfg.Write(filepath.Join(t.cfg.OutputDir, ConfigName)); err != nil {
			return err
		}
	}
	t.observer.Start(start)
	t.sitting.began = time.Now()
	return nil
}

// settled is c with the blocks, the rank and the alpha of the plan, so that two settings
// that mean the same adapter are the same.
func (c Config) settled(plan *bdlora.Plan) Config {
	c.Blocks = plan.Shards()
	c.LoraR, c.MatchLoraRank, c.LoraAlpha = plan.Config.Rank, 0, plan.Config.Alpha
	return c
}

// build makes the graph, and the evaluator if there is anything to evaluate.
func (t *trainer) build() (err error) {
	t.graph, err = model.NewGraph(t.be, t.model, t.trainable, t.layout.graphConfig(t.cfg))
	if err == nil && t.layout.eval != nil {
		t.evaluator = newEvaluator(t.grid, t.layout.eval, t.graph.Inference())
	}
	return err
}
