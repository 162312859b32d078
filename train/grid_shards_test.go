package train_test

import (
	"errors"
	"sync"
	"testing"

	"bdlora/bdlora"
	"bdlora/data"
	"bdlora/kernels"
	"bdlora/kernels/comm"
	"bdlora/kernels/cpu"
	"bdlora/model"
	"bdlora/train"
)

// Law: the shards on disk are those that serve. Processes that each load one of them, and
// nothing of the others, compute what one process does with the whole adapter; with a
// neighbour's numbers they do not.
func TestShardsOnDiskServeWhatWasTrained(t *testing.T) {
	cfg := onGrid(t, gridConfig(t), [2]int{2, 1})
	cfg.LearningRate = 5e-2
	runGrid(t, cfg)
	batch := data.NewBatch(data.Example{Tokens: []int32{3, 1, 4, 1, 5, 9, 2, 6}, Trained: make([]bool, 8)})
	want := logitsOf(t, cfg, adapterOf(t, cfg), comm.Alone(), batch)

	right, wrong := make([][]float64, cfg.Blocks), make([][]float64, cfg.Blocks)
	var all sync.WaitGroup
	for shard, group := range comm.NewLocal(cfg.Blocks) {
		own, neighbours := shardOf(t, cfg, shard), shardOf(t, cfg, (shard+1)%cfg.Blocks)
		neighbours.First = shard
		all.Go(func() {
			right[shard] = logitsOf(t, cfg, own, group, batch)
			wrong[shard] = logitsOf(t, cfg, neighbours, group, batch)
		})
	}
	all.Wait()
	for shard := range right {
		wantClose(t, "logits", right[shard], want)
		if apart := distance(wrong[shard], want); apart < 1e-2 {
			t.Errorf("with the neighbours' blocks process %d is %g from the whole adapter, want at least 0.01", shard, apart)
		}
	}
}

// shardOf reads one shard of a run's adapter.
func shardOf(t *testing.T, cfg train.Config, shard int) *bdlora.Adapter {
	t.Helper()
	m, err := model.Load(cfg.ModelNameOrPath)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	a, err := bdlora.LoadShardsPart(bdlora.ShardsPath(cfg.OutputDir, cfg.Blocks), m.Base(), shard, shard+1)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// logitsOf are those of a batch, from a process of a group with its part of an adapter.
func logitsOf(t *testing.T, cfg train.Config, a *bdlora.Adapter, group comm.Comm, batch *data.Batch) []float64 {
	m, err := model.Load(cfg.ModelNameOrPath)
	if err == nil {
		defer m.Close()
		err = m.Join(group)
	}
	if err != nil {
		t.Error(err)
		return nil
	}
	var be kernels.Backend = cpu.New(1)
	logits, err := model.NewInference(be, m, model.NewTrainable(be, a), len(batch.Tokens)).Logits(batch)
	if err != nil {
		t.Error(errors.Join(err, group.Close()))
	}
	return float64s(logits)
}
