package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"bdlora/bdlora"
	"bdlora/cmd/bdlora/numbers"
	"bdlora/kernels"
	"bdlora/kernels/comm"
	"bdlora/model"
	"bdlora/train"
)

func planCommand() *cli.Command {
	return &cli.Command{
		Name:  "plan",
		Usage: "show what an adapter on a model would be: shapes, parameters, memory, speed of serving",
		Flags: append([]cli.Flag{
			modelFlag,
			&cli.IntFlag{Name: "nblocks", Aliases: []string{"tp_degree"}, Value: 1, Usage: "shards that will serve the adapter"},
			&cli.IntFlag{Name: "lora_r", Aliases: []string{"r", "lora_rank"}, Usage: "rank over all blocks"},
			&cli.IntFlag{Name: "match_lora_rank", Value: 16,
				Usage: "without --lora_r: the rank with at most the parameters of plain LoRA of this one"},
			&cli.Float64Flag{Name: "lora_alpha", Usage: "0 is 16 times nblocks"},
			&cli.BoolFlag{Name: "use_rslora", Usage: "scale by alpha/√r"},
			&cli.StringSliceFlag{Name: "target_modules", Value: cli.NewStringSlice(bdlora.AllLinear), Usage: "linears to adapt"},
			&cli.IntFlag{Name: "tokens", Value: 1024, Usage: "for the memory: most tokens of a micro-batch, rows times their length"},
			&cli.IntFlag{Name: "eval_tokens", Usage: "for the memory: those of a micro-batch of evaluation; 0 is no evaluation"},
			&cli.Float64Flag{Name: "lora_dropout", Usage: "for the memory: probability of dropping an input of the adapter"},
			&cli.IntFlag{Name: "tensor_parallel_size", Value: 1, Usage: "for the memory: processes that train the model together"},
			baseDtypeFlag, threadsFlag,
		}, planServeFlags()...),
		Action: plan,
	}
}

func plan(c *cli.Context) error {
	counts := errors.Join(atLeast(c, 1, "nblocks", "tokens"), atLeast(c, 0, "eval_tokens"))
	if err := errors.Join(arguments(c, 0, 0), counts); err != nil {
		return err
	}
	switch {
	case c.Float64("lora_dropout") < 0 || c.Float64("lora_dropout") >= 1:
		return usagef("--lora_dropout: got %g, want at least 0 and less than 1", c.Float64("lora_dropout"))
	case c.Int("tensor_parallel_size") < 1 || c.Int("nblocks")%c.Int("tensor_parallel_size") != 0:
		return usagef("--tensor_parallel_size: got %d, want a divisor of --nblocks %d", c.Int("tensor_parallel_size"), c.Int("nblocks"))
	case c.IsSet("lora_r") && c.IsSet("match_lora_rank"):
		return usagef("--lora_r and --match_lora_rank: got both, want one")
	}
	if c.Bool("serve") {
		return planServing(c)
	}
	if err := onlyWith(c, "serve", planServeFlags()); err != nil {
		return err
	}
	be, l, err := open(c)
	if err != nil {
		return err
	}
	defer l.Close()
	p, err := planAdapter(c, l.model.Base())
	if err != nil {
		return err
	}
	printPlan(c.App.Writer, p)
	printMatched(c, p)
	if err := l.model.Join(comm.Silent(0, c.Int("tensor_parallel_size"))); err != nil {
		return err
	}
	return printMemory(c.App.Writer, be, l.model, p, model.GraphConfig{
		Tokens: c.Int("tokens"), EvalTokens: c.Int("eval_tokens"), Dropout: c.Float64("lora_dropout"),
	})
}

// planAdapter is the adapter that the flags ask for.
func planAdapter(c *cli.Context, base bdlora.Base) (*bdlora.Plan, error) {
	cfg := bdlora.DefaultConfig()
	cfg.Rank, cfg.Blocks, cfg.Alpha = c.Int("lora_r"), c.Int("nblocks"), c.Float64("lora_alpha")
	cfg.RSLoRA, cfg.Targets = c.Bool("use_rslora"), c.StringSlice("target_modules")
	if cfg.Rank == 0 {
		rank, err := bdlora.MatchRank(base, cfg.Targets, cfg.Blocks, c.Int("match_lora_rank"))
		if err != nil {
			return nil, err
		}
		cfg.Rank = rank
	}
	return bdlora.NewPlan(base, cfg)
}

