package main

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"bdlora/bdlora"
	"bdlora/cmd/bdlora/machine"
	"bdlora/cmd/bdlora/numbers"
	"bdlora/cmd/bdlora/parts"
	"bdlora/data"
	"bdlora/kernels"
	"bdlora/model"
	"bdlora/train"
)

func benchStepCommand() *cli.Command {
	return &cli.Command{
		Name:  "step",
		Usage: "measure a training step, whole and part by part",
		Description: "A step is a micro-batch through the graph, forward and backward, with an adapter on every linear, then\n" +
			"the norm of its gradient and AdamW. Each token but the first of a sequence is one to predict. What the maths\n" +
			"needs is linears, head, attention below the diagonal and adapters, 2 operations a multiply-add: what\n" +
			"checkpointing computes again takes time but is not counted. The share is of the peak, which is what this\n" +
			"processor reaches with as many threads in fused multiply-adds between registers. The parts' GFLOP are those\n" +
			"that were done, again or not, and an adapter's in a linear's product (addends) are the adapter's, in the\n" +
			"linear's time. What the parts leave of the time, the rest, is Gorgonia's and Go's.",
		Flags: benchFlags(3,
			layersFlag,
			&cli.IntFlag{Name: "tokens", Value: 2048, Usage: "of the micro-batch"},
			&cli.IntFlag{Name: "seq_len", Usage: "tokens of its sequences; 0 is one sequence"},
			&cli.IntFlag{Name: "nblocks", Aliases: []string{"tp_degree"}, Value: 1, Usage: "shards that will serve the adapter"},
			&cli.IntFlag{Name: "lora_r", Aliases: []string{"r", "lora_rank"}, Value: 16, Usage: "rank over all blocks"},
			&cli.BoolFlag{Name: "gradient_checkpointing", Usage: "recompute activations"},
			&cli.IntFlag{Name: "warmup", Value: 1, Usage: "runs before the timed ones"},
		),
		Action: benchStep,
	}
}

// stepReport is what bench step measured. All but AllSeconds is of the median run.
type stepReport struct {
	Tokens            int          `json:"tokens"`
	SeqLen            int          `json:"seq_len"`
	Blocks            int          `json:"nblocks"`
	Rank              int          `json:"lora_r"`
	Checkpointing     bool         `json:"gradient_checkpointing"`
	TrainableParams   int64        `json:"trainable_params"`
	Runs              int          `json:"runs"`
	Seconds           float64      `json:"seconds"`
	AllSeconds        []float64    `json:"all_seconds"`
	TokensPerSecond   float64      `json:"tokens_per_second"`
	NeededGFLOP       float64      `json:"needed_gflop"`
	GFLOPs            float64      `json:"gflops"`
	PeakShare         float64      `json:"peak_share"`
	Parts             []parts.Part `json:"parts"`
	AllocatedBytes    uint64       `json:"allocated_bytes"`
	PeakResidentBytes int64        `json:"peak_resident_bytes"`
	PeakResidentOf    string       `json:"peak_resident_of"`
}

func benchStep(c *cli.Context) error {
	if err := errors.Join(arguments(c, 0, 0), atLeast(c, 1, "nblocks", "lora_r"), atLeast(c, 0, "warmup")); err != nil {
		return err
	}
	seqLen := c.Int("seq_len")
	switch {
	case c.Int("tokens") < 2:
		return usagef("--tokens: got %d, want at least 2, to predict one from the other", c.Int("tokens"))
	case seqLen < 0 || seqLen == 1:
		return usagef("--seq_len: got %d, want 0 or at least 2", seqLen)
	}
	defer debug.SetGCPercent(debug.SetGCPercent(train.GarbagePercent)) // as in a run
	b, err := newBench(c, c.Int(layersFlag.Name))
	if err != nil {
		return err
	}
	defer b.close()
	s, err := newStepper(b, c)
	if err != nil {
		return err
	}
	defer s.graph.Close()
	if err := s.measure(c.Int("warmup")); err != nil {
		return err
	}
	return b.print(s.report.print)
}

// stepper makes the training steps of a bench.
type stepper struct {
	*bench
	report    *stepReport
	batch     *data.Batch
	graph     *model.Graph
	optimizer *train.Optimizer
	parts     *parts.Sums // of the step under way
}

// newStepper builds the graph on a backend that reports to the stepper's parts.
func newStepper(b *bench, c *cli.Context) (*stepper, error) {
	cfg := bdlora.DefaultConfig()
	cfg.Rank, cfg.Blocks = c.Int("lora_r"), c.Int("nblocks")
	plan, err := bdlora.NewPlan(b.model.Base(), cfg)
	if err != nil {
		return nil, err
	}
	r := &stepReport{
		Tokens: c.Int("tokens"), SeqLen: c.Int("seq_len"), Blocks: cfg.Blocks, Rank: cfg.Rank,
		Checkpointing: c.Bool("gradient_checkpointing"), TrainableParams: plan.Params(), Runs: c.Int("runs"),
	}
	if r.SeqLen == 0 {
		r.SeqLen = r.Tokens
	}
	s := &stepper{bench: b, report: r, batch: benchBatch(r.Tokens, r.SeqLen, b.model.Config.Vocab)}
	r.NeededGFLOP = model.CountFlops(b.model.Config, plan, s.batch).Total() / 1e9
	b.report.Step = r
	head := b.model.Head().Name
	be := kernels.NewTimed(b.be, func(call kernels.Call) { s.parts.Add(call, head) })
	s.parts = &parts.Sums{}
	trainable := model.NewTrainable(be, bdlora.New(plan, 1))
	s.optimizer = train.NewOptimizer(be, trainable)
	s.graph, err = model.NewGraph(be, b.model, trainable, model.GraphConfig{Tokens: r.Tokens, Recompute: r.Checkpointing})
	return s, err
}

