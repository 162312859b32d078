package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"bdlora/bdlora"
	"bdlora/cmd/bdlora/numbers"
	"bdlora/kernels/comm"
	"bdlora/model"
	"bdlora/model/serving"
)

// planServeFlags are those of plan that go with --serve.
func planServeFlags() []cli.Flag {
	gpu := serving.A100()
	return []cli.Flag{
		&cli.BoolFlag{Name: "serve", Usage: "predict how fast --nblocks processors serve it, beside ordinary LoRA, instead of the memory"},
		&cli.StringFlag{Name: "shape", Aliases: []string{"s"}, Usage: "serve: instead of --model: `NAME` of " + strings.Join(model.Shapes(), ", ")},
		&cli.StringFlag{Name: "link", Value: "nvlink", Usage: "serve: between the processors: " + strings.Join(linkNames(), ", ")},
		&cli.Float64Flag{Name: "link_latency", Usage: "serve: microseconds of a collective of nothing, in place of the link's"},
		&cli.Float64Flag{Name: "link_bandwidth", Usage: "serve: GB/s that a processor sends, in place of the link's"},
		&cli.Float64Flag{Name: "read_bandwidth", Value: gpu.ReadRate / 1e9, Usage: "serve: GB/s of a processor's memory; the default is an A100's"},
		&cli.Float64Flag{Name: "tflops", Value: gpu.FlopRate / 1e12, Usage: "serve: TFLOP/s of a processor; the default is an A100's in bfloat16"},
		&cli.IntFlag{Name: "batch", Value: 8, Usage: "serve: sequences that are decoded together"},
		&cli.IntFlag{Name: "adapters", Value: 1, Usage: "serve: different adapters among them, each of which is read"},
		&cli.IntFlag{Name: "prompt_tokens", Value: 512, Usage: "serve: of a prompt"},
		&cli.IntFlag{Name: "new_tokens", Value: 128, Usage: "serve: of an answer"},
	}
}

func linkNames() []string {
	var names []string
	for _, l := range serving.Links() {
		names = append(names, l.Name)
	}
	return names
}

// onlyWith refuses flags that mean nothing without another one.
func onlyWith(c *cli.Context, needed string, flags []cli.Flag) error {
	for _, f := range flags {
		if name := f.Names()[0]; name != needed && c.IsSet(name) {
			return usagef("--%s: got one without --%s", name, needed)
		}
	}
	return nil
}

// planServing prints the adapter and what it is predicted to do when it is served.
func planServing(c *cli.Context) error {
	m, link, err := planHardware(c)
	if err != nil {
		return err
	}
	config, err := planConfig(c)
	if err != nil {
		return err
	}
	p, err := planAdapter(c, config.Base(c.String("model")))
	if err != nil {
		return err
	}
	linears, err := everyLayer(p)
	if err != nil {
		return err
	}
	rank := c.Int("match_lora_rank")
	if c.IsSet("lora_r") {
		rank = p.Config.Rank
	}
	blocks := serving.Setup{
		Config: config, Shards: p.Shards(), Way: serving.BDLoRA, Linears: linears, Rank: p.Config.Rank,
		Adapters: c.Int("adapters"), Widths: serving.VLLM(),
	}
	request := serving.Request{Sequences: c.Int("batch"), PromptTokens: c.Int("prompt_tokens"), NewTokens: c.Int("new_tokens")}
	printPlan(c.App.Writer, p)
	printMatched(c, p)
	return printServing(c.App.Writer, blocks, rank, request, m, link)
}

// planHardware is the processor and the link that the flags describe. It refuses what
// makes none, all at once.
func planHardware(c *cli.Context) (serving.Machine, serving.Link, error) {
	m, links := serving.A100(), serving.Links()
	at := slices.IndexFunc(links, func(l serving.Link) bool { return l.Name == c.String("link") })
	errs := []error{atLeast(c, 1, "batch", "adapters", "prompt_tokens", "new_tokens")}
	if at < 0 {
		errs, at = append(errs, fmt.Errorf("--link: got %q, want one of %s", c.String("link"), strings.Join(linkNames(), ", "))), 0
	}
	for _, name := range []string{"link_bandwidth", "read_bandwidth", "tflops"} {
		if x := c.Float64(name); c.IsSet(name) && !(x > 0) {
			errs = append(errs, fmt.Errorf("--%s: got %g, want more than 0", name, x))
		}
	}
	if x := c.Float64("link_latency"); !(x >= 0) {
		errs = append(errs, fmt.Errorf("--link_latency: got %g, want at least 0", x))
	}
	if c.Int("adapters") > c.Int("batch") {
		errs = append(errs, fmt.Errorf("--adapters: got %d, want at most the %d sequences", c.Int("adapters"), c.Int("batch")))
	}
	if err := errors.Join(errs...); err != nil {
		return m, links[at], usageError{err}
	}
	m.ReadRate, m.FlopRate = c.Float64("read_bandwidth")*1e9, c.Float64("tflops")*1e12
	link := links[at]
	for _, line := range []*serving.Line{&link.AllReduce, &link.AllGather} {
		if c.IsSet("link_latency") {
			line.Latency = c.Float64("link_latency") / 1e6
		}
		if c.IsSet("link_bandwidth") {
			line.PerByte = 1 / (c.Float64("link_bandwidth") * 1e9)
		}
	}
	return m, link, nil
}

