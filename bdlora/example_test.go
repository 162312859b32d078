package bdlora_test

import (
	"fmt"

	"bdlora/bdlora"
)

// An adapter for Llama-3.1-8B, to be served by 8 tensor-parallel ranks, with at most
// as many parameters as LoRA of rank 16.
func ExampleNewPlan() {
	base := llama8B.base()
	c := bdlora.DefaultConfig()
	c.Blocks = 8
	rank, err := bdlora.MatchRank(base, c.Targets, c.Blocks, 16)
	if err != nil {
		fmt.Println(err)
		return
	}
	c.Rank = rank
	plan, err := bdlora.NewPlan(base, c)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(plan)
	for _, row := range plan.Table() {
		fmt.Printf("%-16s %-6s A %v B %v, %.3f of LoRA\n", row.Linear.Name, row.Linear.Parallel, row.A, row.B, row.Ratio())
	}
	// Output:
	// rank 32 in 8 blocks on 224 linears, alpha 128, 36175872 parameters
	// self_attn.q_proj column A [4 4096] B [512 4], 0.562 of LoRA
	// self_attn.k_proj column A [4 4096] B [128 4], 0.825 of LoRA
	// self_attn.v_proj column A [4 4096] B [128 4], 0.825 of LoRA
	// self_attn.o_proj row    A [4 512] B [4096 4], 0.562 of LoRA
	// mlp.gate_proj    column A [4 4096] B [1792 4], 0.319 of LoRA
	// mlp.up_proj      column A [4 4096] B [1792 4], 0.319 of LoRA
	// mlp.down_proj    row    A [4 1792] B [4096 4], 0.319 of LoRA
}
