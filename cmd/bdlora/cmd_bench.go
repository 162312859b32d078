package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"bdlora/cmd/bdlora/numbers"
	"bdlora/kernels"
	"bdlora/kernels/cpu"
	"bdlora/model"
)

func benchCommand() *cli.Command {
	return &cli.Command{
		Name:        "bench",
		Usage:       "measure on this machine: kernels, a training step, generation",
		Subcommands: []*cli.Command{benchKernelsCommand(), benchStepCommand(), benchGenerateCommand()},
		Action:      noSubcommand,
	}
}

// benchFlags are those of every bench command, in front of its own.
func benchFlags(runs int, own ...cli.Flag) []cli.Flag {
	return append([]cli.Flag{
		modelFlag,
		&cli.StringFlag{Name: "shape", Aliases: []string{"s"},
			Usage: "instead of --model: random bf16 weights in the shape of `NAME`: " + strings.Join(model.Shapes(), ", ")},
		baseDtypeFlag, cacheDirFlag, threadsFlag,
		&cli.StringFlag{Name: "path", Usage: "code path of the processor, of " + strings.Join(cpu.Paths(), ", ") + "; default is the first"},
		&cli.StringFlag{Name: "float32_matmul_precision", Value: string(kernels.PrecisionHighest),
			Usage: "of products on matrix units: highest, high or medium"},
		&cli.IntFlag{Name: "runs", Value: runs, Usage: "timed runs, of which the median counts"},
		&cli.BoolFlag{Name: "json", Usage: "print one JSON object instead of tables"},
	}, own...)
}

// layersFlag is for benches that need more than one layer.
var layersFlag = &cli.IntFlag{Name: "layers", Usage: "use only the first `L` layers; 0 is all"}

// benchReport is what a bench command prints. Shares are fractions of 1, gflop is work
// in 10⁹ operations and gflops work a second.
type benchReport struct {
	Command  string          `json:"command"`
	Version  string          `json:"version"`
	Model    benchModel      `json:"model"`
	Machine  benchMachine    `json:"machine"`
	Kernels  *kernelsReport  `json:"kernels,omitempty"`
	Step     *stepReport     `json:"step,omitempty"`
	Generate *generateReport `json:"generate,omitempty"`
}

// benchModel is what was benched.
type benchModel struct {
	Name    string `json:"name"`
	Layers  int    `json:"layers"`
	Params  int64  `json:"params"`
	Weights string `json:"weights"` // format of its linears
}

// benchMachine is where.
type benchMachine struct {
	OS         string  `json:"os"`
	Arch       string  `json:"arch"`
	Path       string  `json:"path"`
	Precision  string  `json:"precision"` // of products on matrix units
	Threads    int     `json:"threads"`
	PeakGFLOPs float64 `json:"peak_gflops"`
	PeakOf     string  `json:"peak_of"` // what the peak was measured with
}

// bench is a bench command under way.
type bench struct {
	c      *cli.Context
	be     *cpu.Backend
	model  *model.Model
	close  func() error
	report benchReport
}

// newBench checks the flags that benches share, opens or makes the model with so many
// of its layers, 0 being all, and measures the machine.
func newBench(c *cli.Context, layers int) (*bench, error) {
	if err := errors.Join(eitherModel(c), atLeast(c, 0, layersFlag.Name), atLeast(c, 1, "runs")); err != nil {
		return nil, err
	}
	be, err := benchBackend(c)
	if err != nil {
		return nil, err
	}
	b := &bench{c: c, be: be}
	if err := b.open(layers); err != nil {
		return nil, err
	}
	debug.FreeOSMemory() // what quantising the weights has left behind
	rate, of := be.PeakRate()
	b.report = benchReport{
		Command: c.Command.Name, Version: version(),
		Model: benchModel{
			Name: c.String("model") + c.String("shape"), Layers: b.model.Config.Layers, Params: b.model.Config.Params(),
			Weights: b.model.Linear(0, b.model.Config.Linears()[0].Name).Format.String(),
		},
		Machine: benchMachine{
			OS: runtime.GOOS, Arch: runtime.GOARCH, Path: be.Path(), Precision: c.String("float32_matmul_precision"),
			Threads: be.Threads(), PeakGFLOPs: rate / 1e9, PeakOf: of,
		},
	}
	return b, nil
}

// benchBackend is the one that --threads, --path and --float32_matmul_precision ask
// for.
func benchBackend(c *cli.Context) (*cpu.Backend, error) {
	be, err := newBackend(c)
	if err != nil {
		return nil, err
	}
	if path := c.String("path"); path != "" {
		if be, err = cpu.NewPath(c.Int(threadsFlag.Name), path); err != nil {
			return nil, usagef("--path: %w", err)
		}
	}
	precision := kernels.Precision(c.String("float32_matmul_precision"))
	if !slices.Contains(kernels.Precisions(), precision) {
		return nil, usagef("--float32_matmul_precision: got %q, want one of %q", precision, kernels.Precisions())
	}
	be.SetPrecision(precision)
	return be, nil
}

// open loads --model or draws --shape.
func (b *bench) open(layers int) error {
	base, err := model.ParseBaseDtype(b.c.String(baseDtypeFlag.Name))
	if err != nil {
		return usagef("--base_dtype: %w", err)
	}
	if name := b.c.String("shape"); name != "" {
		config, err := shapeOf(name, layers)
		if err != nil {
			return err
		}
		b.model, b.close = model.NewRandomAs(config, 1, base), func() error { return nil }
		return nil
	}
	l, err := openFolders(b.c.String("model"), "", base)
	if err != nil {
		return err
	}
	b.model, b.close = l.model, l.Close
	if layers > 0 {
		if b.model, err = l.model.FirstLayers(layers); err != nil {
			return errors.Join(usageError{fmt.Errorf("--layers: %w", err)}, l.Close())
		}
	}
	if err := l.quantize(b.c, b.be.Threads()); err != nil {
		return errors.Join(err, l.Close())
	}
	return nil
}

// print writes the report, for a machine or by table for people.
func (b *bench) print(table func(w io.Writer) error) error {
	w := b.c.App.Writer
	if b.c.Bool("json") {
		encoder := json.NewEncoder(w)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		return encoder.Encode(b.report)
	}
	m, on := b.report.Model, b.report.Machine
	fmt.Fprintf(w, "%s, %d layers, %s params, linears in %s\n", m.Name, m.Layers, numbers.Thousands(m.Params), m.Weights)
	fmt.Fprintf(w, "%s/%s, %d threads, path %s; peak %.1f GFLOP/s of %s\n\n",
		on.OS, on.Arch, on.Threads, on.Path, on.PeakGFLOPs, on.PeakOf)
	return table(w)
}

// note tells whoever waits how far the bench is.
func (b *bench) note(format string, args ...any) {
	fmt.Fprintf(b.c.App.ErrWriter, format+"\n", args...)
}

// peakShare is a rate as a share of the machine's.
func (b *bench) peakShare(gflops float64) float64 { return gflops / b.report.Machine.PeakGFLOPs }

// medianSeconds runs f once to warm up, and is the median of runs times that it takes
// then. What is too short for the clock runs several times at a time.
func medianSeconds(runs int, f func()) float64 {
	const shortest = 2 * time.Millisecond
	f()
	repeats := 1
	for began := time.Now(); time.Since(began) < shortest; repeats++ {
		f()
	}
	var seconds []float64
	for range runs {
		began := time.Now()
		for range repeats {
			f()
		}
		seconds = append(seconds, time.Since(began).Seconds()/float64(repeats))
	}
	return numbers.Median(seconds)
}
