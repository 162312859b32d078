package train_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bdlora/data"
	"bdlora/kernels/comm"
	"bdlora/kernels/cpu"
	"bdlora/train"
)

// tinyModel makes a model folder of random weights and a tokenizer with a token for
// each of a few characters. Without a chat template, rows are plain text.
func tinyModel(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"config.json", "model.safetensors"} {
		text, err := os.ReadFile(filepath.Join("..", "model", "testdata", "gqa", name))
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(dir, name), text)
	}
	vocab := map[string]int{"<eos>": 0}
	for _, c := range "Ġabcdefghijklmnopqrstuvwxyz0123456789?=" {
		vocab[string(c)] = len(vocab)
	}
	text, err := json.Marshal(map[string]any{
		"added_tokens":  []any{map[string]any{"id": 0, "content": "<eos>", "special": true}},
		"pre_tokenizer": map[string]any{"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
		"decoder":       map[string]any{"type": "ByteLevel"},
		"model":         map[string]any{"type": "BPE", "vocab": vocab, "merges": []string{}},
	})
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "tokenizer.json"), text)
	writeFile(t, filepath.Join(dir, "tokenizer_config.json"), []byte(`{"eos_token": "<eos>"}`))
	return dir
}

// rows writes a dataset of n rows with answers of uneven length.
func rows(t *testing.T, n int) string {
	t.Helper()
	var text bytes.Buffer
	for i := range n {
		fmt.Fprintf(&text, "{\"prompt\": \"say %d?\", \"completion\": \" %s\"}\n", i, strings.Repeat(string(rune('a'+i%26)), 1+i*i%7))
	}
	path := filepath.Join(t.TempDir(), "rows.jsonl")
	writeFile(t, path, text.Bytes())
	return path
}

func writeFile(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o666); err != nil {
		t.Fatal(err)
	}
}

// run is a configuration for the tiny model, of 9 steps in 3 epochs.
func runConfig(t *testing.T) train.Config {
	t.Helper()
	cfg := train.DefaultConfig()
	cfg.ModelNameOrPath, cfg.Dataset, cfg.OutputDir = tinyModel(t), rows(t, 14), filepath.Join(t.TempDir(), "out")
	cfg.LoraR, cfg.Blocks, cfg.LoraDropout = 8, 4, 0.1
	cfg.PerDeviceTrainBatchSize, cfg.GradientAccumulationSteps, cfg.ValSize = 2, 2, 4
	cfg.LearningRate, cfg.LoggingSteps, cfg.SaveSteps, cfg.SaveTotalLimit = 5e-3, 2, 4, 0
	return cfg
}

// recorder keeps what a run says.
type recorder struct {
	losses []float64
	norms  []float64
	evals  []float64
	start  train.Start
	layers int            // of the base that were quantised
	after  func(step int) // hears of each step
	during func()         // hears of each micro-batch of an evaluation
}

func (r *recorder) Quantizing(int, int) { r.layers++ }
func (r *recorder) Start(s train.Start) { r.start = s }
func (r *recorder) Step(s train.Step) {
	r.losses, r.norms = append(r.losses, s.Loss), append(r.norms, s.GradNorm)
	if r.after != nil {
		r.after(s.Steps)
	}
}
func (r *recorder) Logged(train.Entry) {}
func (r *recorder) Evaluating(int, int) {
	if r.during != nil {
		r.during()
	}
}
func (r *recorder) Evaluated(e train.Evaluation) { r.evals = append(r.evals, e.Loss) }
func (r *recorder) Saved(string)                 {}
func (r *recorder) Done(train.Done)              {}

// runTo trains and fails the test on an error.
func runTo(t *testing.T, ctx context.Context, cfg train.Config, threads int, r *recorder) train.Done {
	t.Helper()
	done, err := train.Run(ctx, cfg, cpu.New(threads), comm.Alone(), r)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

// shardBytes are the files that a server would load.
func shardBytes(t *testing.T, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "shards", "*", "*.safetensors"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: got %d shards and error %v", dir, len(files), err)
	}
	var all bytes.Buffer
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	return all.String()
}

