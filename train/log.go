package train

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"bdlora/data/durable"
)

// LogName is the log's file in an output folder.
const LogName = "trainer_log.jsonl"

// Entry is one line of the log, of training or of an evaluation, under
// LLaMA-Factory's names. What an entry has no value for is not in its line.
type Entry struct {
	CurrentSteps    int      `json:"current_steps"`
	TotalSteps      int      `json:"total_steps"`
	Loss            *float64 `json:"loss,omitempty"`      // mean over the steps since the last entry
	EvalLoss        *float64 `json:"eval_loss,omitempty"` // mean over the trained tokens
	LR              *float64 `json:"lr,omitempty"`        // of the step
	GradNorm        *float64 `json:"grad_norm,omitempty"` // of the step, before clipping
	Epoch           float64  `json:"epoch"`
	Percentage      float64  `json:"percentage"` // of the steps, to two places
	ElapsedTime     string   `json:"elapsed_time"`
	RemainingTime   string   `json:"remaining_time"`
	TokensPerSecond float64  `json:"tokens_per_second,omitempty"`
	TrainedTokens   int64    `json:"trained_tokens"` // of the run so far
}

// Clock writes a duration as h:mm:ss.
func Clock(d time.Duration) string {
	seconds := int64(d / time.Second)
	return fmt.Sprintf("%d:%02d:%02d", seconds/3600, seconds/60%60, seconds%60)
}

// Log is trainer_log.jsonl, a line an [Entry].
type Log struct{ file *os.File }

// OpenLog makes the file path hold the entries of history, which is that of the
// checkpoint resumed from and empty for a new run, and opens it for more. Lines that
// a run wrote after its last checkpoint go away, so that in the end the file is
// that of a run that never stopped.
func OpenLog(path string, history []Entry) (*Log, error) {
	err := durable.WriteFile(path, func(w io.Writer) error {
		for _, e := range history {
			if err := writeEntry(w, e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return nil, err
	}
	return &Log{file}, nil
}

// Write appends one line, in one write, so that readers never see half of it.
func (l *Log) Write(e Entry) error {
	if err := writeEntry(l.file, e); err != nil {
		return fmt.Errorf("%s: %w", l.file.Name(), err)
	}
	return nil
}

// Close closes the file.
func (l *Log) Close() error { return l.file.Close() }

func writeEntry(w io.Writer, e Entry) error {
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	_, err = w.Write(append(line, '\n'))
	return err
}

// ReadLog reads a file that a [Log] wrote. A last line without its end, as a power
// cut leaves it, is not read.
func ReadLog(path string) ([]Entry, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var entries []Entry
	for number := 1; ; number++ {
		line, rest, ok := bytes.Cut(text, []byte("\n"))
		if !ok {
			return entries, nil
		}
		var e Entry
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, number, err)
		}
		entries, text = append(entries, e), rest
	}
}
