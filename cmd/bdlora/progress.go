package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"strconv"

	"bdlora/train"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// newProgress shows a run on w: with a bar where w is a terminal, in plain lines
// where it is a file, a pipe or a terminal too narrow for the bar.
func newProgress(w io.Writer) train.Observer {
	p := &progress{out: w}
	if file, ok := w.(*os.File); ok {
		if columns, _, err := term.GetSize(int(file.Fd())); err == nil && columns >= besideBar+leastBar {
			return newBarProgress(p, columns)
		}
	}
	return p
}

// progress tells of a run in lines: one an entry of the log, evaluation and
// checkpoint.
type progress struct{ out io.Writer }

func (p *progress) printf(format string, args ...any) { fmt.Fprintf(p.out, format+"\n", args...) }

// Quantizing prints that it has begun, and that it is done.
func (p *progress) Quantizing(done, total int) { quantizing(p.out, done, total) }

// quantizing says how far a base model is on its way into 8 or 4 bits.
func quantizing(w io.Writer, done, total int) {
	if done == 1 {
		fmt.Fprintf(w, "quantising the base model, which the next start will find in cache_dir: layer 1 of %d\n", total)
	}
	if done == total {
		fmt.Fprintf(w, "quantised %d layers\n", total)
	}
}

// Start prints what the run is about to do.
func (p *progress) Start(s train.Start) {
	p.printf("base model: %s", s.Model)
	p.printf("adapter: %s", s.Adapter)
	p.printf("%s", trainableOf(s.TrainableParams, s.AllParams))
	p.printf("dataset: %s", rowsOf(s))
	if procs := s.TensorParallelSize * s.DataParallelSize; procs > 1 {
		p.printf("processes: %d: tensor_parallel_size %d × data_parallel_size %d; of the first one:", procs,
			s.TensorParallelSize, s.DataParallelSize)
	}
	p.memory(s.Fit)
	for _, reason := range s.Skipped {
		p.printf("passed over: %v", reason)
	}
	switch {
	case s.Resumed != "":
		p.printf("resuming %s: step %d of %d, %s", s.Resumed, s.Steps, s.TotalSteps, cmp.Or(s.Regrid, "everything as it was"))
	case s.InitAdapter != "":
		p.printf("starting from the adapter %s: %d steps, optimizer and schedule anew", s.InitAdapter, s.TotalSteps)
	default:
		p.printf("starting anew: %d steps, %.4g epochs", s.TotalSteps, s.Epochs)
	}
}

// memory prints what a run takes, and what to do if that does not fit.
func (p *progress) memory(f train.Fit) {
	m := f.Memory
	p.printf("memory: %s: weights %s (mapped from their files), adapter %s, activations %s, all else %s",
		mebibytes(m.Total()), mebibytes(m.Weights), mebibytes(m.Adapter+m.Saving), mebibytes(m.Activations),
		mebibytes(m.Scratch+m.Rows+m.Program))
	if !f.Slow() {
		return
	}
	p.printf("note: only %s are available: weights will be read from disk again and again", mebibytes(f.Available))
	for _, s := range f.Savings {
		p.printf("  %s", s)
	}
}

// Step prints nothing: [progress.Logged] does.
func (p *progress) Step(train.Step) {}

// Logged prints an entry of the log.
func (p *progress) Logged(e train.Entry) {
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
	p.printf("%s  %s tokens/s  %s elapsed, %s left", line, rate(e.TokensPerSecond), e.ElapsedTime, e.RemainingTime)
}

// Evaluating prints nothing: [progress.Evaluated] does.
func (p *progress) Evaluating(done, total int) {}

// Evaluated prints an evaluation.
func (p *progress) Evaluated(e train.Evaluation) {
	best := ""
	if e.Best {
		best = ", the lowest so far"
	}
	p.printf("step %d/%d  eval_loss %.4f%s (took %s)", e.Steps, e.TotalSteps, e.Loss, best, train.Clock(e.Elapsed))
}

// Saved prints where a checkpoint is.
func (p *progress) Saved(dir string) { p.printf("saved %s", dir) }

