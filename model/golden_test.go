package model_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bdlora/bdlora"
	"bdlora/data"
	"bdlora/data/safetensors"
	"bdlora/kernels"
	"bdlora/kernels/cpu"
	"bdlora/kernels/ref"
	"bdlora/model"
)

// goldens is testdata/goldens.json: numbers of transformers, PEFT and PyTorch. See
// testdata/README.md.
type goldens struct {
	Batches     map[string][]sequence `json:"batches"`
	Cases       []goldenCase          `json:"cases"`
	Generations []struct {
		Case      string  `json:"case"`
		Prompt    []int32 `json:"prompt"`
		NewTokens []int32 `json:"new_tokens"`
	} `json:"generations"`
	Optimizer    goldenOptimizer    `json:"optimizer"`
	Trajectories []goldenTrajectory `json:"trajectories"`
}

type sequence struct {
	Tokens  []int32 `json:"tokens"`
	Targets []int32 `json:"targets"`
}

type goldenCase struct {
	Name           string  `json:"name"`
	Batch          string  `json:"batch"`
	ModelConfig    string  `json:"model_config"`
	ModelWeights   string  `json:"model_weights"`
	AdapterConfig  string  `json:"adapter_config"`
	AdapterWeights string  `json:"adapter_weights"`
	Golden         string  `json:"golden"`
	Gradients      bool    `json:"gradients"`
	Loss           float64 `json:"loss"`
}

type goldenOptimizer struct {
	Beta1       float64 `json:"adam_beta1"`
	Beta2       float64 `json:"adam_beta2"`
	Eps         float64 `json:"adam_epsilon"`
	WeightDecay float64 `json:"weight_decay"`
	MaxGradNorm float64 `json:"max_grad_norm"`
}

type goldenTrajectory struct {
	Case          string    `json:"case"`
	FinalAdapter  string    `json:"final_adapter"`
	Losses        []float64 `json:"losses"`
	GradNorms     []float64 `json:"grad_norms"`
	LearningRates []float64 `json:"learning_rates"`
	FinalLoss     float64   `json:"final_loss"`
}

func readGoldens(t *testing.T) *goldens {
	t.Helper()
	text, err := os.ReadFile("testdata/goldens.json")
	if err != nil {
		t.Fatal(err)
	}
	g := new(goldens)
	if err := json.Unmarshal(text, g); err != nil {
		t.Fatal(err)
	}
	return g
}

func (g *goldens) find(t *testing.T, name string) goldenCase {
	t.Helper()
	i := slices.IndexFunc(g.Cases, func(c goldenCase) bool { return c.Name == name })
	if i < 0 {
		t.Fatalf("no case %s in goldens.json", name)
	}
	return g.Cases[i]
}

// packed lays sequences side by side.
func packed(sequences ...sequence) *data.Batch {
	b := &data.Batch{}
	for _, s := range sequences {
		b.Tokens, b.Targets = append(b.Tokens, s.Tokens...), append(b.Targets, s.Targets...)
		b.Lengths = append(b.Lengths, len(s.Tokens))
		for i := range s.Tokens {
			b.Positions = append(b.Positions, int32(i))
		}
	}
	return b
}

