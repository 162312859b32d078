package train_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"bdlora/bdlora"
	"bdlora/kernels/comm"
	"bdlora/kernels/cpu"
	"bdlora/model"
	"bdlora/train"
)

// gridConfig is that of a run of 3 steps of up to 4 micro-batches, with an evaluation
// after each. AdamW's epsilon is a large one: it moves parameters by a full step however
// small their gradient is, and so makes much of differences between gradients of almost 0.
func gridConfig(t *testing.T) train.Config {
	t.Helper()
	cfg := runConfig(t)
	cfg.PerDeviceTrainBatchSize, cfg.GradientAccumulationSteps, cfg.NumTrainEpochs = 1, 4, 1
	cfg.LoggingSteps, cfg.SaveSteps, cfg.AdamEpsilon = 1, 1, 1e-2
	cfg.EvalStrategy, cfg.EvalSteps = train.StrategySteps, 1
	return cfg
}

// onGrid is the same run on another grid, in a folder of its own.
func onGrid(t *testing.T, cfg train.Config, grid [2]int) train.Config {
	t.Helper()
	cfg.TensorParallelSize, cfg.DataParallelSize = grid[0], grid[1]
	cfg.OutputDir = filepath.Join(t.TempDir(), "out")
	return cfg
}

// gridName is "2x3" for 3 replicas of 2 processes.
func gridName(cfg train.Config) string {
	return fmt.Sprintf("%dx%d", cfg.TensorParallelSize, cfg.DataParallelSize)
}

// job is a run by several processes, which are goroutines here.
type job struct {
	cfg   func(proc int) train.Config
	ctx   func(proc int) context.Context        // nil for one without end
	world func(proc int, c comm.Comm) comm.Comm // nil for the plain one
}

// run runs all processes to their ends. A process whose error is its own aborts the job,
// as Run asks its caller to.
func (j job) run(observer train.Observer) (done []train.Done, errs []error) {
	first := j.cfg(0)
	worlds := comm.NewLocalTimeout(first.TensorParallelSize*first.DataParallelSize, time.Minute)
	done, errs = make([]train.Done, len(worlds)), make([]error, len(worlds))
	var all sync.WaitGroup
	for proc, world := range worlds {
		if j.world != nil {
			world = j.world(proc, world)
		}
		ctx := context.Background()
		if j.ctx != nil {
			ctx = j.ctx(proc)
		}
		all.Go(func() {
			done[proc], errs[proc] = train.Run(ctx, j.cfg(proc), cpu.New(1), world, observer)
			if errs[proc] != nil && !errors.As(errs[proc], new(*train.SharedError)) {
				world.Abort(errs[proc])
			}
		})
	}
	all.Wait()
	return done, errs
}

// runGrid trains on the grid of cfg and returns what the first process says.
func runGrid(t *testing.T, cfg train.Config) *recorder {
	t.Helper()
	r := &recorder{}
	_, errs := job{cfg: func(int) train.Config { return cfg }}.run(r)
	if err := errors.Join(errs...); err != nil {
		t.Fatalf("%s: %v", gridName(cfg), err)
	}
	return r
}

