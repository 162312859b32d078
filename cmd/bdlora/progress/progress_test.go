package progress

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bdlora/kernels/comm"
	"bdlora/model"
	"bdlora/train"
)

// perform tells an observer of a short run.
func perform(o train.Observer) {
	loss, lr, norm := 1.25, 2e-4, 0.5
	o.Start(train.Start{
		Fit: train.Fit{
			Memory:    train.Memory{Memory: model.Memory{Weights: 1 << 20, Adapter: 1 << 20, Activations: 1 << 20}, Saving: 1 << 20},
			Available: 3 << 20,
			Savings: []train.Saving{
				{Change: "with base_dtype=nf4", Memory: train.Memory{Memory: model.Memory{Weights: 2 << 30, Adapter: 1 << 30}}},
			},
		},
		Model: "models/tiny", Adapter: "rank 16 in 4 blocks", TrainableParams: 4194304, AllParams: 6742609920,
		Rows: 1000, EvalRows: 50, DroppedRows: 3, Steps: 20, TotalSteps: 40, Epochs: 2,
		Resumed: "out/checkpoint-20", Skipped: []error{errors.New("out/checkpoint-30: broken")},
	})
	for step := 21; step <= 40; step++ {
		o.Step(train.Step{
			Steps: step, TotalSteps: 40, Loss: loss, LR: lr, GradNorm: norm,
			TokensPerSecond: 1234.5, Remaining: time.Duration(40-step) * time.Minute,
		})
	}
	o.Logged(train.Entry{
		CurrentSteps: 40, TotalSteps: 40, Loss: &loss, LR: &lr, GradNorm: &norm, Epoch: 2, Percentage: 100,
		ElapsedTime: "0:20:00", RemainingTime: "0:00:00", TokensPerSecond: 1234.5,
	})
	o.Evaluating(1, 2)
	o.Evaluated(train.Evaluation{Steps: 40, TotalSteps: 40, Loss: 1.5, Best: true, Elapsed: 61 * time.Second})
	o.Saved("out/checkpoint-40")
	best, ledger := 1.5, new(comm.Ledger)
	ledger.Add(comm.Base, comm.AllReduce, 4096, 0)
	ledger.Add(comm.Control, comm.Broadcast, 8, 0)
	o.Done(train.Done{
		Reason: train.Finished, Steps: 40, TotalSteps: 40, Loss: 1.25, BestLoss: &best, BestStep: 40, BestLoaded: true,
		Elapsed: 20 * time.Minute, TokensPerSecond: 12.34, Checkpoint: "out/checkpoint-40", Adapter: "out",
		Curve: "out/training_loss.svg", Exchanged: ledger,
	})
}

