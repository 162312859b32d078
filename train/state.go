package train

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"time"
)

// State is where a run stands after an optimizer step, but for its numbers: what it
// needs to go on as if it had never stopped. Data order, dropout and learning rate
// follow from the step and the seeds of the [Config] and are not part of it. Names
// are those of transformers where it has the thing.
type State struct {
	GlobalStep    int     `json:"global_step"` // optimizer steps done
	MaxSteps      int     `json:"max_steps"`   // of the whole run
	Epoch         float64 `json:"epoch"`       // done, with its fraction
	TokensSeen    int64   `json:"num_input_tokens_seen"`
	TrainedTokens int64   `json:"num_trained_tokens"` // those that had a loss

	Interval Interval `json:"interval"`

	// EvalPending: the evaluation that is due after GlobalStep was interrupted.
	EvalPending bool `json:"eval_pending"`

	BestMetric *float64 `json:"best_metric"`      // the lowest evaluation loss; nil before the first
	BestStep   int      `json:"best_global_step"` // where it was
	// Patience is the number of evaluations since then.
	Patience int `json:"early_stopping_patience_counter"`

	Elapsed    time.Duration `json:"elapsed_ns"`  // of training, over all sittings
	LogHistory []Entry       `json:"log_history"` // the lines of trainer_log.jsonl so far
	Inputs     []Fingerprint `json:"inputs"`
}

// Interval sums up the steps since the last line of the log.
type Interval struct {
	Steps         int           `json:"steps"`
	LossSum       float64       `json:"loss_sum"` // of the steps' mean losses
	Tokens        int64         `json:"tokens"`
	TrainedTokens int64         `json:"trained_tokens"`
	Elapsed       time.Duration `json:"elapsed_ns"`
}

// ObserveEval takes an evaluation's loss after the current step and reports whether
// it is the lowest so far. One that is not a number never is.
func (s *State) ObserveEval(loss float64) (best bool) {
	if loss == loss && (s.BestMetric == nil || loss < *s.BestMetric) {
		s.BestMetric, s.BestStep, s.Patience = &loss, s.GlobalStep, 0
		return true
	}
	s.Patience++
	return false
}

// write writes the state as JSON into a new file.
func (s *State) write(path string) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return os.WriteFile(path, append(text, '\n'), 0o666)
}

func readState(path string) (*State, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	s := new(State)
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(s); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}
