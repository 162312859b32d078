package main

import (
	"time"

	"bdlora/kernels"
)

// stepPart is what a part of a training step took.
type stepPart struct {
	Part    string  `json:"part"`
	Calls   int     `json:"calls"`
	Seconds float64 `json:"seconds"`
	Share   float64 `json:"share"` // of the step
	GFLOP   float64 `json:"gflop"` // that were done; 0 where it makes no sense
	// GFLOPs is 0 without GFLOP, and for adapters of which some ride in the products
	// of the linears, whose time is theirs.
	GFLOPs float64 `json:"gflops"`
}

// The parts of a training step, in the order of the table.
const (
	linearsForward = iota
	linearsBackward
	adapters
	attentionForward
	attentionBackward
	norms
	rope
	swiGLU
	headAndLoss
	optimizer
	copiesAndSums
	rest // Gorgonia, Go
	partCount
)

func partNames() [partCount]string {
	return [partCount]string{
		"linears forward", "linears backward", "adapters", "attention forward", "attention backward", "norms", "rope",
		"swiglu", "head and loss", "optimizer", "copies and sums", "rest",
	}
}

// partOf is the part that a kernel belongs to; head says that its weight is the head's.
func partOf(kernel string, head bool) int {
	switch kernel {
	case "Linear", "LinearBackward":
		switch {
		case head:
			return headAndLoss
		case kernel == "Linear":
			return linearsForward
		}
		return linearsBackward
	case "MatMul", "Dropout":
		return adapters
	case "Attention":
		return attentionForward
	case "AttentionBackward":
		return attentionBackward
	case "RMSNorm", "RMSNormBackward":
		return norms
	case "RoPE":
		return rope
	case "SwiGLU", "SwiGLUBackward":
		return swiGLU
	case "CrossEntropy", "CrossEntropyBackward":
		return headAndLoss
	case "SumSquares", "AdamW":
		return optimizer
	case "Copy", "Add", "Clear", "Scale", "Embed":
		return copiesAndSums
	}
	return rest
}

// parts adds up the calls of a step.
type parts struct {
	calls  [partCount]int
	times  [partCount]time.Duration
	flops  [partCount]float64
	riding float64 // flops of addends
}

// add counts a call. head is the name of the head's weight.
func (p *parts) add(c kernels.Call, head string) {
	part := partOf(c.Kernel, c.Weight != nil && c.Weight.Name == head)
	p.calls[part]++
	p.times[part] += c.Time
	p.flops[part] += c.Flops
	p.riding += c.AddendFlops
}

// report is a line a part of a step that took so many seconds.
func (p *parts) report(seconds float64) []stepPart {
	names := partNames()
	list, left := make([]stepPart, partCount), seconds
	for i := range list {
		list[i] = stepPart{Part: names[i], Calls: p.calls[i], Seconds: p.times[i].Seconds(), GFLOP: p.flops[i] / 1e9}
		left -= list[i].Seconds
		if list[i].GFLOP > 0 {
			list[i].GFLOPs = rateOf(list[i].GFLOP, list[i].Seconds)
		}
	}
	list[rest].Seconds += left
	if p.riding > 0 {
		list[adapters].GFLOP += p.riding / 1e9
		list[adapters].GFLOPs = 0
	}
	for i := range list {
		list[i].Share = list[i].Seconds / seconds
	}
	return list
}
