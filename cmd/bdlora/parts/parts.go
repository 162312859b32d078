// Package parts says what the time of a training step went to.
package parts

import (
	"time"

	"bdlora/cmd/bdlora/numbers"
	"bdlora/kernels"
)

// Part is what a part of a training step took.
type Part struct {
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

// Names are those of the parts, in the order of the table.
func Names() [partCount]string {
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

// Sums adds up the calls of a step.
type Sums struct {
	calls  [partCount]int
	times  [partCount]time.Duration
	flops  [partCount]float64
	riding float64 // flops of addends
}

// Add counts a call. head is the name of the head's weight.
func (s *Sums) Add(c kernels.Call, head string) {
	part := partOf(c.Kernel, c.Weight != nil && c.Weight.Name == head)
	s.calls[part]++
	s.times[part] += c.Time
	s.flops[part] += c.Flops
	s.riding += c.AddendFlops
}

// Report is a line a part of a step that took so many seconds.
func (s *Sums) Report(seconds float64) []Part {
	names := Names()
	list, left := make([]Part, partCount), seconds
	for i := range list {
		list[i] = Part{Part: names[i], Calls: s.calls[i], Seconds: s.times[i].Seconds(), GFLOP: s.flops[i] / 1e9}
		left -= list[i].Seconds
		if list[i].GFLOP > 0 {
			list[i].GFLOPs = numbers.PerSecond(list[i].GFLOP, list[i].Seconds)
		}
	}
	list[rest].Seconds += left
	if s.riding > 0 {
		list[adapters].GFLOP += s.riding / 1e9
		list[adapters].GFLOPs = 0
	}
	for i := range list {
		list[i].Share = list[i].Seconds / seconds
	}
	return list
}
