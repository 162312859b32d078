package progress

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"bdlora/cmd/bdlora/numbers"
	"bdlora/kernels/comm"
	"bdlora/train"
)

// lines tells of a run: a line an entry of the log, evaluation and checkpoint.
type lines struct{ out io.Writer }

func (l *lines) printf(format string, args ...any) { fmt.Fprintf(l.out, format+"\n", args...) }

// Quantizing prints that it has begun, and that it is done.
func (l *lines) Quantizing(done, total int) { Quantizing(l.out, done, total) }

// Start prints what the run is about to do.
func (l *lines) Start(s train.Start) {
	l.printf("base model: %s", s.Model)
	l.printf("adapter: %s", s.Adapter)
	l.printf("%s", numbers.Trainable(s.TrainableParams, s.AllParams))
	l.printf("dataset: %s", rowsOf(s))
	if procs := s.TensorParallelSize * s.DataParallelSize; procs > 1 {
		l.printf("processes: %d: tensor_parallel_size %d × data_parallel_size %d; of the first one:", procs,
			s.TensorParallelSize, s.DataParallelSize)
	}
	l.memory(s.Fit)
	for _, reason := range s.Skipped {
		l.printf("passed over: %v", reason)
	}
	switch {
	case s.Resumed != "":
		l.printf("resuming %s: step %d of %d, %s", s.Resumed, s.Steps, s.TotalSteps, cmp.Or(s.Regrid, "everything as it was"))
	case s.InitAdapter != "":
		l.printf("starting from the adapter %s: %d steps, optimizer and schedule anew", s.InitAdapter, s.TotalSteps)
	default:
		l.printf("starting anew: %d steps, %.4g epochs", s.TotalSteps, s.Epochs)
	}
}

// memory prints what a run takes, and what to do if that does not fit.
func (l *lines) memory(f train.Fit) {
	m := f.Memory
	l.printf("memory: %s: weights %s (mapped from their files), adapter %s, activations %s, all else %s",
		numbers.Mebibytes(m.Total()), numbers.Mebibytes(m.Weights), numbers.Mebibytes(m.Adapter+m.Saving),
		numbers.Mebibytes(m.Activations), numbers.Mebibytes(m.Scratch+m.Rows+m.Program))
	if !f.Slow() {
		return
	}
	l.printf("note: only %s are available: weights will be read from disk again and again", numbers.Mebibytes(f.Available))
	for _, s := range f.Savings {
		l.printf("  %s", s)
	}
}

// Step prints nothing: [lines.Logged] does.
func (l *lines) Step(train.Step) {}

// Logged prints an entry of the log.
func (l *lines) Logged(e train.Entry) {
	line := fmt.Sprintf("step %d/%d (%.4g%%)  epoch %.2f", e.CurrentSteps, e.TotalSteps, e.Percentage, e.Epoch)
	if e.Loss != nil {
		line += fmt.Sprintf("  loss %.4f", *e.Loss)
	}
	if e.LR != nil {
		line += fmt.Sprintf("  lr %.3g", *e.LR)
	}
	if e.GradNorm != nil {
		line += fmt.Sprintf("  grad_norm %.3g", *e.GradNorm)
	}
	l.printf("%s  %s tokens/s  %s elapsed, %s left", line, numbers.Rate(e.TokensPerSecond), e.ElapsedTime, e.RemainingTime)
}

// Evaluating prints nothing: [lines.Evaluated] does.
func (l *lines) Evaluating(done, total int) {}

// Evaluated prints an evaluation.
func (l *lines) Evaluated(e train.Evaluation) {
	best := ""
	if e.Best {
		best = ", the lowest so far"
	}
	l.printf("step %d/%d  eval_loss %.4f%s (took %s)", e.Steps, e.TotalSteps, e.Loss, best, train.Clock(e.Elapsed))
}

// Saved prints where a checkpoint is.
func (l *lines) Saved(dir string) { l.printf("saved %s", dir) }

// Done prints what the run did and what it left behind.
func (l *lines) Done(d train.Done) {
	l.printf("%s after step %d of %d", d.Reason, d.Steps, d.TotalSteps)
	if d.TokensPerSecond > 0 {
		l.printf("took %s: mean loss %.4f, %s tokens/s", train.Clock(d.Elapsed), d.Loss, numbers.Rate(d.TokensPerSecond))
	}
	if d.Exchanged != nil {
		l.printf("exchanged by the first process: %s", exchanged(d.Exchanged))
	}
	if d.BestLoss != nil {
		l.printf("lowest eval_loss: %.4f at step %d", *d.BestLoss, d.BestStep)
	}
	if d.Adapter != "" {
		of := ""
		if d.BestLoaded {
			of = fmt.Sprintf(" (that of step %d)", d.BestStep)
		}
		l.printf("adapter: %s%s", d.Adapter, of)
	}
	if d.Curve != "" {
		l.printf("loss curve: %s", d.Curve)
	}
	if d.Checkpoint != "" {
		l.printf("checkpoint: %s", d.Checkpoint)
	}
}

// exchanged says how much crossed for what, also where it was nothing.
func exchanged(ledger *comm.Ledger) string {
	var parts []string
	for _, why := range []comm.Purpose{comm.Base, comm.Adapter, comm.Replicas, comm.Control} {
		e := ledger.Total(why)
		parts = append(parts, fmt.Sprintf("%s %s calls, %s bytes", why, numbers.Thousands(e.Calls), numbers.Thousands(e.Payload)))
	}
	return strings.Join(parts, "; ")
}

// rowsOf says how many rows there are to train and evaluate on, and what became of
// those that are too long.
func rowsOf(s train.Start) string {
	text := numbers.Thousands(s.Rows) + " rows"
	if s.EvalRows > 0 {
		text += fmt.Sprintf(", %s to evaluate on", numbers.Thousands(s.EvalRows))
	}
	if s.DroppedRows > 0 {
		text += fmt.Sprintf(", %s too long and dropped", numbers.Thousands(s.DroppedRows))
	}
	if s.TruncatedRows > 0 {
		text += fmt.Sprintf(", %s too long and truncated", numbers.Thousands(s.TruncatedRows))
	}
	return text
}
