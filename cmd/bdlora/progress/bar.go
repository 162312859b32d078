package progress

import (
	"fmt"

	"github.com/schollz/progressbar/v3"

	"bdlora/cmd/bdlora/numbers"
	"bdlora/train"
)

// bar tells of a run by a bar on a terminal, with lines above it but for those of the
// log, which the bar shows.
type bar struct {
	*lines
	width  int    // of the bar alone, in columns
	status string // of the last step, beside the bar
	bar    *progressbar.ProgressBar
}

// newBar fits the bar and what stands beside it into a line of so many columns, since
// terminals cannot redraw a line that wraps.
func newBar(l *lines, columns int) *bar {
	const mostBar = 40
	return &bar{lines: l, width: min(max(columns-besideBar, leastBar), mostBar)}
}

// Columns that the bar takes at least, and those of what stands beside it.
const leastBar, besideBar = 5, 66

// Start prints what the run is about to do and draws the bar.
func (b *bar) Start(s train.Start) {
	b.lines.Start(s)
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
func (b *bar) Step(s train.Step) {
	b.bar.Set(s.Steps)
	b.status = fmt.Sprintf("loss %.4f lr %.2e %s tok/s %s left",
		s.Loss, s.LR, numbers.Rate(s.TokensPerSecond), train.Clock(s.Remaining))
	b.bar.Describe(b.status)
}

// Logged prints nothing: the bar has it.
func (b *bar) Logged(train.Entry) {}

// Evaluating shows in the bar how far the evaluation is.
func (b *bar) Evaluating(done, total int) {
	b.bar.Describe(fmt.Sprintf("evaluating %d/%d", done, total))
}

// Evaluated prints an evaluation above the bar.
func (b *bar) Evaluated(e train.Evaluation) {
	b.above(func() { b.lines.Evaluated(e) })
}

// Saved prints where a checkpoint is above the bar.
func (b *bar) Saved(dir string) {
	b.above(func() { b.lines.Saved(dir) })
}

// Done ends the bar's line and prints what the run did.
func (b *bar) Done(d train.Done) {
	b.printf("")
	b.lines.Done(d)
}

// above prints lines in place of the bar, which comes back below them.
func (b *bar) above(print func()) {
	b.bar.Clear()
	print()
	b.bar.Describe(b.status)
}
