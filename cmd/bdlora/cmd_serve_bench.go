package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/urfave/cli/v2"

	"bdlora/cmd/bdlora/machine"
	"bdlora/kernels/comm"
	"bdlora/kernels/cpu"
	"bdlora/model"
	"bdlora/model/serving"
	"bdlora/train"
)

func serveBenchCommand() *cli.Command {
	return &cli.Command{
		Name:  "serve-bench",
		Usage: "measure on this machine what serving adapters costs: none, S-LoRA, LoRA not fully sharded, BD-LoRA",
		Description: "Processes that a launcher starts (mpirun -n 4 bdlora serve-bench …) share a model of random bf16 weights and\n" +
			"take turns with the ways of serving an adapter on all of its linears: a prompt of one sequence, then tokens of\n" +
			"several. Without a launcher goroutines of this process stand for them. Ordinary LoRA has rank r, BD-LoRA 2r and\n" +
			"4r. A step's time is that of computing and that in collectives, waiting for other processes included; the\n" +
			"collectives are timed alone as well. Ratios of steps are medians over turns. A model of latency and bytes,\n" +
			"fitted to none, BD-LoRA and the collectives alone, then predicts all steps, and eight A100 with other numbers.\n" +
			"With fewer layers than the model has, its vocabulary is cut in proportion, so that a step is that share of the\n" +
			"whole model's.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "shape", Aliases: []string{"s"}, Value: "llama-3.2-1b", Usage: "`NAME` of " + strings.Join(model.Shapes(), ", ")},
			&cli.IntFlag{Name: "layers", Usage: "use only the first `L` layers; 0 is as many as half of the free memory holds"},
			&cli.IntFlag{Name: "tensor_parallel_size", Value: 2, Usage: "goroutines, where no launcher has started processes"},
			&cli.IntFlag{Name: "lora_r", Aliases: []string{"r", "lora_rank"}, Value: 16, Usage: "rank of ordinary LoRA"},
			&cli.IntSliceFlag{Name: "batch", Value: cli.NewIntSlice(1, 8, 32), Usage: "sequences that are decoded together"},
			&cli.IntSliceFlag{Name: "prompt_tokens", Value: cli.NewIntSlice(128, 512), Usage: "of a prompt"},
			&cli.IntFlag{Name: "new_tokens", Value: 16, Usage: "of each sequence"},
			&cli.IntFlag{Name: "runs", Value: 5, Usage: "timed runs, of which the medians count"},
			&cli.IntFlag{Name: "threads", Usage: "processor cores of each process; 0 is its share of the machine's"},
			&cli.DurationFlag{Name: "collective_timeout", Value: comm.DefaultTimeout, Usage: "how long a collective may take"},
			&cli.StringFlag{Name: "link", Value: "this machine", Usage: "what to call the link in the report"},
			&cli.StringFlag{Name: "chart", Usage: "draw the SVG `FILE`"},
			&cli.BoolFlag{Name: "json", Usage: "print one JSON object instead of tables"},
		},
		Action: serveBench,
	}
}

// serveJob is a serve-bench under way: one group of processes.
type serveJob struct {
	c       *cli.Context
	config  *model.Config
	all     int // layers of the shape
	setups  []serving.Setup
	threads int
}

func serveBench(c *cli.Context) error {
	place := here()
	if place.Procs > 1 {
		world, err := openWorld(place.Procs, c.Duration("collective_timeout"), "", c.App.ErrWriter)
		if err != nil {
			return err
		}
		defer world.Close()
		j, err := newServeJob(c, world.Procs(), world.Processes[world.Proc()].Threads)
		if err != nil {
			return place.Shared(err)
		}
		hosts := map[string]bool{}
		for _, p := range world.Processes {
			hosts[p.Host] = true
		}
		return j.run(world, fmt.Sprintf("processes over %s, hosts: %d", world.Library.Version, len(hosts)))
	}
	if err := atLeast(c, 1, "tensor_parallel_size"); err != nil {
		return err
	}
	procs := c.Int("tensor_parallel_size")
	j, err := newServeJob(c, procs, max(1, runtime.GOMAXPROCS(0)/procs))
	if err != nil {
		return err
	}
	return j.runTogether(procs)
}