// printPlan writes a line for each kind of linear, and the sums.
func printPlan(w io.Writer, p *bdlora.Plan) {
	fmt.Fprintln(w, p)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "linear\tlayers\tparallel\tA of a shard\tB of a shard\tscaling\tparams a layer\tof LoRA's at that rank")
	for _, r := range p.Table() {
		fmt.Fprintf(table, "%s\t%d\t%s\t%v\t%v\t%.4g\t%s\t%.3f\n", r.Linear.Name, r.Layers, r.Linear.Parallel,
			shape(r.A), shape(r.B), r.Scaling, numbers.Thousands(r.Params), r.Ratio())
	}
	table.Flush()
	fmt.Fprintln(w, numbers.Trainable(p.Params(), p.Params()+p.Base.Params))
	if n := p.Shards(); n > 1 {
		fmt.Fprintf(w, "a shard: %s params in %s\n", numbers.Thousands(p.ShardLen), numbers.Mebibytes(4*int64(p.ShardLen)))
		if perBlock := p.Config.Rank / n; perBlock < 4 {
			fmt.Fprintf(w, "note: each output sees only %d of the rank's %d components; more than 4 learn better\n",
				perBlock, p.Config.Rank)
		}
	}
}

// printMatched writes the size of the plain LoRA that the plan's rank was matched to, if
// it was.
func printMatched(c *cli.Context, p *bdlora.Plan) {
	if rank := c.Int("match_lora_rank"); !c.IsSet("lora_r") {
		fmt.Fprintf(c.App.Writer, "plain LoRA of rank %d: %s params\n", rank, numbers.Thousands(loraParams(p, rank)))
	}
}

// loraParams is the number of parameters of plain LoRA of that rank on the plan's
// linears.
func loraParams(p *bdlora.Plan, rank int) int64 {
	params := int64(0)
	for _, r := range p.Table() {
		params += int64(r.Layers) * r.LoRAParams / int64(r.Rank) * int64(rank)
	}
	return params
}

func shape(dims [2]int) string { return strings.ReplaceAll(fmt.Sprint(dims), " ", ", ") }

// printMemory writes what training takes, with gradient checkpointing and without.
func printMemory(w io.Writer, be kernels.Backend, m *model.Model, p *bdlora.Plan, c model.GraphConfig) error {
	microBatch := train.Text{Tokens: c.Tokens, Different: c.Tokens}
	keep := train.MeasureMemory(be, m, p, c, microBatch, m.Group().Procs())
	keepFlops := model.MeasureFlops(be, m, p, c)
	c.Recompute = true
	again := train.MeasureMemory(be, m, p, c, microBatch, m.Group().Procs())
	againFlops := model.MeasureFlops(be, m, p, c)

	of := ""
	if procs := m.Group().Procs(); procs > 1 {
		of = fmt.Sprintf(" of the first of %d processes", procs)
	}
	fmt.Fprintf(w, "\nmemory%s to train %s tokens at a time, beside the dataset:\n", of, numbers.Thousands(c.Tokens))
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "gradient_checkpointing\tfalse\ttrue\t")
	for _, row := range []struct {
		name        string
		keep, again int64
	}{
		{"weights, mapped from their files", keep.Weights, again.Weights},
		{"adapter, gradients, moments", keep.Adapter, again.Adapter},
		{"activations", keep.Activations, again.Activations},
		{"scratch of the kernels", keep.Scratch, again.Scratch},
		{"copies for checkpoints", keep.Saving, again.Saving},
		{"program", keep.Program, again.Program},
		{"in all", keep.Total(), again.Total()},
		{"which must fit beside the weights", keep.Private(), again.Private()},
	} {
		fmt.Fprintf(table, "%s\t%s\t%s\t\n", row.name, numbers.Mebibytes(row.keep), numbers.Mebibytes(row.again))
	}
	fmt.Fprintf(table, "operations, in GFLOP\t%s\t%s\t\n", numbers.Thousands(int64(keepFlops/1e9)), numbers.Thousands(int64(againFlops/1e9)))
	table.Flush()
	_, err := fmt.Fprintf(w, "gradient_checkpointing takes %.0f%% of the memory for %+.0f%% operations\n",
		100*float64(again.Total())/float64(keep.Total()), 100*(againFlops/keepFlops-1))
	if available, unknown := train.AvailableMemory(); unknown == nil {
		_, err = fmt.Fprintf(w, "available on this machine: %s\n", numbers.Mebibytes(available))
	}
	return err
}
