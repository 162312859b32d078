package train

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"bdlora/bdlora"
	"bdlora/kernels/comm"
	"bdlora/kernels/ref"
	"bdlora/model"
)

// A process that takes longer than a collective may is not lost, and what it meets in
// the end is its own.
func TestMeanwhileOutlastsTheTimeLimit(t *testing.T) {
	const limit, long = 1500 * time.Millisecond, 2500 * time.Millisecond
	met := errors.New("met")
	errs := make([]error, 2)
	var all sync.WaitGroup
	for proc, world := range comm.NewLocalTimeout(len(errs), limit) {
		all.Go(func() {
			g := &Grid{World: world}
			errs[proc] = g.meanwhile(t.Context(), func(context.Context) error {
				if proc == 0 {
					return nil
				}
				time.Sleep(long)
				return met
			})
			_, err := g.any(false)
			errs[proc] = errors.Join(errs[proc], err)
		})
	}
	all.Wait()
	if errs[0] != nil || !errors.Is(errs[1], met) || errors.Is(errs[1], comm.ErrPeerLost) {
		t.Errorf("errors are %v, want none and %v", errs, met)
	}
}

// What one process cannot load ends the run on all, though the others have more to
// exchange before they are ready.
func TestLoadingEndsOnAllProcesses(t *testing.T) {
	m := model.NewRandom(&model.Config{
		Hidden: 4, Intermediate: 4, Layers: 1, Heads: 2, KVHeads: 2, HeadDim: 2, Vocab: 3, MaxSeqLen: 8, NormEps: 1e-5,
		RopeScaling: &model.Rope{Theta: 100},
	}, 1)
	cfg := bdlora.DefaultConfig()
	cfg.Rank, cfg.Blocks = 2, 2
	plan, err := bdlora.NewPlan(m.Base(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	errs := make([]error, 2)
	var all sync.WaitGroup
	for proc, world := range comm.NewLocalTimeout(len(errs), 10*time.Second) {
		all.Go(func() {
			g, err := NewGrid(world, len(errs), 1)
			if err != nil {
				errs[proc] = err
				return
			}
			run := &trainer{cfg: DefaultConfig(), be: ref.New[float64](), grid: g, observer: nobody{}, model: m}
			if proc == 1 {
				run.cfg.InitAdapter = "absent"
			}
			errs[proc] = run.load(t.Context(), nil, plan)
		})
	}
	all.Wait()
	for proc, err := range errs {
		var shared *SharedError
		if !errors.As(err, &shared) || !strings.Contains(err.Error(), "process 1 of 2: init_adapter: absent") {
			t.Errorf("process %d: error is %v, want the shared one of process 1", proc, err)
		}
	}
}
