package train

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"bdlora/bdlora"
	"bdlora/kernels"
	"bdlora/kernels/comm"
	"bdlora/model"
)

// trainer is a run under way: everything that the loop touches.
type trainer struct {
	cfg      Config
	be       kernels.Backend
	grid     *Grid
	observer Observer

	model     *model.Model
	adapter   *bdlora.Adapter // the host's copy of trainable, filled when it is written
	trainable *model.Trainable
	optimizer *Optimizer
	graph     *model.Graph
	layout    layout
	evaluator *Evaluator // nil without evaluation
	schedule  Schedule
	log       *Log // nil but on the first process

	state    State
	saved    int // step of the newest checkpoint on disk
	lastSave string
	inputs   []Fingerprint
	sitting  sitting
	last     stepResult
}

// sitting is what this process did of the run.
type sitting struct {
	began   time.Time
	steps   int
	lossSum float64
	tokens  int64
	busy    time.Duration // in optimizer steps
}

// Run trains the adapter that cfg describes and leaves it in cfg.OutputDir: PEFT's
// files, the shards, trainer_log.jsonl, the loss curve, and checkpoints on the way.
//
// All processes of world, of which cfg says how many there have to be, call it with the
// same settings. OutputDir is on a disk that all of them share: each writes its shards
// there, and the first one, who alone has an observer, all else. What one of them finds
// wrong ends the run on all, with a [SharedError]. Any other error is this process's
// own, and the caller should abort world; that of a process that died is
// [comm.ErrPeerLost].
//
// Everything that can be wrong with the settings, the model and the dataset is
// reported before the first step, and so is an output folder with another run in it
// ([ErrOutputExists], [ErrOutputInUse]). When ctx ends, the step under way is
// finished, a checkpoint is written, and Done.Reason is [Interrupted]; one process's ctx
// is enough. If loss or
// gradients are no longer numbers, the error is [ErrDiverged] and checkpoints stay as
// they are. While it trains, the process's garbage is collected as early as
// [Memory].Program reckons with.
func Run(ctx context.Context, cfg Config, be kernels.Backend, world comm.Comm, observer Observer) (done Done, err error) {
	if err := agree(world, cfg.check(world.Procs())); err != nil {
		return Done{}, err
	}
	grid, err := NewGrid(world, cfg.TensorParallelSize, cfg.DataParallelSize)
	if err != nil {
		return Done{}, err
	}
	if !grid.first() {
		observer = nobody{}
	}
	lock, err := grid.lock(cfg.OutputDir)
	if err != nil {
		return Done{}, err
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	t := &trainer{cfg: cfg, be: be, grid: grid, observer: observer}
	defer func() { err = errors.Join(err, t.close()) }()
	if err := t.prepare(ctx); err != nil {
		lock.Forget()
		return Done{}, err
	}
	defer debug.SetGCPercent(debug.SetGCPercent(GarbagePercent))
	reason, err := t.loop(ctx)
	if err != nil {
		return Done{}, err
	}
	return t.finish(reason)
}

// check finds what is wrong with the settings of a job of that many processes.
func (c Config) check(procs int) error {
	if err := c.Validate(); err != nil {
		return err
	}
	return errors.Join(c.checkFolders(), checkGrid(procs, c.TensorParallelSize, c.DataParallelSize))
}

func (t *trainer) close() error {
	var errs []error
	if t.log != nil {
		errs = append(errs, t.log.Close())
	}
	if t.graph != nil {
		errs = append(errs, t.graph.Close())
	}
	if t.model != nil {
		errs = append(errs, t.model.Close())
	}
	return errors.Join(errs...)
}

// loop makes optimizer steps until all are made or something ends the run.
func (t *trainer) loop(ctx context.Context) (Reason, error) {
	for {
		if t.state.EvalPending {
			if err := t.evaluate(ctx); err != nil {
				return Interrupted, t.interrupted(err)
			}
		}
		if err := t.saveIfDue(); err != nil {
			return "", err
		}
		switch {
		case t.stopsEarly():
			return StoppedEarly, t.endEarly()
		case t.state.GlobalStep >= t.state.MaxSteps:
			return Finished, nil
		}
		stop, err := t.grid.any(ctx.Err() != nil)
		if err != nil {
			return "", err
		}
		if stop {
			return Interrupted, t.save()
		}
		if err := t.advance(); err != nil {
			return "", err
		}
	}
}

// interrupted saves the run if it is the context that ended an evaluation; the
// resumed run begins with that evaluation.
func (t *trainer) interrupted(err error) error {
	if !errors.Is(err, context.Canceled) {
		return err
	}
	return t.save()
}

// endEarly logs and saves the steps that no line and no checkpoint has yet.
func (t *trainer) endEarly() error {
	if t.state.Interval.Steps > 0 {
		if err := t.logSteps(); err != nil {
			return err
		}
	}
	if t.cfg.SaveStrategy == StrategyNo {
		return nil
	}
	return t.save()
}

func (t *trainer) stopsEarly() bool {
	return t.cfg.EarlyStoppingPatience > 0 && t.state.Patience >= t.cfg.EarlyStoppingPatience
}

// advance makes one optimizer step and the line of the log that it may complete.
func (t *trainer) advance() error {
	began := time.Now()
	r, err := t.step(t.state.GlobalStep)
	if err != nil {
		return err
	}
	took := time.Since(began)
	t.count(r, took)
	t.observer.Step(Step{
		Steps: t.state.GlobalStep, TotalSteps: t.state.MaxSteps, Epoch: t.state.Epoch, Loss: r.loss, LR: r.lr,
		GradNorm: r.gradNorm, TokensPerSecond: float64(r.tokens) / took.Seconds(), Remaining: t.remaining(),
	})
	logNow := t.state.GlobalStep%t.cfg.LoggingSteps == 0 || t.state.GlobalStep == t.state.MaxSteps
	if logNow {
		if err := t.logSteps(); err != nil {
			return err
		}
	}
	t.state.EvalPending = t.evaluator != nil && t.due(t.cfg.EvalStrategy, t.cfg.EvalSteps)
	return nil
}

// count adds a step to the run's and the sitting's sums.
func (t *trainer) count(r stepResult, took time.Duration) {
	s := &t.state
	t.last = r
	s.GlobalStep++
	s.Epoch = float64(s.GlobalStep) / float64(t.layout.train.StepsPerEpoch())
	s.TokensSeen += int64(r.tokens)
	s.TrainedTokens += int64(r.trained)
	s.Elapsed += took
	s.Interval.Steps++
	s.Interval.LossSum += r.loss
	s.Interval.Tokens += int64(r.tokens)
	s.Interval.TrainedTokens += int64(r.trained)
	s.Interval.Elapsed += took
	t.sitting.steps++
	t.sitting.lossSum += r.loss
	t.sitting.tokens += int64(r.tokens)
	t.sitting.busy += took
}

// due reports whether a strategy asks for its thing after the current step.
func (t *trainer) due(strategy string, every int) bool {
	step := t.state.GlobalStep
	switch {
	case step == 0:
		return false
	case strategy == StrategySteps:
		return step%every == 0 || step == t.state.MaxSteps
	case strategy == StrategyEpoch:
		return step%t.layout.train.StepsPerEpoch() == 0 || step == t.state.MaxSteps
	}
	return false
}

// remaining is the time to the last step at this sitting's pace.
func (t *trainer) remaining() time.Duration {
	if t.sitting.steps == 0 {
		return 0
	}
	return t.sitting.busy / time.Duration(t.sitting.steps) * time.Duration(t.state.MaxSteps-t.state.GlobalStep)
}

// logSteps writes the line of the steps since the last one.
func (t *trainer) logSteps() error {
	i, r := t.state.Interval, t.last
	loss := i.LossSum / float64(i.Steps)
	e := t.entry()
	e.Loss, e.LR, e.GradNorm = &loss, &r.lr, &r.gradNorm
	e.TokensPerSecond = float64(i.Tokens) / i.Elapsed.Seconds()
	t.state.Interval = Interval{}
	if err := t.write(e); err != nil {
		return err
	}
	t.observer.Logged(e)
	return nil
}

// entry is a line of the log with what every line has.
func (t *trainer) entry() Entry {
	s := &t.state
	return Entry{
		CurrentSteps: s.GlobalStep, TotalSteps: s.MaxSteps, Epoch: s.Epoch,
		Percentage:  percentage(s.GlobalStep, s.MaxSteps),
		ElapsedTime: Clock(s.Elapsed), RemainingTime: Clock(t.remaining()), TrainedTokens: s.TrainedTokens,
	}
}

func percentage(done, total int) float64 { return float64(done*10000/total) / 100 }

func (t *trainer) write(e Entry) error {
	t.state.LogHistory = append(t.state.LogHistory, e)
	if t.log == nil {
		return nil
	}
	return t.log.Write(e)
}

// evaluate takes the held-out loss of the current step. If ctx ends meanwhile,
// nothing has happened.
func (t *trainer) evaluate(ctx context.Context) error {
	began := time.Now()
	loss, _, err := t.evaluator.Loss(ctx, t.observer.Evaluating)
	if err != nil {
		return err
	}
	if !finite(loss) {
		return t.grid.agree(fmt.Errorf("train: step %d: evaluation loss is %g, want a finite number: %w",
			t.state.GlobalStep, loss, ErrDiverged))
	}
	t.state.EvalPending = false
	best := t.state.ObserveEval(loss)
	e := t.entry()
	e.EvalLoss = &loss
	if err := t.write(e); err != nil {
		return err
	}
	t.observer.Evaluated(Evaluation{
		Steps: t.state.GlobalStep, TotalSteps: t.state.MaxSteps, Epoch: t.state.Epoch, Loss: loss, Best: best,
		Elapsed: time.Since(began),
	})
	if best && t.cfg.LoadBestModelAtEnd {
		return t.save()
	}
	return nil
}

// finish writes what the run leaves behind.
func (t *trainer) finish(reason Reason) (Done, error) {
	d := Done{
		Reason: reason, Steps: t.state.GlobalStep, TotalSteps: t.state.MaxSteps, BestLoss: t.state.BestMetric,
		BestStep: t.state.BestStep, Elapsed: time.Since(t.sitting.began), Checkpoint: t.lastSave,
	}
	if t.grid.World.Procs() > 1 {
		d.Exchanged = t.grid.World.Ledger()
	}
	if t.sitting.steps > 0 {
		d.Loss = t.sitting.lossSum / float64(t.sitting.steps)
		d.TokensPerSecond = float64(t.sitting.tokens) / t.sitting.busy.Seconds()
	}
	if reason != Interrupted {
		if err := t.leave(&d); err != nil {
			return Done{}, err
		}
	}
	t.observer.Done(d)
	return d, nil
}
