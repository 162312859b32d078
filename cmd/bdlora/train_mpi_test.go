//go:build mpi

package main

import (
	"bytes"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"bdlora/train"
)

// Law: processes behind a real launcher train what one process does, and go on from a
// checkpoint to the same bytes.
func TestProcessesTrainWhatOneDoes(t *testing.T) {
	dir := unpacked(t)
	settings := []string{"adam_epsilon=1e-2", "save_steps=3", "logging_steps=1", "threads=1"}
	one := bdloraWith("", shortRun(dir, settings...)...)
	if one.code != exitDone {
		t.Fatal(one.stderr)
	}
	want := lossesOf(t, filepath.Join(dir, "out"))

	settings = append(settings, "tensor_parallel_size=2", "data_parallel_size=2")
	many := filepath.Join(dir, "many")
	r := mpirun(t, "4", shortRun(dir, append(settings, "output_dir="+many)...)...)
	if r.code != exitDone {
		t.Fatalf("exit code %d\n%s", r.code, r.stderr)
	}
	expectIn(t, r.stderr, "processes: 4: tensor_parallel_size 2 × data_parallel_size 2")
	for i, loss := range lossesOf(t, many) {
		if math.Abs(loss-want[i]) > 1e-6*want[i] {
			t.Errorf("line %d of the log: loss is %.9g, want %.9g", i+1, loss, want[i])
		}
	}

	resumed := filepath.Join(dir, "resumed")
	r = mpirun(t, "4", shortRun(dir, append(settings, "output_dir="+resumed,
		"resume_from_checkpoint="+train.CheckpointPath(many, 3))...)...)
	if r.code != exitDone || !bytes.Equal(shards(t, resumed), shards(t, many)) {
		t.Errorf("resumed: exit code %d, want %d and the same shards\n%s", r.code, exitDone, r.stderr)
	}
}

// lossesOf are those in the log of a run, of training and evaluation.
func lossesOf(t *testing.T, dir string) (losses []float64) {
	t.Helper()
	entries, err := train.ReadLog(filepath.Join(dir, train.LogName))
	if err != nil || len(entries) == 0 {
		t.Fatalf("got %d lines and error %v", len(entries), err)
	}
	for _, e := range entries {
		if e.Loss != nil {
			losses = append(losses, *e.Loss)
		}
		if e.EvalLoss != nil {
			losses = append(losses, *e.EvalLoss)
		}
	}
	return losses
}

// Law: what processes find wrong is said once, before they have joined and after.
func TestProcessesSayOnceWhatIsWrong(t *testing.T) {
	dir := unpacked(t)
	for setting, want := range map[string]string{
		"save_steps=0": "save_steps: got 0",
		"output_dir=" + filepath.Join(dir, "model"): "output_dir: .* is the folder of the base model",
	} {
		r := mpirun(t, "2", shortRun(dir, "data_parallel_size=2", setting)...)
		if n := strings.Count(r.stderr, "bdlora: "); r.code != exitFailed || n != 1 {
			t.Errorf("%s: exit code %d and %d errors, want %d and one\n%s", setting, r.code, n, exitFailed, r.stderr)
		}
		expectIn(t, r.stderr, want)
	}
}
