package bdlora_test

import (
	"testing"

	"bdlora/bdlora"
)

func TestMatchRankIsThatOfPEFT(t *testing.T) {
	for _, tc := range []struct {
		name        string
		model       shape
		targets     []string
		n, lora, bd int
	}{
		{"Llama-3.2-1B, PEFT's notebook", llama1B, all, 2, 64, 96},
		{"Llama-3.2-3B MLP, PEFT's benchmark", llama3B, mlp, 2, 10, 14},
		{"one block", llama8B, all, 1, 16, 16},
		{"SmolLM2-135M", smol, all, 3, 16, 24},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := bdlora.MatchRank(tc.model.base(), tc.targets, tc.n, tc.lora)
			if err != nil || got != tc.bd {
				t.Errorf("got rank %d, %v; want %d", got, err, tc.bd)
			}
		})
	}
}

func TestMatchRankIsTheLargestThatFits(t *testing.T) {
	for _, model := range []shape{tiny, llama1B, llama8B} {
		for _, n := range []int{2, 4} {
			for lora := 3; lora < 40; lora += 4 {
				rank, err := bdlora.MatchRank(model.base(), all, n, lora)
				if err != nil {
					t.Fatal(err)
				}
				limit := mustPlan(t, model.base(), config(lora, 1)).Params()
				if got := mustPlan(t, model.base(), config(rank, n)).Params(); got > limit {
					t.Errorf("n=%d lora=%d: rank %d has %d parameters, want at most %d", n, lora, rank, got, limit)
				}
				if next := mustPlan(t, model.base(), config(rank+n, n)).Params(); next <= limit {
					t.Errorf("n=%d lora=%d: got rank %d, but %d has %d parameters too", n, lora, rank, rank+n, next)
				}
			}
		}
	}
}

func TestMatchRankRefuses(t *testing.T) {
	_, err := bdlora.MatchRank(llama8B.base(), all, 8, 3)
	wantError(t, err, "LoRA of rank 3, want at least rank 4")
	if rank, err := bdlora.MatchRank(llama8B.base(), all, 8, 4); err != nil || rank != 8 {
		t.Errorf("rank 4: got %d, %v; want 8", rank, err)
	}
	_, err = bdlora.MatchRank(smol.base(), []string{"q_poj"}, 2, 8)
	wantError(t, err, `nearest is "q_proj"`, "9 heads")
	_, err = bdlora.MatchRank(smol.base(), nil, 3, 8)
	wantError(t, err, "target_modules: got none")
	_, err = bdlora.MatchRank(smol.base(), all, 0, 8)
	wantError(t, err, "got nblocks 0")
}
