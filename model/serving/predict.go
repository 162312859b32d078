package serving

import (
	"math"

	"bdlora/kernels/comm"
)

// Line is the time of a collective: Latency + Bytes on the wire · PerByte, in seconds.
type Line struct {
	Latency float64 `json:"latency_seconds"`
	PerByte float64 `json:"seconds_per_byte"`
}

// Seconds is the time of one collective of so many bytes on the wire.
func (l Line) Seconds(bytes float64) float64 { return l.Latency + l.PerByte*bytes }

// Link is what joins the processes.
type Link struct {
	Name      string `json:"name"`
	AllReduce Line   `json:"all_reduce"`
	AllGather Line   `json:"all_gather"`
}

// of is the line of a kind of collective.
func (l Link) of(kind comm.Collective) Line {
	if kind == comm.AllGather {
		return l.AllGather
	}
	return l.AllReduce
}

// Machine is what a shard computes on.
type Machine struct {
	Name     string  `json:"name"`
	ReadRate float64 `json:"read_bytes_per_second"`
	FlopRate float64 `json:"flops_per_second"`
	Product  float64 `json:"seconds_per_adapter_product"` // on top of its bytes and operations
}

// Seconds is the time of some work: that of reading or that of computing, whichever is
// longer, and that of starting the adapter's products.
func (m Machine) Seconds(w Work) float64 {
	return math.Max(w.Bytes/m.ReadRate, w.Flops/m.FlopRate) + m.Product*float64(w.Products)
}

// Times are the parts of a step, in seconds.
type Times struct {
	Compute float64 `json:"compute_seconds"`
	Base    float64 `json:"base_seconds"`    // in the base model's collectives
	Adapter float64 `json:"adapter_seconds"` // in the adapter's
}

// Total is the whole step.
func (t Times) Total() float64 { return t.Compute + t.Base + t.Adapter }

// Plus is the sum, part by part, with o so many times.
func (t Times) Plus(o Times, times int) Times {
	n := float64(times)
	return Times{t.Compute + n*o.Compute, t.Base + n*o.Base, t.Adapter + n*o.Adapter}
}

// Predict is how long a step takes if nothing overlaps: the adapter's collectives stand
// between two products that depend on each other.
func Predict(s Setup, step Step, m Machine, l Link) Times {
	t := Times{Compute: m.Seconds(s.Work(step))}
	for _, call := range s.Calls(step) {
		seconds := float64(call.Count) * l.of(call.Kind).Seconds(call.WireBytes(s.Shards))
		if call.Why == comm.Adapter {
			t.Adapter += seconds
		} else {
			t.Base += seconds
		}
	}
	return t
}

// Request is a batch of sequences from prompt to last token.
type Request struct {
	Sequences, PromptTokens, NewTokens int
}

// PredictRequest is how long a Request takes: the prompts in one step, and every new
// token behind the first in one more, at the length that is halfway.
func PredictRequest(s Setup, r Request, m Machine, l Link) Times {
	prompt := Predict(s, Step{Sequences: r.Sequences, Tokens: r.PromptTokens}, m, l)
	token := Predict(s, Step{Sequences: r.Sequences, Tokens: 1, Past: r.PromptTokens + r.NewTokens/2}, m, l)
	return prompt.Plus(token, r.NewTokens-1)
}