// planConfig is that of --model or --shape.
func planConfig(c *cli.Context) (*model.Config, error) {
	if err := eitherModel(c); err != nil {
		return nil, err
	}
	shape := c.String("shape")
	if shape == "" {
		return model.ReadConfig(c.String("model"))
	}
	return shapeOf(shape, 0)
}

// everyLayer is the linears that p adapts, which have to be the same in every layer.
func everyLayer(p *bdlora.Plan) ([]bdlora.Linear, error) {
	var linears []bdlora.Linear
	for _, row := range p.Table() {
		if row.Layers != p.Base.Layers {
			return nil, usagef("--target_modules: got %s in %d of %d layers, want all or none to predict its serving",
				row.Linear.Name, row.Layers, p.Base.Layers)
		}
		linears = append(linears, row.Linear)
	}
	return linears, nil
}

// printServing writes a line a way of serving: what it holds and sends, and what it is
// predicted to take.
func printServing(w io.Writer, blocks serving.Setup, rank int, r serving.Request, m serving.Machine, link serving.Link) error {
	fmt.Fprintf(w, "\npredicted: served by %d processors of %.4g GB/s and %.4g TFLOP/s, "+
		"%d sequences with %d adapters, %d new tokens on prompts of %d\n",
		blocks.Shards, m.ReadRate/1e9, m.FlopRate/1e12, r.Sequences, blocks.Adapters, r.NewTokens, r.PromptTokens)
	fmt.Fprintf(w, "%s: all-reduce %.3g µs, all-gather %.3g µs, %.4g GB/s\n\n",
		link.Name, 1e6*link.AllReduce.Latency, 1e6*link.AllGather.Latency, 1e-9/link.AllReduce.PerByte)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "adapter\trank\tparams\ta shard's\tcalls a token\tbytes sent\t"+
		"prompts, ms\ttoken, ms\tcomputing\tbase's calls\tadapter's\twhole, s\tof BD-LoRA's")
	whole := serving.PredictRequest(blocks, r, m, link).Total()
	for _, way := range serving.Ways() {
		s := blocks
		if s.Way = way; way != serving.BDLoRA {
			s.Rank = rank
		}
		fmt.Fprintln(table, servingRow(s, r, m, link, whole))
	}
	return table.Flush()
}

// servingRow is the line of a way of serving; whole is the request's time by BD-LoRA.
func servingRow(s serving.Setup, r serving.Request, m serving.Machine, link serving.Link, whole float64) string {
	params, shard, rank := numbers.Thousands(s.Params()), numbers.Thousands(s.ShardParams()), fmt.Sprint(s.Rank)
	if s.Way == serving.None {
		params, shard, rank = "-", "-", "-"
	}
	step := serving.Step{Sequences: r.Sequences, Tokens: 1, Past: r.PromptTokens + r.NewTokens/2}
	calls, sent := 0, 0.
	for _, call := range s.Calls(step) {
		if call.Why == comm.Adapter {
			calls, sent = calls+call.Count, sent+float64(call.Count)*call.WireBytes(s.Shards)
		}
	}
	prompt := serving.Predict(s, serving.Step{Sequences: r.Sequences, Tokens: r.PromptTokens}, m, link)
	token, all := serving.Predict(s, step, m, link), serving.PredictRequest(s, r, m, link)
	return fmt.Sprintf("%s\t%s\t%s\t%s\t%d\t%s\t%.1f\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f",
		s.Way, rank, params, shard, calls, numbers.Thousands(int64(sent)), 1e3*prompt.Total(), 1e3*token.Total(),
		1e3*token.Compute, 1e3*token.Base, 1e3*token.Adapter, all.Total(), all.Total()/whole)
}
