package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/urfave/cli/v2"

	"bdlora/cmd/bdlora/machine"
	"bdlora/cmd/bdlora/numbers"
	"bdlora/kernels"
	"bdlora/model"
)

func benchGenerateCommand() *cli.Command {
	return &cli.Command{
		Name:  "generate",
		Usage: "measure generation: reading a prompt, and a token after the other",
		Description: "Each new token reads every linear and the head once. What that comes to is shown as a share of the\n" +
			"memory's bandwidth, which is what as many threads reach in reading 1 GiB from one end to the other.",
		Flags: benchFlags(3,
			layersFlag,
			&cli.IntFlag{Name: "prompt_tokens", Value: 512, Usage: "of the prompt"},
			&cli.IntFlag{Name: "new_tokens", Value: 64, Usage: "behind the first, which comes with the prompt's pass"},
		),
		Action: benchGenerate,
	}
}

// generateReport is what bench generate measured, times being medians.
type generateReport struct {
	PromptTokens           int     `json:"prompt_tokens"`
	NewTokens              int     `json:"new_tokens"`
	Runs                   int     `json:"runs"`
	PrefillSeconds         float64 `json:"prefill_seconds"`
	PrefillTokensPerSecond float64 `json:"prefill_tokens_per_second"`
	DecodeSeconds          float64 `json:"decode_seconds"`
	DecodeTokensPerSecond  float64 `json:"decode_tokens_per_second"`
	WeightBytesPerToken    int64   `json:"weight_bytes_per_token"`
	WeightGBPerSecond      float64 `json:"weight_gb_per_second"`
	BandwidthGBPerSecond   float64 `json:"bandwidth_gb_per_second"`
	BandwidthShare         float64 `json:"bandwidth_share"`
	PeakResidentBytes      int64   `json:"peak_resident_bytes"`
	PeakResidentOf         string  `json:"peak_resident_of"`
}

func benchGenerate(c *cli.Context) error {
	if err := errors.Join(arguments(c, 0, 0), atLeast(c, 1, "prompt_tokens", "new_tokens")); err != nil {
		return err
	}
	r := &generateReport{PromptTokens: c.Int("prompt_tokens"), NewTokens: c.Int("new_tokens"), Runs: c.Int("runs")}
	b, err := newBench(c, c.Int(layersFlag.Name))
	if err != nil {
		return err
	}
	defer b.close()
	b.report.Generate = r
	if err := r.generate(b); err != nil {
		return err
	}
	r.PeakResidentBytes, r.PeakResidentOf = machine.PeakMemory() // before the bandwidth's own memory
	r.BandwidthGBPerSecond = b.be.ReadRate() / 1e9
	r.BandwidthShare = r.WeightGBPerSecond / r.BandwidthGBPerSecond
	return b.print(r.print)
}

// generate runs once to warm up and then takes the times.
func (r *generateReport) generate(b *bench) error {
	g := model.NewGenerator(b.be, b.model, nil, r.PromptTokens+r.NewTokens+1)
	prompt := benchBatch(r.PromptTokens, r.PromptTokens, b.model.Config.Vocab).Tokens
	var prefills, decodes []float64
	for i := range 1 + r.Runs {
		prefill, decode, err := timeGeneration(b.c.Context, g, prompt, r.NewTokens)
		if err != nil {
			return err
		}
		if i > 0 {
			prefills, decodes = append(prefills, prefill), append(decodes, decode)
			b.note("run %d of %d: prompt %.3g s, new tokens %.3g s", i, r.Runs, prefill, decode)
		}
	}
	r.PrefillSeconds, r.DecodeSeconds = numbers.Median(prefills), numbers.Median(decodes)
	r.PrefillTokensPerSecond = float64(r.PromptTokens) / r.PrefillSeconds
	r.DecodeTokensPerSecond = float64(r.NewTokens) / r.DecodeSeconds
	r.WeightBytesPerToken = readPerToken(b.model)
	r.WeightGBPerSecond = float64(r.WeightBytesPerToken) * r.DecodeTokensPerSecond / 1e9
	return nil
}

// timeGeneration is the seconds to the first token and those of newTokens behind it.
func timeGeneration(ctx context.Context, g *model.Generator, prompt []int32, newTokens int) (
	prefill, decode float64, err error) {
	began, tokens := time.Now(), 0
	cfg := model.GenerateConfig{MaxNewTokens: 1 + newTokens}
	err = g.Generate(ctx, prompt, cfg, func(int32) error {
		if tokens == 0 {
			prefill = time.Since(began).Seconds()
		}
		tokens++
		return nil
	})
	return prefill, time.Since(began).Seconds() - prefill, err
}

// readPerToken is the bytes of the weights that a token goes through.
func readPerToken(m *model.Model) int64 {
	bytes := weightBytes(m.Head())
	for layer := range m.Config.Layers {
		for _, l := range m.Config.Linears() {
			bytes += weightBytes(m.Linear(layer, l.Name))
		}
	}
	return bytes
}

func weightBytes(w *kernels.Weight) int64 {
	bytes := 4*len(w.F32) + 2*len(w.U16)
	if q := w.Int8; q != nil {
		bytes += len(q.Codes) + 4*len(q.Absmax)
	}
	if q := w.NF4; q != nil {
		bytes += len(q.Codes) + len(q.Absmax) + 4*len(q.NestedAbsmax)
	}
	return int64(bytes)
}

// print writes the rates.
func (r *generateReport) print(w io.Writer) error {
	fmt.Fprintf(w, "prompt of %d tokens: %.3g s, %s tokens/s\n",
		r.PromptTokens, r.PrefillSeconds, numbers.Rate(r.PrefillTokensPerSecond))
	fmt.Fprintf(w, "%d new tokens: %.3g s, %s tokens/s (medians of %d)\n",
		r.NewTokens, r.DecodeSeconds, numbers.Rate(r.DecodeTokensPerSecond), r.Runs)
	fmt.Fprintf(w, "weights read for a token: %s, %.1f GB/s, %.1f%% of the %.1f GB/s that memory gives\n",
		numbers.Mebibytes(r.WeightBytesPerToken), r.WeightGBPerSecond, 100*r.BandwidthShare, r.BandwidthGBPerSecond)
	_, err := fmt.Fprintf(w, "memory: %s resident at most (%s)\n", numbers.Mebibytes(r.PeakResidentBytes), r.PeakResidentOf)
	return err
}
