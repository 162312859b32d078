package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"bdlora/bdlora"
	"bdlora/kernels/cpu"
	"bdlora/model"
)

func planCommand() *cli.Command {
	return &cli.Command{
		Name:  "plan",
		Usage: "show what an adapter on a model would be: shapes, parameters, memory",
		Flags: []cli.Flag{
			modelFlag,
			&cli.IntFlag{Name: "nblocks", Aliases: []string{"tp_degree"}, Value: 1, Usage: "shards that will serve the adapter"},
			&cli.IntFlag{Name: "lora_r", Aliases: []string{"r", "lora_rank"}, Usage: "rank over all blocks"},
			&cli.IntFlag{Name: "match_lora_rank", Value: 16,
				Usage: "without --lora_r: the rank with at most the parameters of plain LoRA of this one"},
			&cli.Float64Flag{Name: "lora_alpha", Usage: "0 is 16 times nblocks"},
			&cli.BoolFlag{Name: "use_rslora", Usage: "scale by alpha/√r"},
			&cli.StringSliceFlag{Name: "target_modules", Value: cli.NewStringSlice(bdlora.AllLinear), Usage: "linears to adapt"},
			&cli.IntFlag{Name: "tokens", Value: 1024, Usage: "most tokens of a micro-batch, for the memory"},
			&cli.BoolFlag{Name: "gradient_checkpointing", Usage: "recompute activations, for the memory"},
		},
		Action: plan,
	}
}

func plan(c *cli.Context) error {
	if err := arguments(c, 0, 0); err != nil {
		return err
	}
	switch {
	case c.Int("nblocks") < 1:
		return usagef("--nblocks: got %d, want at least 1", c.Int("nblocks"))
	case c.Int("tokens") < 1:
		return usagef("--tokens: got %d, want at least 1", c.Int("tokens"))
	case c.IsSet("lora_r") && c.IsSet("match_lora_rank"):
		return usagef("--lora_r and --match_lora_rank: got both, want one")
	}
	l, err := loadFolders(c)
	if err != nil {
		return err
	}
	defer l.Close()
	base := l.model.Base()
	cfg := bdlora.DefaultConfig()
	cfg.Rank, cfg.Blocks, cfg.Alpha = c.Int("lora_r"), c.Int("nblocks"), c.Float64("lora_alpha")
	cfg.RSLoRA, cfg.Targets = c.Bool("use_rslora"), c.StringSlice("target_modules")
	if cfg.Rank == 0 {
		if cfg.Rank, err = bdlora.MatchRank(base, cfg.Targets, cfg.Blocks, c.Int("match_lora_rank")); err != nil {
			return err
		}
	}
	p, err := bdlora.NewPlan(base, cfg)
	if err != nil {
		return err
	}
	w := c.App.Writer
	printPlan(w, p)
	if !c.IsSet("lora_r") {
		rank := c.Int("match_lora_rank")
		fmt.Fprintf(w, "plain LoRA of rank %d: %s params\n", rank, thousands(loraParams(p, rank)))
	}
	graph := model.GraphConfig{Tokens: c.Int("tokens"), Recompute: c.Bool("gradient_checkpointing")}
	_, err = fmt.Fprintf(w, "memory to train %s tokens at a time: %s\n", thousands(int64(graph.Tokens)),
		memoryOf(model.MeasureMemory(cpu.New(1), l.model, p, graph)))
	return err
}

// printPlan writes a line for each kind of linear, and the sums.
func printPlan(w io.Writer, p *bdlora.Plan) {
	fmt.Fprintln(w, p)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "linear\tlayers\tparallel\tA of a shard\tB of a shard\tscaling\tparams a layer\tof LoRA's at that rank")
	for _, r := range p.Table() {
		fmt.Fprintf(table, "%s\t%d\t%s\t%v\t%v\t%.4g\t%s\t%.3f\n", r.Linear.Name, r.Layers, r.Linear.Parallel,
			shape(r.A), shape(r.B), r.Scaling, thousands(r.Params), r.Ratio())
	}
	table.Flush()
	fmt.Fprintln(w, trainableOf(p.Params(), p.Params()+p.Base.Params))
	if n := p.Shards(); n > 1 {
		fmt.Fprintf(w, "a shard: %s params in %s\n", thousands(int64(p.ShardLen)), mebibytes(4*int64(p.ShardLen)))
		if perBlock := p.Config.Rank / n; perBlock < 4 {
			fmt.Fprintf(w, "note: each output sees only %d of the rank's %d components; more than 4 learn better\n",
				perBlock, p.Config.Rank)
		}
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

// memoryOf says what training takes.
func memoryOf(m model.Memory) string {
	return fmt.Sprintf("%s = weights %s (mapped from their files) + adapter %s + activations %s",
		mebibytes(m.Total()), mebibytes(m.Weights), mebibytes(m.Adapter), mebibytes(m.Activations))
}

func mebibytes(bytes int64) string {
	return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20))
}
