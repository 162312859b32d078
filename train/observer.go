package train

import (
	"time"

	"bdlora/kernels/comm"
)

// Observer is told what a run does, in the order in which it happens and from one
// goroutine. The run waits for each call to return.
type Observer interface {
	// Quantizing comes before Start, after each layer of the base model that had to be
	// brought into 8 or 4 bits.
	Quantizing(done, total int)
	// Start comes once, before the first step.
	Start(Start)
	// Step comes after every optimizer step.
	Step(Step)
	// Logged comes after every line of the log about training, which covers the steps
	// since the last one.
	Logged(Entry)
	// Evaluating comes after every micro-batch of an evaluation.
	Evaluating(done, total int)
	// Evaluated comes after every evaluation.
	Evaluated(Evaluation)
	// Saved comes after a checkpoint is on disk, in the folder dir.
	Saved(dir string)
	// Done comes once, at the end of a run that no error ended.
	Done(Done)
}

// nobody is an Observer that does not listen.
type nobody struct{}

func (nobody) Quantizing(int, int)  {}
func (nobody) Start(Start)          {}
func (nobody) Step(Step)            {}
func (nobody) Logged(Entry)         {}
func (nobody) Evaluating(int, int)  {}
func (nobody) Evaluated(Evaluation) {}
func (nobody) Saved(string)         {}
func (nobody) Done(Done)            {}

// Start is what a run is about to do.
type Start struct {
	Model           string // as the settings have it
	Adapter         string // the adapter in one line, its rank and alpha included
	TrainableParams int64
	AllParams       int64 // those of the base model and the trainable ones
	Rows, EvalRows  int   // of the datasets, after dropping and splitting
	DroppedRows     int   // longer than max_length and left out
	TruncatedRows   int   // longer than max_length and cut
	Steps           int   // done before: 0, or the step of the checkpoint resumed from
	TotalSteps      int
	Epochs          float64
	Resumed         string  // the checkpoint's folder; empty for a new run
	Skipped         []error // newer checkpoints that are broken
	InitAdapter     string  // the adapter that the weights come from; empty for none
	Fit             Fit

	TensorParallelSize, DataParallelSize int
	// Regrid is what has become of the checkpoint's grid and adapter; empty if they are
	// what they were.
	Regrid string
}

// Step is one optimizer step.
type Step struct {
	Steps, TotalSteps int     // done, this one included
	Epoch             float64 // done, with its fraction
	Loss              float64 // mean over its trained tokens
	LR                float64
	GradNorm          float64 // before clipping
	TokensPerSecond   float64 // of late, trained or not
	Remaining         time.Duration
}

// Evaluation is one evaluation.
type Evaluation struct {
	Steps, TotalSteps int
	Epoch             float64
	Loss              float64 // mean over the trained tokens
	Best              bool    // the lowest so far
	Elapsed           time.Duration
}

// Reason is why a run ended.
type Reason string

// The reasons.
const (
	Finished     Reason = "finished"
	StoppedEarly Reason = "stopped early"
	Interrupted  Reason = "interrupted"
)

// Done is what a run did.
type Done struct {
	Reason            Reason
	Steps, TotalSteps int
	Loss              float64  // mean over the steps of this sitting
	BestLoss          *float64 // the lowest evaluation loss; nil without evaluation
	BestStep          int      // where it was
	BestLoaded        bool     // the adapter is that one's instead of the last one
	Elapsed           time.Duration
	TokensPerSecond   float64
	Checkpoint        string // the folder of the last one; empty if none was written
	Adapter           string // the folder of the final adapter; empty if interrupted
	Curve             string // the file of the loss curve

	// Exchanged is what this process and the others exchanged in this sitting; nil for
	// a process alone.
	Exchanged *comm.Ledger
}