// adapterOf is the final adapter of a run.
func adapterOf(t *testing.T, cfg train.Config) *bdlora.Adapter {
	t.Helper()
	m, err := model.Load(cfg.ModelNameOrPath)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	a, err := bdlora.LoadShards(bdlora.ShardsPath(cfg.OutputDir, cfg.Blocks), m.Base())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// wantSameAdapter compares the final adapters of two runs.
func wantSameAdapter(t *testing.T, name string, got, want train.Config) {
	t.Helper()
	wants := adapterOf(t, want)
	for i, shard := range adapterOf(t, got).Shards {
		wantClose(t, fmt.Sprintf("%s: shard %d", name, i), float64s(shard), float64s(wants.Shards[i]))
	}
}

// wantClose compares numbers, relative to the largest that is wanted.
func wantClose(t *testing.T, name string, got, want []float64) {
	t.Helper()
	const tolerance = 1e-6
	if len(got) != len(want) {
		t.Fatalf("%s: got %d numbers, want %d", name, len(got), len(want))
	}
	if apart := distance(got, want); !(apart <= tolerance) {
		t.Errorf("%s: %g of the largest apart, want at most %g", name, apart, tolerance)
	}
}

// distance is the largest difference between numbers, relative to the largest of want.
func distance(got, want []float64) float64 {
	apart, largest := 0.0, 0.0
	for i, w := range want {
		apart, largest = max(apart, math.Abs(got[i]-w)), max(largest, math.Abs(w))
	}
	return apart / largest
}

func float64s(numbers []float32) []float64 {
	wide := make([]float64, len(numbers))
	for i, x := range numbers {
		wide[i] = float64(x)
	}
	return wide
}

// Law: any grid trains what one process does.
func TestGridTrainsWhatOneProcessDoes(t *testing.T) {
	cfg := gridConfig(t)
	want := runGrid(t, cfg)
	for _, grid := range [][2]int{{1, 2}, {1, 3}, {2, 1}, {4, 1}, {2, 2}} {
		one, cfg := cfg, onGrid(t, cfg, grid)
		t.Run(gridName(cfg), func(t *testing.T) {
			got := runGrid(t, cfg)
			wantClose(t, "losses", got.losses, want.losses)
			wantClose(t, "gradient norms", got.norms, want.norms)
			wantClose(t, "evaluations", got.evals, want.evals)
			wantSameAdapter(t, gridName(cfg), cfg, one)
		})
	}
}

// Law: who computes a loss makes no difference to its bits.
func TestReplicasAddUpLossesToTheSameBits(t *testing.T) {
	cfg := gridConfig(t)
	cfg.LearningRate = 1e-30 // the adapter stays what it is
	want := runGrid(t, cfg)
	for replicas := 2; replicas <= 4; replicas++ {
		cfg.DataParallelSize, cfg.OutputDir = replicas, filepath.Join(t.TempDir(), "out")
		got := runGrid(t, cfg)
		if !slices.Equal(got.losses, want.losses) || !slices.Equal(got.evals, want.evals) {
			t.Errorf("%d replicas: got losses %v and %v, want %v and %v", replicas, got.losses, got.evals, want.losses, want.evals)
		}
	}
}

// Law: whichever process is told to stop, all stop after the same step, or in the same
// evaluation, and the same grid goes on to the same bits.
func TestStoppedGridGoesOnBitForBit(t *testing.T) {
	for _, test := range []struct {
		grid [2]int
		told []int
		eval bool
	}{
		{[2]int{1, 2}, []int{0, 1}, true},
		{[2]int{2, 2}, []int{0, 1, 2}, false},
		{[2]int{4, 1}, []int{3}, true},
	} {
		cfg := onGrid(t, gridConfig(t), test.grid)
		if !test.eval {
			cfg.ValSize = 0
		}
		whole := runGrid(t, cfg)
		want := shardBytes(t, cfg.OutputDir)
		for _, told := range test.told {
			cfg := onGrid(t, cfg, test.grid)
			pieces := stopGrid(t, cfg, told)
			cfg.ResumeFromCheckpoint = train.ResumeAuto
			rest := runGrid(t, cfg)
			losses, evals := append(pieces.losses, rest.losses...), append(pieces.evals, rest.evals...)
			if !slices.Equal(losses, whole.losses) || !slices.Equal(evals, whole.evals) {
				t.Errorf("%s, process %d told: got losses %v and %v, want %v and %v",
					gridName(cfg), told, losses, evals, whole.losses, whole.evals)
			}
			if shardBytes(t, cfg.OutputDir) != want {
				t.Errorf("%s, process %d told: the final shards differ", gridName(cfg), told)
			}
		}
	}
}

// stopGrid begins a run that one process is told to stop in its first step.
func stopGrid(t *testing.T, cfg train.Config, told int) *recorder {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	r := &recorder{after: func(int) { stop() }}
	done, errs := job{cfg: func(int) train.Config { return cfg }, ctx: func(proc int) context.Context {
		if proc == told {
			return ctx
		}
		return context.Background()
	}}.run(r)
	for proc, d := range done {
		if errs[proc] != nil || d.Reason != train.Interrupted || d.Steps != 1 {
			t.Fatalf("process %d told: process %d: got %q after step %d and error %v", told, proc, d.Reason, d.Steps, errs[proc])
		}
	}
	return r
}

// Law: a checkpoint of one grid is one of any other.
func TestRunGoesOnOnAnotherGrid(t *testing.T) {
	cfg := gridConfig(t)
	want := runGrid(t, cfg)
	for _, grids := range [][2][2]int{{{1, 1}, {2, 2}}, {{4, 1}, {1, 1}}, {{1, 2}, {4, 1}}, {{2, 2}, {1, 3}}} {
		first := onGrid(t, cfg, grids[0])
		stopGrid(t, first, 0)
		second := onGrid(t, cfg, grids[1])
		second.ResumeFromCheckpoint = train.CheckpointPath(first.OutputDir, 1)
		got := runGrid(t, second)
		wantClose(t, gridName(first)+" to "+gridName(second)+": losses", got.losses, want.losses[1:])
		wantSameAdapter(t, gridName(first)+" to "+gridName(second), second, cfg)
	}
}

// Law: a run whose processes are more than its blocks goes on from the same function, with
// its blocks cut, and from then on is a run like any other.
func TestBlocksAreCutForMoreProcesses(t *testing.T) {
	cfg := gridConfig(t)
	cfg.Blocks, cfg.LoraAlpha = 2, 12
	want := runGrid(t, cfg)
	first := onGrid(t, cfg, [2]int{1, 1})
	stopGrid(t, first, 0)

	cut := onGrid(t, cfg, [2]int{4, 1})
	if _, errs := (job{cfg: func(int) train.Config { return cut }}).run(&recorder{}); errs[0] == nil {
		t.Error("4 processes began a run of 2 blocks")
	}
	cut.ResumeFromCheckpoint = train.CheckpointPath(first.OutputDir, 1)
	got := runGrid(t, cut)
	wantClose(t, "first loss", got.losses[:1], want.losses[1:2])
	wantClose(t, "first evaluation", got.evals[:1], want.evals[:1])
	const says = "on tensor_parallel_size 4 × data_parallel_size 1 instead of 1 × 1, to the same but for rounding; " +
		"its 2 blocks cut into 4 that compute the same: rank 16 instead of 8, alpha 24 instead of 12"
	if got.start.Regrid != says {
		t.Errorf("got %q, want %q", got.start.Regrid, says)
	}

	again := cut // as the user's file has it: of 2 blocks still
	again.ResumeFromCheckpoint, again.OutputDir = train.CheckpointPath(cut.OutputDir, 2), filepath.Join(t.TempDir(), "out")
	if rest := runGrid(t, again); !slices.Equal(rest.losses, got.losses[1:]) || rest.start.Regrid != "" {
		t.Errorf("resumed: got losses %v and %q, want %v as it was", rest.losses, rest.start.Regrid, got.losses[1:])
	}
	if shardBytes(t, again.OutputDir) != shardBytes(t, cut.OutputDir) {
		t.Error("resumed: the final shards differ")
	}
}

// deaf is a Comm that leaves the replicas' gradients as they are.
type deaf struct{ comm.Comm }

func (d deaf) AllReduce(why comm.Purpose, op comm.Op, buf any) error {
	if why == comm.Replicas {
		return nil
	}
	return d.Comm.AllReduce(why, op, buf)
}

func (d deaf) Split(color, key int) (comm.Comm, error) {
	part, err := d.Comm.Split(color, key)
	return deaf{part}, err
}

// Law: replicas that drift apart do not go on, whatever has driven them: here, gradients
// that nobody adds up.
func TestReplicasThatDifferAreNoticed(t *testing.T) {
	cfg := gridConfig(t)
	for _, strategy := range []string{train.StrategySteps, train.StrategyNo} {
		cfg.DataParallelSize, cfg.SaveStrategy = 2, strategy
		cfg.OutputDir = filepath.Join(t.TempDir(), "out")
		_, errs := job{
			cfg:   func(int) train.Config { return cfg },
			world: func(_ int, c comm.Comm) comm.Comm { return deaf{c} },
		}.run(&recorder{})
		for proc, err := range errs {
			if err == nil || !strings.Contains(err.Error(), "process 1 of 2: ") || !strings.Contains(err.Error(), train.ErrProcessesDiffer.Error()) {
				t.Errorf("save_strategy %s: process %d: got error %v, want %v of process 1", strategy, proc, err, train.ErrProcessesDiffer)
			}
		}
	}
}

// Law: what one process finds wrong before the first step ends the run on all of them,
// with its name and the reason.
func TestOneProcessThatCannotStartStopsAll(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(*train.Config)
		want  string
	}{
		"a dataset that is not there": {func(c *train.Config) { c.Dataset += "x" }, "process 1 of 2: open "},
		"another dataset": {
			func(c *train.Config) { c.Dataset = rows(t, 15) },
			"process 1 of 2: the processes differ:\n  dataset: process 0 has ",
		},
		"another setting": {
			func(c *train.Config) { c.SaveSteps = 7 },
			"process 1 of 2: the processes differ:\n  save_steps: process 0 has 1, this one has 7",
		},
		"a setting out of its limits": {func(c *train.Config) { c.SaveSteps = 0 }, "process 1 of 2: config: save_steps: got 0"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := gridConfig(t)
			cfg.DataParallelSize = 2
			_, errs := job{cfg: func(proc int) train.Config {
				c := cfg
				if proc == 1 {
					test.spoil(&c)
				}
				return c
			}}.run(&recorder{})
			for proc, err := range errs {
				if err == nil || !strings.HasPrefix(err.Error(), test.want) || !errors.As(err, new(*train.SharedError)) {
					t.Errorf("process %d: got error %v, want one that begins with %q", proc, err, test.want)
				}
			}
		})
	}
}

