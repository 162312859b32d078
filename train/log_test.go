package train_test

import (
	"math"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"bdlora/train"
)

// logged writes entries into a new log that begins with history.
func logged(t *testing.T, path string, history, entries []train.Entry) string {
	t.Helper()
	log, err := train.OpenLog(path, history)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := log.Write(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestLogLines(t *testing.T) {
	loss, lr, norm, evalLoss := 0.25, 2e-4, 1.5, 0.5
	got := logged(t, filepath.Join(t.TempDir(), train.LogName), nil, []train.Entry{
		{CurrentSteps: 10, TotalSteps: 30, Loss: &loss, LR: &lr, GradNorm: &norm, Epoch: 1.5, Percentage: 33.33,
			ElapsedTime: "0:00:05", RemainingTime: "0:00:10", TokensPerSecond: 99.5, TrainedTokens: 1234},
		{CurrentSteps: 10, TotalSteps: 30, EvalLoss: &evalLoss, Epoch: 1.5, Percentage: 33.33,
			ElapsedTime: "0:00:06", RemainingTime: "0:00:12", TrainedTokens: 1234},
	})
	const want = `{"current_steps":10,"total_steps":30,"loss":0.25,"lr":0.0002,"grad_norm":1.5,"epoch":1.5,` +
		`"percentage":33.33,"elapsed_time":"0:00:05","remaining_time":"0:00:10","tokens_per_second":99.5,` +
		`"trained_tokens":1234}
{"current_steps":10,"total_steps":30,"eval_loss":0.5,"epoch":1.5,"percentage":33.33,` +
		`"elapsed_time":"0:00:06","remaining_time":"0:00:12","trained_tokens":1234}
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// Killed at any line after its checkpoint, and even in the middle of one: the
// resumed run's file is that of a run that never stopped.
func TestLogOfResumedRunIsThatOfAnUnbrokenOne(t *testing.T) {
	entries := lossesOf(200)
	path := filepath.Join(t.TempDir(), train.LogName)
	want := logged(t, path, nil, entries)
	const checkpoint = 17 // entries in its state
	for killed := checkpoint; killed < len(entries); killed++ {
		text := logged(t, path, nil, entries[:killed])
		if err := os.WriteFile(path, []byte(text+`{"current_st`), 0o666); err != nil {
			t.Fatal(err)
		}
		if got := logged(t, path, entries[:checkpoint], entries[checkpoint:]); got != want {
			t.Errorf("killed after %d lines: got\n%s\nwant\n%s", killed, got, want)
		}
	}
}

func TestLogReadsBack(t *testing.T) {
	want := lossesOf(50)
	path := filepath.Join(t.TempDir(), train.LogName)
	text := logged(t, path, nil, want)
	if err := os.WriteFile(path, []byte(text+`{"loss"`), 0o666); err != nil {
		t.Fatal(err)
	}
	if got, err := train.ReadLog(path); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	if err := os.WriteFile(path, []byte(text+"{\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := train.ReadLog(path); err == nil {
		t.Error("a broken line that is not the last: got no error, want one")
	}
}

func TestLogRefusesWhatJSONCannotHold(t *testing.T) {
	log, err := train.OpenLog(filepath.Join(t.TempDir(), train.LogName), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	nan := math.NaN()
	if err := log.Write(train.Entry{Loss: &nan}); err == nil {
		t.Error("got no error for a loss that is not a number, want one")
	}
}

func TestClock(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0:00:00", 59999 * time.Millisecond: "0:00:59", time.Hour + time.Minute + time.Second: "1:01:01",
		100 * time.Hour: "100:00:00",
	} {
		if got := train.Clock(d); got != want {
			t.Errorf("%v: got %s, want %s", d, got, want)
		}
	}
}

// The lowest loss so far is the best; anything else, a tie and a loss that is not a
// number included, is one evaluation more without a better one.
func TestObserveEval(t *testing.T) {
	var s train.State
	for i, tt := range []struct {
		loss     float64
		best     bool
		bestStep int
		patience int
	}{
		{math.NaN(), false, 0, 1}, {2, true, 20, 0}, {2, false, 20, 1}, {3, false, 20, 2}, {math.NaN(), false, 20, 3},
		{1, true, 60, 0}, {math.Inf(1), false, 60, 1},
	} {
		s.GlobalStep = 10 * (i + 1)
		if best := s.ObserveEval(tt.loss); best != tt.best || s.BestStep != tt.bestStep || s.Patience != tt.patience {
			t.Errorf("evaluation %d, loss %v: got %v, step %d, patience %d, want %v, %d, %d",
				i, tt.loss, best, s.BestStep, s.Patience, tt.best, tt.bestStep, tt.patience)
		}
	}
	if s.BestMetric == nil || *s.BestMetric != 1 {
		t.Errorf("got best %v, want 1", s.BestMetric)
	}
}
