// Command logits computes the logits of given tokens with a model, with or without
// an adapter: what examples/interop/check.py compares with PEFT's.
//
//	go run ./examples/logits --model DIR [--adapter DIR] tokens.json > ours.json
//
// tokens.json is a file of logits as check.py describes it; its own logits are not
// read.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"

	"bdlora/bdlora"
	"bdlora/data"
	"bdlora/kernels/cpu"
	"bdlora/model"
)

// sequence is tokens, and the logits of what follows those at Positions.
type sequence struct {
	Tokens    []int32     `json:"tokens"`
	Positions []int       `json:"positions"`
	Logits    [][]float32 `json:"logits"`
}

type file struct {
	Sequences []sequence `json:"sequences"`
}

func main() {
	modelDir := flag.String("model", "", "folder of the base model")
	adapterDir := flag.String("adapter", "", "folder of an adapter; empty for none")
	flag.Parse()
	if err := run(os.Stdout, *modelDir, *adapterDir, flag.Arg(0)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(w io.Writer, modelDir, adapterDir, tokensFile string) error {
	text, err := os.ReadFile(tokensFile)
	if err != nil {
		return err
	}
	var in file
	if err := json.Unmarshal(text, &in); err != nil {
		return fmt.Errorf("%s: %w", tokensFile, err)
	}
	m, err := model.Load(modelDir)
	if err != nil {
		return err
	}
	defer m.Close()
	be := cpu.New(0)
	var t *model.Trainable
	if adapterDir != "" {
		adapter, err := bdlora.Open(adapterDir, m.Base())
		if err != nil {
			return err
		}
		t = model.NewTrainable(be, adapter)
	}
	for i := range in.Sequences {
		if err := in.Sequences[i].compute(model.NewInference(be, m, t, len(in.Sequences[i].Tokens)), m.Config.Vocab); err != nil {
			return fmt.Errorf("%s: sequence %d: %w", tokensFile, i, err)
		}
	}
	return json.NewEncoder(w).Encode(in)
}

// compute fills in the logits.
func (s *sequence) compute(inf *model.Inference, vocab int) error {
	example := data.Example{Tokens: s.Tokens, Trained: make([]bool, len(s.Tokens))}
	logits, err := inf.Logits(data.NewBatch(example))
	if err != nil {
		return err
	}
	s.Logits = nil
	for _, position := range s.Positions {
		s.Logits = append(s.Logits, logits[position*vocab:(position+1)*vocab])
	}
	return nil
}