// Piped output is the same lines whoever reads it, without a bar or control
// characters.
func TestPlainProgress(t *testing.T) {
	const want = `base model: models/tiny
adapter: rank 16 in 4 blocks
trainable params: 4,194,304 || all params: 6,742,609,920 || trainable%: 0.0622
dataset: 1,000 rows, 50 to evaluate on, 3 too long and dropped
memory: 4.0 MiB: weights 1.0 MiB (mapped from their files), adapter 2.0 MiB, activations 1.0 MiB, all else 0.0 MiB
note: only 3.0 MiB are available: weights will be read from disk again and again
  with base_dtype=nf4: 1.00 GiB, 3.00 GiB with the weights
passed over: out/checkpoint-30: broken
resuming out/checkpoint-20: step 20 of 40, everything as it was
step 40/40 (100%)  epoch 2.00  loss 1.2500  lr 0.0002  grad_norm 0.5  1,234 tokens/s  0:20:00 elapsed, 0:00:00 left
step 40/40  eval_loss 1.5000, the lowest so far (took 0:01:01)
saved out/checkpoint-40
finished after step 40 of 40
took 0:20:00: mean loss 1.2500, 12.3 tokens/s
exchanged by the first process: base 1 calls, 4,096 bytes; adapter 0 calls, 0 bytes; replicas 0 calls, 0 bytes; control 1 calls, 8 bytes
lowest eval_loss: 1.5000 at step 40
adapter: out (that of step 40)
loss curve: out/training_loss.svg
checkpoint: out/checkpoint-40
`
	var out bytes.Buffer
	perform(New(&out))
	if got := out.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestProgressIntoFileIsPlain(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if o, ok := New(file).(*lines); !ok {
		t.Errorf("got a %T for a file, want plain lines", o)
	}
}

func TestProgressSaysHowItStarts(t *testing.T) {
	for _, tt := range []struct {
		start train.Start
		want  string
	}{
		{train.Start{TotalSteps: 7, Epochs: 1.5}, "starting anew: 7 steps, 1.5 epochs\n"},
		{train.Start{TotalSteps: 7, InitAdapter: "old"},
			"starting from the adapter old: 7 steps, optimizer and schedule anew\n"},
		{train.Start{TotalSteps: 7, Steps: 3, Resumed: "c", InitAdapter: "old"},
			"resuming c: step 3 of 7, everything as it was\n"},
	} {
		var out bytes.Buffer
		New(&out).Start(tt.start)
		if !strings.HasSuffix(out.String(), tt.want) {
			t.Errorf("got %q, want it to end in %q", out.String(), tt.want)
		}
	}
}

// screen is what a terminal shows after out: the lines, a carriage return going back
// to a line's start.
func screen(out string) []string {
	lines := strings.Split(out, "\n")
	for i, line := range lines {
		var cells []rune
		at := 0
		for _, r := range line {
			if r == '\r' {
				at = 0
				continue
			}
			if at == len(cells) {
				cells = append(cells, r)
			}
			cells[at] = r
			at++
		}
		lines[i] = strings.TrimRight(string(cells), " ")
	}
	return lines
}

func TestBarShowsLossRateAndTimeLeft(t *testing.T) {
	var out bytes.Buffer
	bar := newBar(&lines{out: &out}, 80)
	bar.Start(train.Start{Steps: 20, TotalSteps: 40})
	bar.Step(train.Step{
		Steps: 30, TotalSteps: 40, Loss: 1.25, LR: 2e-4, TokensPerSecond: 1234.5, Remaining: 10 * time.Minute,
	})
	lines := screen(out.String())
	last := lines[len(lines)-1]
	for _, want := range []string{
		" 75% ", "(30/40)", "loss 1.2500 lr 2.00e-04 1,234 tok/s 0:10:00 left", "███", "░░",
	} {
		if !strings.Contains(last, want) {
			t.Errorf("got bar %q, want %q in it", last, want)
		}
	}
}

// A line that is wider than the terminal could not be redrawn.
func TestBarFitsTheTerminal(t *testing.T) {
	for _, columns := range []int{80, 100, 200} {
		var out bytes.Buffer
		perform(newBar(&lines{out: &out}, columns))
		for _, line := range screen(out.String()) {
			if strings.Contains(line, "tok/s") && len([]rune(line)) >= columns {
				t.Errorf("got %d columns %q, want fewer than %d", len([]rune(line)), line, columns)
			}
		}
	}
}

// The lines above the bar are those of plain progress, but for the log's; the bar
// is a single line, and stays.
func TestBarKeepsLinesAboveIt(t *testing.T) {
	var bar, plain bytes.Buffer
	perform(newBar(&lines{out: &bar}, 80))
	perform(New(&plain))
	var want, got []string
	for line := range strings.Lines(plain.String()) {
		if !strings.Contains(line, "grad_norm") {
			want = append(want, strings.TrimRight(line, "\n"))
		}
	}
	bars := 0
	for _, line := range screen(bar.String()) {
		if strings.Contains(line, "(40/40) loss 1.2500") {
			bars++
		} else if line != "" {
			got = append(got, line)
		}
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got lines\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if bars != 1 {
		t.Errorf("got %d lines of bar, want 1, in\n%q", bars, bar.String())
	}
}
