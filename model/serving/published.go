package serving

import (
	"math"

	"bdlora/model"
)

// A100 is an NVIDIA A100 of 80 GB at the rates of its data sheet: 2.0 TB/s of memory,
// 312 TFLOP/s in bfloat16. Real kernels reach less of both. An adapter's product takes
// 5 µs beside them, the lower of the 5 to 10 µs for which a GPU waits between the two
// products of an adapter in vLLM (vllm-project/vllm#38432).
func A100() Machine {
	return Machine{Name: "A100", ReadRate: 2.0e12, FlopRate: 312e12, Product: 5e-6}
}

// Links are the links between GPUs, and between machines, for which somebody has
// published what collectives take.
//
//	nvlink  8 GPUs of a node. 200 GB/s a GPU: all-reduce of nccl-tests on 8 A100
//	        (NVIDIA/nccl-tests#149). An all-reduce of a few KB takes 10 µs, vLLM's own on
//	        8 H100 (sgl-project/sglang#2904). An all-gather goes through NCCL, whose
//	        all-reduce of as much takes 16 µs on 8 H20 (deepseek-ai/DeepEP#303). A100 are
//	        somewhat slower than either.
//	pcie    the same without NVLink. 20 GB/s between A100 that have but PCIe between
//	        them (NVIDIA/nccl-tests#178), 43 µs for little among 8 RTX 4090
//	        (NVIDIA/nccl#1530).
//	tcp     10 Gbit/s Ethernet at its rate, and 50 µs, what two kernels' TCP may take.
func Links() []Link {
	both := func(name string, line Line) Link { return Link{name, line, line} }
	return []Link{
		{"nvlink", Line{10e-6, 1 / 200e9}, Line{16e-6, 1 / 200e9}},
		both("pcie", Line{43e-6, 1 / 20e9}),
		both("tcp", Line{50e-6, 1 / 1.25e9}),
	}
}

// Claim is a speed-up of BD-LoRA over S-LoRA, end to end on eight A100, that its paper
// reports (arXiv 2510.23346, abstract): "up to" it, in runs whose ranks, batches and
// lengths are in the paper's body.
type Claim struct {
	Shape      string
	RankFactor int     // BD-LoRA's rank, in ranks of S-LoRA
	Params     float64 // BD-LoRA's parameters, in those of S-LoRA
	SpeedUp    float64
}

// UpTo is the least and the most that [PredictRequest] makes of a claim on eight A100
// with that link: for 1 to 64 sequences that share an adapter or have one each, of rank
// 16 or 64 with S-LoRA, 128 new tokens on prompts of 512.
func (c Claim) UpTo(link Link) (least, most float64, err error) {
	config, err := model.Shape(c.Shape)
	if err != nil {
		return 0, 0, err
	}
	least = math.Inf(1)
	for _, sequences := range []int{1, 4, 16, 64} {
		for _, rank := range []int{16, 64} {
			for _, adapters := range []int{1, sequences} {
				plain := Setup{config, 8, SLoRA, config.Linears(), rank, adapters, VLLM()}
				blocks := Setup{config, 8, BDLoRA, config.Linears(), c.RankFactor * rank, adapters, VLLM()}
				r := Request{Sequences: sequences, PromptTokens: 512, NewTokens: 128}
				speedUp := PredictRequest(plain, r, A100(), link).Total() / PredictRequest(blocks, r, A100(), link).Total()
				least, most = math.Min(least, speedUp), math.Max(most, speedUp)
			}
		}
	}
	return least, most, nil
}

// Claims are the four of the abstract.
func Claims() []Claim {
	return []Claim{
		{"llama-3.1-70b", 2, 0.87, 1.79}, {"llama-3.1-70b", 4, 1.74, 1.23},
		{"llama-3.1-8b", 2, 0.86, 1.63}, {"llama-3.1-8b", 4, 1.73, 1.30},
	}
}