// benchBatch is sequences of seqLen tokens, the last one shorter if it must be, with
// everything to predict.
func benchBatch(tokens, seqLen, vocab int) *data.Batch {
	var examples []data.Example
	for from := 0; from < tokens; from += seqLen {
		n := min(seqLen, tokens-from)
		e := data.Example{Tokens: make([]int32, n), Trained: make([]bool, n)}
		for i := range n {
			e.Tokens[i], e.Trained[i] = int32((from+i)*37%vocab), i > 0
		}
		examples = append(examples, e)
	}
	return data.NewBatch(examples...)
}

// stepRun is one timed step.
type stepRun struct {
	seconds   float64
	parts     *parts.Sums
	allocated uint64
}

// measure makes all steps and reports the median one.
func (s *stepper) measure(warmup int) error {
	var runs []stepRun
	for i := range warmup + s.report.Runs {
		run, err := s.step(i + 1)
		if err != nil {
			return err
		}
		if i < warmup {
			s.note("warm-up %d of %d: %.3g s", i+1, warmup, run.seconds)
			continue
		}
		s.note("step %d of %d: %.3g s", i-warmup+1, s.report.Runs, run.seconds)
		runs = append(runs, run)
		s.report.AllSeconds = append(s.report.AllSeconds, run.seconds)
	}
	r := s.report
	r.Seconds = numbers.Median(r.AllSeconds)
	r.TokensPerSecond = float64(r.Tokens) / r.Seconds
	r.GFLOPs = numbers.PerSecond(r.NeededGFLOP, r.Seconds)
	r.PeakShare = s.peakShare(r.GFLOPs)
	middle := runs[slices.IndexFunc(runs, func(run stepRun) bool { return run.seconds == r.Seconds })]
	r.Parts, r.AllocatedBytes = middle.parts.Report(r.Seconds), middle.allocated
	r.PeakResidentBytes, r.PeakResidentOf = machine.PeakMemory()
	return nil
}

// step makes one optimizer step.
func (s *stepper) step(number int) (stepRun, error) {
	run := stepRun{parts: &parts.Sums{}}
	s.parts = run.parts
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := time.Now()
	s.optimizer.ZeroGrad()
	if _, err := s.graph.Run(s.batch, 1/float64(s.batch.Trained()), uint64(number)); err != nil {
		return run, err
	}
	s.optimizer.SumSquares(make([]float64, s.report.Blocks))
	s.optimizer.Step(kernels.AdamW{LR: 1e-4, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, GradScale: 1, T: number})
	run.seconds = time.Since(began).Seconds()
	runtime.ReadMemStats(&after)
	run.allocated = after.TotalAlloc - before.TotalAlloc
	return run, nil
}

// print writes the sums and a line a part.
func (r *stepReport) print(w io.Writer) error {
	fmt.Fprintf(w, "%d tokens in sequences of %d, rank %d in %d blocks (%s params), gradient_checkpointing %t\n",
		r.Tokens, r.SeqLen, r.Rank, r.Blocks, numbers.Thousands(r.TrainableParams), r.Checkpointing)
	fmt.Fprintf(w, "step: %.3g s, %s tokens/s (median of %d: %.3g to %.3g s)\n",
		r.Seconds, numbers.Rate(r.TokensPerSecond), r.Runs, r.AllSeconds[0], r.AllSeconds[len(r.AllSeconds)-1])
	fmt.Fprintf(w, "needed: %.4g GFLOP, %.1f GFLOP/s, %.1f%% of the peak\n", r.NeededGFLOP, r.GFLOPs, 100*r.PeakShare)
	fmt.Fprintf(w, "memory: %s allocated in the step, %s resident at most (%s)\n\n",
		numbers.Mebibytes(int64(r.AllocatedBytes)), numbers.Mebibytes(r.PeakResidentBytes), r.PeakResidentOf)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "part\tcalls\ts\tof the step\tGFLOP\tGFLOP/s")
	for _, p := range r.Parts {
		fmt.Fprintf(table, "%s\t%d\t%.4f\t%.1f%%\t%s\t%s\n", p.Part, p.Calls, p.Seconds, 100*p.Share,
			orDash("%.4g", p.GFLOP), orDash("%.1f", p.GFLOPs))
	}
	return table.Flush()
}

// orDash writes a number, or a dash for 0.
func orDash(format string, x float64) string {
	if x == 0 {
		return "-"
	}
	return fmt.Sprintf(format, x)
}