// Law: n + m steps are n steps, a stop, and m more, bit for bit, whatever the number
// of threads.
func TestStoppedAndResumedRunIsTheRunThatNeverStopped(t *testing.T) {
	cfg := runConfig(t)
	whole := &recorder{}
	runTo(t, context.Background(), cfg, 1, whole)
	want := shardBytes(t, cfg.OutputDir)
	for stopAt := 1; stopAt < len(whole.losses); stopAt++ {
		cfg.OutputDir, cfg.ResumeFromCheckpoint = filepath.Join(t.TempDir(), "out"), ""
		ctx, stop := context.WithCancel(context.Background())
		pieces := &recorder{after: func(step int) {
			if step == stopAt {
				stop()
			}
		}}
		if done := runTo(t, ctx, cfg, 2, pieces); done.Reason != train.Interrupted || done.Steps != stopAt {
			t.Fatalf("stopped at %d: got %s after step %d", stopAt, done.Reason, done.Steps)
		}
		cfg.ResumeFromCheckpoint = train.ResumeAuto
		pieces.after = nil
		runTo(t, context.Background(), cfg, 3, pieces)
		if !slices.Equal(pieces.losses, whole.losses) || !slices.Equal(pieces.evals, whole.evals) {
			t.Errorf("stopped at %d: got losses %v and %v, want %v and %v",
				stopAt, pieces.losses, pieces.evals, whole.losses, whole.evals)
		}
		if shardBytes(t, cfg.OutputDir) != want {
			t.Errorf("stopped at %d: the final shards differ", stopAt)
		}
	}
}

// Law: an evaluation that was interrupted is made when the run resumes.
func TestInterruptedEvaluationIsMadeUp(t *testing.T) {
	cfg := runConfig(t)
	whole := &recorder{}
	runTo(t, context.Background(), cfg, 1, whole)
	cfg.OutputDir = filepath.Join(t.TempDir(), "out")
	ctx, stop := context.WithCancel(context.Background())
	pieces := &recorder{during: stop}
	if done := runTo(t, ctx, cfg, 1, pieces); done.Reason != train.Interrupted || len(pieces.evals) != 0 {
		t.Fatalf("got %s after %d evaluations, want an interruption of the first", done.Reason, len(pieces.evals))
	}
	cfg.ResumeFromCheckpoint, pieces.during = train.ResumeAuto, nil
	runTo(t, context.Background(), cfg, 1, pieces)
	if !slices.Equal(pieces.losses, whole.losses) || !slices.Equal(pieces.evals, whole.evals) {
		t.Errorf("got losses %v and %v, want %v and %v", pieces.losses, pieces.evals, whole.losses, whole.evals)
	}
}

// Law: a run can go on in another folder, and brings its best adapter along; but not
// into one that has another run.
func TestRunGoesOnInAnotherFolder(t *testing.T) {
	cfg := runConfig(t)
	cfg.LoadBestModelAtEnd, cfg.LearningRate, cfg.SaveStrategy = true, 0.3, train.StrategyEpoch
	whole := runTo(t, context.Background(), cfg, 1, &recorder{})
	want := shardBytes(t, cfg.OutputDir)
	if whole.BestStep == 0 || whole.BestStep == whole.Steps {
		t.Fatalf("best step is %d of %d, want one before the last", whole.BestStep, whole.Steps)
	}
	last := cfg
	last.ResumeFromCheckpoint = train.CheckpointPath(cfg.OutputDir, whole.Steps-3)
	last.OutputDir = filepath.Join(t.TempDir(), "elsewhere")
	if done := runTo(t, context.Background(), last, 1, &recorder{}); done.BestStep != whole.BestStep {
		t.Errorf("got best step %d, want %d", done.BestStep, whole.BestStep)
	}
	if shardBytes(t, last.OutputDir) != want {
		t.Error("the final shards differ")
	}
	if _, err := train.Run(context.Background(), last, cpu.New(1), comm.Alone(), &recorder{}); !errors.Is(err, train.ErrOutputExists) {
		t.Errorf("into a folder with a run: got error %v, want %v", err, train.ErrOutputExists)
	}
}

