package model_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"bdlora/bdlora"
	"bdlora/data"
	"bdlora/kernels/comm"
	"bdlora/kernels/cpu"
	"bdlora/kernels/kernelstest"
	"bdlora/kernels/ref"
	"bdlora/model"
)

// Law: sequences that are decoded side by side are the sequences alone, in one pass.
func TestDecoderContinuesEachSequenceAlone(t *testing.T) {
	be, m := ref.New[float64](), model.NewRandom(&split, 5)
	cfg := bdlora.DefaultConfig()
	cfg.Rank, cfg.Blocks = 8, 2
	adapter := trainable(t, be, &split, m, cfg)
	d := model.NewDecoder(be, m, adapter, model.DecoderConfig{Sequences: 3, Tokens: 8, PassTokens: 4})

	prompt := []int32{1, 2, 3, 4, 5, 6}
	first, err := d.Begin(context.Background(), prompt)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Fork(3, len(prompt)); err != nil {
		t.Fatal(err)
	}
	sequences := [][]int32{slices.Clone(prompt), slices.Clone(prompt), slices.Clone(prompt)}
	checkLast(t, m, adapter, first, sequences[:1])
	for _, tokens := range [][]int32{{7, 8, 9}, {10, 0, 3}} {
		got, err := d.Step(tokens)
		if err != nil {
			t.Fatal(err)
		}
		for i := range sequences {
			sequences[i] = append(sequences[i], tokens[i])
		}
		checkLast(t, m, adapter, got, sequences)
	}

	if err := d.Fork(2, 4); err != nil { // back to a part of the prompt
		t.Fatal(err)
	}
	got, err := d.Step([]int32{9, 1})
	if err != nil {
		t.Fatal(err)
	}
	checkLast(t, m, adapter, got, [][]int32{{1, 2, 3, 4, 9}, {1, 2, 3, 4, 1}})
}

// checkLast compares logits with those of the last token of each sequence.
func checkLast(t *testing.T, m *model.Model, adapter *model.Trainable, got []float32, sequences [][]int32) {
	t.Helper()
	var want []float32
	for _, tokens := range sequences {
		all, err := model.NewInference(ref.New[float64](), m, adapter, len(tokens)).
			Logits(data.NewBatch(data.Example{Tokens: tokens, Trained: make([]bool, len(tokens))}))
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, all[len(all)-split.Vocab:]...)
	}
	kernelstest.Close(t, got, want, 1e-6, 1e-6)
}

func TestDecoderRefusesWhatItHasNoRoomFor(t *testing.T) {
	d := model.NewDecoder(cpu.New(1), model.NewRandom(&split, 5), nil, model.DecoderConfig{Sequences: 2, Tokens: 3, PassTokens: 3})
	ctx := context.Background()
	for _, prompt := range [][]int32{nil, {1, 2, 3, 4}, {99}} {
		if _, err := d.Begin(ctx, prompt); err == nil {
			t.Errorf("prompt %v: got no error, want one", prompt)
		}
	}
	if _, err := d.Step(nil); err == nil {
		t.Error("no token before a prompt: got no error, want one")
	}
	if _, err := d.Begin(ctx, []int32{1, 2}); err != nil {
		t.Fatal(err)
	}
	for _, fork := range [][2]int{{0, 1}, {3, 1}, {1, 0}, {1, 3}} {
		if err := d.Fork(fork[0], fork[1]); err == nil {
			t.Errorf("%d sequences from %d tokens: got no error, want one", fork[0], fork[1])
		}
	}
	if err := d.Fork(2, 2); err != nil {
		t.Fatal(err)
	}
	for _, tokens := range [][]int32{{1}, {1, 2, 3}, {1, 99}} {
		if _, err := d.Step(tokens); err == nil {
			t.Errorf("%v behind two sequences: got no error, want one", tokens)
		}
	}
	if _, err := d.Step([]int32{1, 2}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Step([]int32{1, 2}); err == nil {
		t.Error("a token behind full sequences: got no error, want one")
	}
}

// An adapter that would have to exchange anything is not for training.
func TestGraphRefusesLoRAInShards(t *testing.T) {
	be, m := ref.New[float64](), model.NewRandom(&split, 5)
	cfg := bdlora.DefaultConfig()
	cfg.Rank, cfg.Blocks = 8, 2
	whole := trainable(t, be, &split, m, cfg)
	whole.Plan.Modules[0].B.Cols *= 2
	_, err := model.NewGraph(be, m, whole, model.GraphConfig{Tokens: 16})
	if err == nil || !strings.Contains(err.Error(), "q_proj: a shard has A [4, 12] and B [8, 8], want a block of each") {
		t.Errorf("error is %v, want one about q_proj", err)
	}
}

// A part is as large as the whole model's, vocabularies that do not divide included.
func TestRandomPartRuns(t *testing.T) {
	for _, procs := range []int{1, 2, 4} {
		together(t, procs, func(group comm.Comm) error {
			m, err := model.NewRandomPart(&split, 5, group)
			if err != nil {
				return err
			}
			down := m.Linear(0, "mlp.down_proj")
			if down.Rows != split.Hidden || down.Cols != split.Intermediate/procs {
				return fmt.Errorf("down_proj is [%d, %d], want its %d inputs", down.Rows, down.Cols, split.Intermediate/procs)
			}
			logits, err := model.NewInference(cpu.New(1), m, nil, 11).Logits(batch)
			if want := len(batch.Tokens) * split.Vocab; err == nil && len(logits) != want {
				return fmt.Errorf("got %d logits, want %d", len(logits), want)
			}
			return err
		})
	}
	if _, err := model.NewRandomPart(&split, 5, comm.Silent(0, 3)); err == nil {
		t.Error("three processes: got no error, want one about heads")
	}
}