// folder gathers files of testdata under the names that they have in a model or
// adapter folder.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, source := range files {
		text, err := os.ReadFile(filepath.Join("testdata", source))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func (c goldenCase) load(t *testing.T, config string) *model.Model {
	t.Helper()
	m, err := model.Load(folder(t, map[string]string{"config.json": config, "model.safetensors": c.ModelWeights}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// adapter loads the case's adapter, which PEFT wrote; nil for a base model alone.
func (c goldenCase) adapter(t *testing.T, m *model.Model) *bdlora.Adapter {
	t.Helper()
	if c.AdapterConfig == "" {
		return nil
	}
	dir := folder(t, map[string]string{"adapter_config.json": c.AdapterConfig, "adapter_model.safetensors": c.AdapterWeights})
	a, err := bdlora.LoadPEFT(dir, m.Base())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (c goldenCase) trainable(t *testing.T, be kernels.Backend, m *model.Model) *model.Trainable {
	if a := c.adapter(t, m); a != nil {
		return model.NewTrainable(be, a)
	}
	return nil
}

// numbers reads the case's golden tensors.
func (c goldenCase) numbers(t *testing.T) map[string][]float32 {
	t.Helper()
	f, err := safetensors.Open(filepath.Join("testdata", c.Golden))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all := map[string][]float32{}
	for _, tensor := range f.Tensors() {
		view, err := tensor.F32()
		if err != nil {
			t.Fatal(err)
		}
		all[tensor.Name] = slices.Clone(view)
	}
	return all
}

// expectClose fails where got and want differ by more than tolerance times the
// largest magnitude of want.
func expectClose(t *testing.T, what string, got, want []float32, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: got %d numbers, want %d", what, len(got), len(want))
	}
	largest := 0.0
	for _, w := range want {
		largest = math.Max(largest, math.Abs(float64(w)))
	}
	for i := range got {
		if !(math.Abs(float64(got[i]-want[i])) <= tolerance*largest) {
			t.Fatalf("%s: element %d is %g, want %g within %g of the largest, %g", what, i, got[i], want[i], tolerance, largest)
		}
	}
}

func relative(got, want float64) float64 { return math.Abs(got-want) / math.Abs(want) }

func TestLogitsAndLossAreTransformers(t *testing.T) {
	g := readGoldens(t)
	for name, be := range backends() {
		for _, c := range g.Cases {
			for _, config := range []string{c.ModelConfig, strings.Replace(c.ModelConfig, "config.json", "config.v4.json", 1)} {
				t.Run(fmt.Sprintf("%s/%s/%s", name, c.Name, filepath.Base(config)), func(t *testing.T) {
					m := c.load(t, config)
					batch := packed(g.Batches[c.Batch]...)
					inf := model.NewInference(be, m, c.trainable(t, be, m), len(batch.Tokens))
					checkLogits(t, inf, batch, c.numbers(t))
					sum, trained, err := inf.Loss(batch)
					if err != nil {
						t.Fatal(err)
					}
					if got := sum / float64(trained); relative(got, c.Loss) > 1e-5 {
						t.Errorf("loss %.8g, want %.8g within 1e-5", got, c.Loss)
					}
				})
			}
		}
	}
}

func checkLogits(t *testing.T, inf *model.Inference, batch *data.Batch, want map[string][]float32) {
	t.Helper()
	logits, err := inf.Logits(batch)
	if err != nil {
		t.Fatal(err)
	}
	vocab, row := len(logits)/len(batch.Tokens), 0
	for i, length := range batch.Lengths {
		name := fmt.Sprintf("logits.%d", i)
		expectClose(t, name, logits[row*vocab:(row+length)*vocab], want[name], 1e-4)
		row += length
	}
}

// gradients are the golden's, laid out in shards: an adapter whose numbers are
// gradients.
func (c goldenCase) gradients(t *testing.T, m *model.Model) *bdlora.Adapter {
	t.Helper()
	var tensors []safetensors.Entry
	numbers := c.numbers(t)
	weights, err := safetensors.Open(filepath.Join("testdata", c.AdapterWeights))
	if err != nil {
		t.Fatal(err)
	}
	defer weights.Close()
	for _, name := range slices.Sorted(maps.Keys(numbers)) {
		if strings.HasPrefix(name, "logits.") {
			continue
		}
		shape, ok := weights.Tensor(name)
		if !ok {
			t.Fatalf("%s: no factor %s", c.AdapterWeights, name)
		}
		tensors = append(tensors, safetensors.FromF32(name, shape.Shape, numbers[name]))
	}
	dir := folder(t, map[string]string{"adapter_config.json": c.AdapterConfig})
	if err := safetensors.Write(filepath.Join(dir, "adapter_model.safetensors"), tensors, nil); err != nil {
		t.Fatal(err)
	}
	a, err := bdlora.LoadPEFT(dir, m.Base())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestGradientsArePEFTs(t *testing.T) {
	g := readGoldens(t)
	for name, be := range backends() {
		for _, c := range g.Cases {
			if !c.Gradients {
				continue
			}
			t.Run(name+"/"+c.Name, func(t *testing.T) {
				m := c.load(t, c.ModelConfig)
				batch, tr := packed(g.Batches[c.Batch]...), c.trainable(t, be, m)
				graph, err := model.NewGraph(be, m, tr, model.GraphConfig{Tokens: len(batch.Tokens)})
				if err != nil {
					t.Fatal(err)
				}
				defer graph.Close()
				if _, err := graph.Run(batch, 1/float64(batch.Trained()), 0); err != nil {
					t.Fatal(err)
				}
				checkFactors(t, be, tr.Grads, c.gradients(t, m), 1e-4)
			})
		}
	}
}

// checkFactors compares shards factor by factor.
func checkFactors(t *testing.T, be kernels.Backend, shards []kernels.Buf, want *bdlora.Adapter, tolerance float64) {
	t.Helper()
	for i, shard := range shards {
		host := make([]float32, shard.Len())
		be.Download(host, shard)
		for _, m := range want.Plan.Modules {
			expectClose(t, fmt.Sprintf("shard %d: %s: A", i, m.Path()), m.A.Of(host), m.A.Of(want.Shards[i]), tolerance)
			expectClose(t, fmt.Sprintf("shard %d: %s: B", i, m.Path()), m.B.Of(host), m.B.Of(want.Shards[i]), tolerance)
		}
	}
}

func TestTwentyAdamWStepsArePyTorchs(t *testing.T) {
	g := readGoldens(t)
	for name, be := range backends() {
		for _, want := range g.Trajectories {
			t.Run(name+"/"+want.Case, func(t *testing.T) {
				c := g.find(t, want.Case)
				m := c.load(t, c.ModelConfig)
				tr := c.trainable(t, be, m)
				run := newTrajectory(t, be, m, tr, packed(g.Batches[c.Batch]...))
				for step, wantLoss := range want.Losses {
					loss, norm := run.step(t, g.Optimizer, want.LearningRates[step], step+1)
					if relative(loss, wantLoss) > 1e-4 || relative(norm, want.GradNorms[step]) > 1e-3 {
						t.Fatalf("step %d: loss %.7g and norm %.7g, want %.7g within 1e-4 and %.7g within 1e-3",
							step, loss, norm, wantLoss, want.GradNorms[step])
					}
				}
				final := c
				final.AdapterConfig, final.AdapterWeights = want.FinalAdapter+"/adapter_config.json", want.FinalAdapter+"/adapter_model.safetensors"
				checkFactors(t, be, tr.Params, final.adapter(t, m), 1e-3)
			})
		}
	}
}

// trajectory trains on one batch over and over.
type trajectory struct {
	be    kernels.Backend
	tr    *model.Trainable
	graph *model.Graph
	batch *data.Batch
	m, v  []kernels.Buf
}

func newTrajectory(t *testing.T, be kernels.Backend, m *model.Model, tr *model.Trainable, batch *data.Batch) *trajectory {
	t.Helper()
	graph, err := model.NewGraph(be, m, tr, model.GraphConfig{Tokens: len(batch.Tokens)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { graph.Close() })
	run := &trajectory{be: be, tr: tr, graph: graph, batch: batch}
	for _, shard := range tr.Params {
		run.m, run.v = append(run.m, be.Alloc(shard.Len())), append(run.v, be.Alloc(shard.Len()))
	}
	return run
}

func (r *trajectory) step(t *testing.T, o goldenOptimizer, lr float64, at int) (loss, norm float64) {
	t.Helper()
	trained := float64(r.batch.Trained())
	squares := 0.0
	for _, grads := range r.tr.Grads {
		r.be.Clear(grads)
	}
	sum, err := r.graph.Run(r.batch, 1/trained, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, grads := range r.tr.Grads {
		squares += r.be.SumSquares(grads)
	}
	norm = math.Sqrt(squares)
	for i, params := range r.tr.Params {
		r.be.AdamW(params, r.tr.Grads[i], r.m[i], r.v[i], kernels.AdamW{
			LR: lr, Beta1: o.Beta1, Beta2: o.Beta2, Eps: o.Eps, WeightDecay: o.WeightDecay,
			GradScale: min(1, o.MaxGradNorm/(norm+1e-6)), T: at,
		})
	}
	return sum / trained, norm
}

func TestGreedyGenerationIsTransformers(t *testing.T) {
	g := readGoldens(t)
	for name, be := range backends() {
		for _, want := range g.Generations {
			t.Run(name+"/"+want.Case, func(t *testing.T) {
				c := g.find(t, want.Case)
				m := c.load(t, c.ModelConfig)
				generator := model.NewGenerator(be, m, c.trainable(t, be, m), len(want.Prompt)+len(want.NewTokens))
				var got []int32
				collect := func(token int32) error {
					got = append(got, token)
					return nil
				}
				cfg := model.GenerateConfig{MaxNewTokens: len(want.NewTokens)}
				if err := generator.Generate(context.Background(), want.Prompt, cfg, collect); err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(got, want.NewTokens) {
					t.Errorf("got %v, want %v", got, want.NewTokens)
				}
			})
		}
	}
}

// backends are those that the goldens are checked on.
func backends() map[string]kernels.Backend {
	return map[string]kernels.Backend{"ref": ref.New[float32](), "cpu": cpu.New(2)}
}