// newServeJob checks the flags, all at once.
func newServeJob(c *cli.Context, procs, threads int) (*serveJob, error) {
	if err := arguments(c, 0, 0); err != nil {
		return nil, err
	}
	config, err := shapeOf(c.String("shape"), 0)
	if err != nil {
		return nil, err
	}
	errs := []error{atLeast(c, 1, "new_tokens", "runs", "lora_r"), atLeast(c, 0, "threads")}
	for _, name := range []string{"batch", "prompt_tokens"} {
		if n := c.IntSlice(name); len(n) == 0 || slices.Min(n) < 1 {
			errs = append(errs, fmt.Errorf("--%s: got %d, want numbers of at least 1", name, n))
		}
	}
	if r := c.Int("lora_r"); r%procs != 0 {
		errs = append(errs, fmt.Errorf("--lora_r: got %d, want a multiple of the %d processes", r, procs))
	}
	if n := c.Int("layers"); n < 0 || n > config.Layers {
		errs = append(errs, fmt.Errorf("--layers: got %d, want 0 to the %d of %s", n, config.Layers, c.String("shape")))
	}
	errs = append(errs, (&model.Model{Config: config}).Join(comm.Silent(0, procs)))
	if path := c.String("chart"); path != "" {
		if _, err := os.Stat(filepath.Dir(path)); err != nil {
			errs = append(errs, fmt.Errorf("--chart: %w", err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, usageError{err}
	}
	j := &serveJob{c: c, config: config, all: config.Layers, threads: threads}
	if n := c.Int("threads"); n > 0 {
		j.threads = n
	}
	return j, nil
}

// run measures with the other processes of group; process 0 prints.
func (j *serveJob) run(group comm.Comm, transport string) error {
	if err := j.chooseLayers(group); err != nil {
		return err
	}
	j.chooseSetups(group.Procs())
	be := cpu.New(j.threads)
	meter := machine.OpenEnergyMeter("/sys")
	config := serving.MeasureConfig{
		Setups: j.setups, Batches: j.c.IntSlice("batch"), Prompts: j.c.IntSlice("prompt_tokens"),
		NewTokens: j.c.Int("new_tokens"), Runs: j.c.Int("runs"), Seed: 1,
	}
	if meter != nil {
		config.Energy = meter.Joules
	}
	if group.Proc() == 0 {
		config.Progress = func(done, all int) { fmt.Fprintf(j.c.App.ErrWriter, "round %d of %d\n", done, all) }
	}
	results, calls, err := serving.Measure(j.c.Context, be, group, config)
	if err != nil || group.Proc() > 0 {
		return err
	}
	r, err := newServeReport(j, group.Procs(), transport, be.Path(), results, calls)
	if err != nil {
		return err
	}
	if !r.Energy {
		r.Note = append(r.Note, "energy: not measured, the system shows no counters")
	}
	if path := j.c.String("chart"); path != "" {
		if err := writeServeChart(path, r); err != nil {
			return err
		}
	}
	return r.print(j.c.App.Writer, j.c.Bool("json"))
}

// runTogether is run by goroutines of this process.
func (j *serveJob) runTogether(procs int) error {
	groups, errs := comm.NewLocalTimeout(procs, j.c.Duration("collective_timeout")), make([]error, procs)
	var all sync.WaitGroup
	for proc, group := range groups {
		mine := *j
		all.Go(func() {
			if errs[proc] = mine.run(group, "goroutines of one process"); errs[proc] != nil {
				group.Abort(errs[proc])
			}
		})
	}
	all.Wait()
	for _, err := range errs {
		if err != nil && !errors.Is(err, comm.ErrPeerLost) {
			return err
		}
	}
	return errs[0]
}

// chooseLayers makes the config one of as many layers as the flag says, or as half of
// the memory holds that the first process finds free, if all share one machine.
func (j *serveJob) chooseLayers(group comm.Comm) error {
	c := *j.config
	fitting := c.Layers
	if n := j.c.Int("layers"); n > 0 {
		fitting = n
	} else if available, err := train.AvailableMemory(); err == nil {
		const bytes = 2 // of a weight
		fitting = int(float64(available) / 2 / (bytes * float64(c.Params()) / float64(c.Layers)))
	}
	chosen := []float64{float64(max(1, min(fitting, c.Layers)))}
	if err := group.AllReduce(comm.Control, comm.Max, negated(chosen)); err != nil {
		return err
	}
	c.Layers = int(negated(chosen)[0])
	if c.Layers < j.all {
		procs := group.Procs()
		c.Vocab = max(procs, c.Vocab*c.Layers/j.all/procs*procs)
	}
	j.config = &c
	return nil
}

// negated turns the signs: the least of numbers is the most of theirs.
func negated(numbers []float64) []float64 {
	for i := range numbers {
		numbers[i] = -numbers[i]
	}
	return numbers
}

// chooseSetups lists what takes turns.
func (j *serveJob) chooseSetups(procs int) {
	r := j.c.Int("lora_r")
	for _, s := range []serving.Setup{
		{Way: serving.None}, {Way: serving.SLoRA, Rank: r}, {Way: serving.NFSLoRA, Rank: r},
		{Way: serving.BDLoRA, Rank: 2 * r}, {Way: serving.BDLoRA, Rank: 4 * r},
	} {
		s.Config, s.Shards, s.Linears, s.Widths = j.config, procs, j.config.Linears(), serving.Ours()
		j.setups = append(j.setups, s)
	}
}

// writeServeChart draws the report as the SVG file path.
func writeServeChart(path string, r *serveReport) error {
	file, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("--chart: %w", err)
	}
	err = r.chart(file)
	return errors.Join(err, file.Close())
}