// Law: processes do not begin from two adapters that have the same settings, be they
// replicas or hold a part each.
func TestProcessesMustBeginAlike(t *testing.T) {
	other := gridConfig(t)
	runGrid(t, other)
	for _, grid := range [][2]int{{1, 2}, {2, 1}} {
		cfg := onGrid(t, gridConfig(t), grid)
		_, errs := job{cfg: func(proc int) train.Config {
			c := cfg
			if c.InitAdapter = other.OutputDir; proc == 1 {
				c.InitAdapter = train.CheckpointPath(other.OutputDir, 1)
			}
			return c
		}}.run(&recorder{})
		want := "process 1 of 2: " + train.ErrProcessesDiffer.Error() + ":\n  init_adapter/adapter_model.safetensors: process 0 has "
		for proc, err := range errs {
			if err == nil || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("%s: process %d: got error %v, want one that begins with %q", gridName(cfg), proc, err, want)
			}
		}
	}
}

func TestGridMustBeOfAllProcesses(t *testing.T) {
	cfg := gridConfig(t)
	cfg.DataParallelSize = 2
	_, err := train.Run(context.Background(), cfg, cpu.New(1), comm.Alone(), &recorder{})
	if !errors.Is(err, train.ErrGrid) || !strings.Contains(fmt.Sprint(err), "data_parallel_size 2") {
		t.Errorf("got error %v, want %v with data_parallel_size in it", err, train.ErrGrid)
	}
}

// fragile is a Comm whose process dies when replicas first add up their gradients.
type fragile struct{ comm.Comm }

var errDead = errors.New("dead")

func (f fragile) AllReduce(why comm.Purpose, op comm.Op, buf any) error {
	if why == comm.Replicas {
		return errDead
	}
	return f.Comm.AllReduce(why, op, buf)
}

func (f fragile) Split(color, key int) (comm.Comm, error) {
	part, err := f.Comm.Split(color, key)
	return fragile{part}, err
}

// Law: a process that dies ends the run on the others at once.
func TestLostProcessEndsTheRun(t *testing.T) {
	cfg := gridConfig(t)
	cfg.DataParallelSize = 3
	_, errs := job{
		cfg: func(int) train.Config { return cfg },
		world: func(proc int, c comm.Comm) comm.Comm {
			if proc == 1 {
				return fragile{c}
			}
			return c
		},
	}.run(&recorder{})
	for proc, want := range []error{comm.ErrPeerLost, errDead, comm.ErrPeerLost} {
		if !errors.Is(errs[proc], want) {
			t.Errorf("process %d: got error %v, want %v", proc, errs[proc], want)
		}
	}
}