func TestBrokenCheckpointsAreNotOverwritten(t *testing.T) {
	cfg := runConfig(t)
	runTo(t, context.Background(), cfg, 1, &recorder{})
	steps, err := train.CheckpointSteps(cfg.OutputDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range steps {
		writeFile(t, filepath.Join(train.CheckpointPath(cfg.OutputDir, step), train.ConfigName), []byte("seed: 1\n"))
	}
	cfg.ResumeFromCheckpoint = train.ResumeAuto
	if _, err := train.Run(context.Background(), cfg, cpu.New(1), comm.Alone(), &recorder{}); !errors.Is(err, train.ErrBrokenCheckpoint) {
		t.Errorf("got error %v, want %v", err, train.ErrBrokenCheckpoint)
	}
}

func TestFinishedRunWithoutCheckpointsIsNotOverwritten(t *testing.T) {
	cfg := runConfig(t)
	cfg.SaveStrategy = train.StrategyNo
	runTo(t, context.Background(), cfg, 1, &recorder{})
	for _, resume := range []string{"", train.ResumeAuto} {
		cfg.ResumeFromCheckpoint = resume
		if _, err := train.Run(context.Background(), cfg, cpu.New(1), comm.Alone(), &recorder{}); !errors.Is(err, train.ErrOutputExists) {
			t.Errorf("resume_from_checkpoint %q: got error %v, want %v", resume, err, train.ErrOutputExists)
		}
	}
}

func TestTokensAndLengthsBeyondTheModelAreNamed(t *testing.T) {
	cfg := runConfig(t)
	raw, err := os.ReadFile(filepath.Join(cfg.ModelNameOrPath, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	small := strings.Replace(string(raw), `"max_position_embeddings": 512`, `"max_position_embeddings": 8`, 1)
	writeFile(t, filepath.Join(cfg.ModelNameOrPath, "config.json"), []byte(small))
	_, err = train.Run(context.Background(), cfg, cpu.New(1), comm.Alone(), &recorder{})
	if !errors.Is(err, data.ErrRowTooLong) || !strings.Contains(fmt.Sprint(err), "max_position_embeddings") {
		t.Errorf("got error %v, want %v with max_position_embeddings in it", err, data.ErrRowTooLong)
	}
}

// Law: how the rows of a step are spread over micro-batches makes no difference, with
// any number of trained tokens in each.
func TestMicroBatchesOfOneStepAreOneBatch(t *testing.T) {
	var want, wantNorms []float64
	for _, split := range [][2]int{{8, 1}, {4, 2}, {2, 4}, {1, 8}} {
		cfg := runConfig(t)
		cfg.LoraDropout, cfg.ValSize = 0, 0
		cfg.PerDeviceTrainBatchSize, cfg.GradientAccumulationSteps = split[0], split[1]
		got := &recorder{}
		runTo(t, context.Background(), cfg, 2, got)
		if want == nil {
			want, wantNorms = got.losses, got.norms
		}
		for i := range want {
			if math.Abs(got.losses[i]-want[i]) > 1e-5*want[i] {
				t.Errorf("%d rows × %d: step %d has loss %.8g, want %.8g", split[0], split[1], i+1, got.losses[i], want[i])
			}
			if math.Abs(got.norms[i]-wantNorms[i]) > 1e-4*wantNorms[i] {
				t.Errorf("%d rows × %d: step %d has norm %.8g, want %.8g", split[0], split[1], i+1, got.norms[i], wantNorms[i])
			}
		}
	}
}

// Law: recomputation changes memory and time, and nothing else.
func TestRecomputationChangesNothing(t *testing.T) {
	var shards []string
	for _, recompute := range []bool{false, true} {
		cfg := runConfig(t)
		cfg.GradientCheckpointing, cfg.Packing = recompute, true
		cfg.MaxLength = 32
		runTo(t, context.Background(), cfg, 2, &recorder{})
		shards = append(shards, shardBytes(t, cfg.OutputDir))
	}
	if shards[0] != shards[1] {
		t.Error("the shards differ with gradient_checkpointing")
	}
}

func TestTrainingLearnsTheRows(t *testing.T) {
	cfg := runConfig(t)
	cfg.LoraDropout, cfg.ValSize, cfg.NumTrainEpochs, cfg.LearningRate = 0, 0, 40, 2e-2
	r := &recorder{}
	runTo(t, context.Background(), cfg, 2, r)
	first, last := r.losses[0], r.losses[len(r.losses)-1]
	if !(last < first/2) {
		t.Errorf("loss went from %g to %g, want less than half", first, last)
	}
}

func TestBestAdapterIsKeptAndEarlyStoppingStops(t *testing.T) {
	cfg := runConfig(t)
	cfg.LearningRate, cfg.NumTrainEpochs = 0.3, 20 // far too much: the held-out loss rises soon
	cfg.LoadBestModelAtEnd, cfg.EarlyStoppingPatience = true, 2
	cfg.SaveStrategy, cfg.SaveTotalLimit = train.StrategyEpoch, 1
	r := &recorder{}
	done := runTo(t, context.Background(), cfg, 2, r)
	if done.Reason != train.StoppedEarly {
		t.Fatalf("got %s, want %s; evaluations %v", done.Reason, train.StoppedEarly, r.evals)
	}
	best := slices.Index(r.evals, slices.Min(r.evals))
	if len(r.evals) != best+1+cfg.EarlyStoppingPatience {
		t.Errorf("got %d evaluations, the lowest the %d., want %d after it", len(r.evals), best+1, cfg.EarlyStoppingPatience)
	}
	if !done.BestLoaded || *done.BestLoss != r.evals[best] {
		t.Errorf("got best loss %v, loaded %t, want %g and true", *done.BestLoss, done.BestLoaded, r.evals[best])
	}
	if shardBytes(t, cfg.OutputDir) != shardBytes(t, train.CheckpointPath(cfg.OutputDir, done.BestStep)) {
		t.Error("the final shards are not those of the best checkpoint")
	}
}

func TestRunRefusesAnEarlierRun(t *testing.T) {
	cfg := runConfig(t)
	runTo(t, context.Background(), cfg, 1, &recorder{})
	if _, err := train.Run(context.Background(), cfg, cpu.New(1), comm.Alone(), &recorder{}); !errors.Is(err, train.ErrOutputExists) {
		t.Errorf("anew: got error %v, want %v", err, train.ErrOutputExists)
	}
	cfg.ResumeFromCheckpoint = train.ResumeAuto
	cfg.LearningRate, cfg.Seed = 1e-4, 7
	_, err := train.Run(context.Background(), cfg, cpu.New(1), comm.Alone(), &recorder{})
	if !errors.Is(err, train.ErrOtherRun) {
		t.Fatalf("resumed: got error %v, want %v", err, train.ErrOtherRun)
	}
	for _, want := range []string{"learning_rate: the checkpoint has 0.005, this run has 0.0001", "seed: the checkpoint has 42, this run has 7"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
}

func TestRunRefusesAnotherDataset(t *testing.T) {
	cfg := runConfig(t)
	runTo(t, context.Background(), cfg, 1, &recorder{})
	cfg.ResumeFromCheckpoint, cfg.Dataset = train.ResumeAuto, rows(t, 15)
	_, err := train.Run(context.Background(), cfg, cpu.New(1), comm.Alone(), &recorder{})
	if !errors.Is(err, train.ErrOtherRun) || !strings.Contains(fmt.Sprint(err), "dataset: ") {
		t.Errorf("got error %v, want %v with the dataset in it", err, train.ErrOtherRun)
	}
}

func TestBadRowsComeBeforeAnyWork(t *testing.T) {
	cfg := runConfig(t)
	writeFile(t, cfg.Dataset, []byte("{\"prompt\": \"a\", \"completion\": 3}\n{\"prompt\": \"a\", \"completion\": \"b\"}\n{\"prompt\": \"a\"}\n"))
	_, err := train.Run(context.Background(), cfg, cpu.New(1), comm.Alone(), &recorder{})
	var bad data.RowErrors
	if !errors.As(err, &bad) || len(bad) != 2 || bad[0].Line != 1 || bad[1].Line != 3 {
		t.Errorf("got error %v, want lines 1 and 3", err)
	}
}

func TestInitAdapterStartsFromItsNumbers(t *testing.T) {
	cfg := runConfig(t)
	runTo(t, context.Background(), cfg, 1, &recorder{})
	next := runConfig(t)
	next.InitAdapter, next.LearningRate = cfg.OutputDir, 1e-30
	r := &recorder{}
	runTo(t, context.Background(), next, 1, r)
	if r.start.InitAdapter != cfg.OutputDir || r.start.Resumed != "" {
		t.Errorf("got start %+v, want the adapter %s and no checkpoint", r.start, cfg.OutputDir)
	}
	if shardBytes(t, next.OutputDir) != shardBytes(t, cfg.OutputDir) {
		t.Error("steps of no size changed the adapter that they began with")
	}
	next.Blocks, next.OutputDir = 2, filepath.Join(t.TempDir(), "other")
	if _, err := train.Run(context.Background(), next, cpu.New(1), comm.Alone(), &recorder{}); err == nil {
		t.Error("an adapter of 4 blocks was taken for one of 2")
	}
}

func TestDivergedRunSaysSo(t *testing.T) {
	cfg := runConfig(t)
	cfg.LearningRate, cfg.MaxGradNorm, cfg.NumTrainEpochs = 1e30, 0, 5
	if _, err := train.Run(context.Background(), cfg, cpu.New(1), comm.Alone(), &recorder{}); !errors.Is(err, train.ErrDiverged) {
		t.Errorf("got error %v, want %v", err, train.ErrDiverged)
	}
}