// Done prints what the run did and what it left behind.
func (p *progress) Done(d train.Done) {
	p.printf("%s after step %d of %d", d.Reason, d.Steps, d.TotalSteps)
	if d.TokensPerSecond > 0 {
		p.printf("took %s: mean loss %.4f, %s tokens/s", train.Clock(d.Elapsed), d.Loss, rate(d.TokensPerSecond))
	}
	if d.BestLoss != nil {
		p.printf("lowest eval_loss: %.4f at step %d", *d.BestLoss, d.BestStep)
	}
	if d.Adapter != "" {
		of := ""
		if d.BestLoaded {
			of = fmt.Sprintf(" (that of step %d)", d.BestStep)
		}
		p.printf("adapter: %s%s", d.Adapter, of)
	}
	if d.Curve != "" {
		p.printf("loss curve: %s", d.Curve)
	}
	if d.Checkpoint != "" {
		p.printf("checkpoint: %s", d.Checkpoint)
	}
}

// barProgress tells of a run by a bar on a terminal, with the lines of progress
// above it but for those of the log, which the bar shows.
type barProgress struct {
	*progress
	width  int    // of the bar alone, in columns
	status string // of the last step, beside the bar
	bar    *progressbar.ProgressBar
}

// newBarProgress fits the bar and what stands beside it into a line of so many
// columns, since terminals cannot redraw a line that wraps.
func newBarProgress(p *progress, columns int) *barProgress {
	const mostBar = 40
	return &barProgress{progress: p, width: min(max(columns-besideBar, leastBar), mostBar)}
}

// Columns that the bar takes at least, and those of what stands beside it.
const leastBar, besideBar = 5, 66

// Start prints what the run is about to do and draws the bar.
func (b *barProgress) Start(s train.Start) {
	b.progress.Start(s)
	b.bar = progressbar.NewOptions(s.TotalSteps,
		progressbar.OptionSetWriter(b.out),
		progressbar.OptionSetWidth(b.width),
		progressbar.OptionShowCount(),
		progressbar.OptionSetPredictTime(false), // it counts from step 0, not from where the run resumed
		progressbar.OptionSetElapsedTime(false),
		progressbar.OptionShowDescriptionAtLineEnd(),
		progressbar.OptionSetTheme(progressbar.Theme{Saucer: "█", SaucerPadding: "░"}),
	)
	b.bar.Set(s.Steps)
}

// Step moves the bar.
func (b *barProgress) Step(s train.Step) {
	b.bar.Set(s.Steps)
	b.status = fmt.Sprintf("loss %.4f lr %.2e %s tok/s %s left",
		s.Loss, s.LR, rate(s.TokensPerSecond), train.Clock(s.Remaining))
	b.bar.Describe(b.status)
}

// Logged prints nothing: the bar has it.
func (b *barProgress) Logged(train.Entry) {}

// Evaluating shows in the bar how far the evaluation is.
func (b *barProgress) Evaluating(done, total int) {
	b.bar.Describe(fmt.Sprintf("evaluating %d/%d", done, total))
}

// Evaluated prints an evaluation above the bar.
func (b *barProgress) Evaluated(e train.Evaluation) {
	b.above(func() { b.progress.Evaluated(e) })
}

// Saved prints where a checkpoint is above the bar.
func (b *barProgress) Saved(dir string) {
	b.above(func() { b.progress.Saved(dir) })
}

// Done ends the bar's line and prints what the run did.
func (b *barProgress) Done(d train.Done) {
	b.printf("")
	b.progress.Done(d)
}

// above prints lines in place of the bar, which comes back below them.
func (b *barProgress) above(print func()) {
	b.bar.Clear()
	print()
	b.bar.Describe(b.status)
}

// rowsOf says how many rows there are to train and evaluate on, and what became of
// those that are too long.
func rowsOf(s train.Start) string {
	text := thousands(int64(s.Rows)) + " rows"
	if s.EvalRows > 0 {
		text += fmt.Sprintf(", %s to evaluate on", thousands(int64(s.EvalRows)))
	}
	if s.DroppedRows > 0 {
		text += fmt.Sprintf(", %s too long and dropped", thousands(int64(s.DroppedRows)))
	}
	if s.TruncatedRows > 0 {
		text += fmt.Sprintf(", %s too long and truncated", thousands(int64(s.TruncatedRows)))
	}
	return text
}

// trainableOf is the line that PEFT's print_trainable_parameters prints.
func trainableOf(trainable, all int64) string {
	return fmt.Sprintf("trainable params: %s || all params: %s || trainable%%: %.4f",
		thousands(trainable), thousands(all), 100*float64(trainable)/float64(all))
}

// rate writes tokens per second: with a decimal where it is slow.
func rate(perSecond float64) string {
	if perSecond < 100 {
		return fmt.Sprintf("%.1f", perSecond)
	}
	return thousands(int64(perSecond))
}

// thousands writes a count that is not negative with commas, as PEFT does.
func thousands(n int64) string {
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
