package train

import (
	"bdlora/bdlora"
	"bdlora/data"
	"bdlora/kernels"
	"bdlora/model"
)

// Memory is what a process of a run takes at its peak, in bytes.
type Memory struct {
	model.Memory
	Saving  int64 // the adapter's copy that is written, and those of the moments meanwhile
	Rows    int64 // the examples
	Program int64 // code, runtime and garbage
}

// Total is the sum: what is resident if there is room for it.
func (m Memory) Total() int64 { return m.Memory.Total() + m.Saving + m.Rows + m.Program }

// Private is what there must be room for: all but the weights, which the system may
// drop and read from their files again.
func (m Memory) Private() int64 { return m.Total() - m.Weights }

// GarbagePercent is how much garbage a run lets pile up before it is collected, of
// what lives on the heap.
const GarbagePercent = 5

const (
	programBytes = 24 << 20 // resident before the first step
	tokenBytes   = 5        // of an example: the token, and whether it is trained

	// exchangeBytes is what an MPI library takes in one of a few processes, by Open MPI 4.1.
	exchangeBytes = 16 << 20
)

// Text is how many tokens examples have.
type Text struct {
	Tokens    int // in all
	Different int
}

// MeasureMemory says what a run would take whose graph is that of c, on such examples: of
// a model that has joined a group, what this one of procs processes would.
func MeasureMemory(be kernels.Backend, m *model.Model, plan *bdlora.Plan, c model.GraphConfig, text Text, procs int) Memory {
	memory := Memory{Memory: model.MeasureMemory(be, m, plan, c), Rows: tokenBytes * int64(text.Tokens)}
	memory.Weights = m.ReadBytes(text.Different)
	const copies, float32Bytes = 3, 4 // of the adapter and of its two moments
	parts := int64(m.Group().Procs())
	memory.Saving = copies * float32Bytes * plan.Params() / parts
	if parts > 1 && m.Group().Proc() == 0 {
		memory.Saving += float32Bytes * plan.Params() // the whole adapter, for PEFT's files
	}
	memory.Program = programBytes + memory.Private()*GarbagePercent/100
	if procs > 1 {
		memory.Program += exchangeBytes
	}
	return memory
}

// layout is how the rows of a run become micro-batches.
type layout struct {
	train *data.Sampler
	eval  *data.Sampler // nil without evaluation
	steps int           // of the whole run
	text  Text          // of all rows
}

func (c Config) layout(rows, evalRows []data.Example) (l layout, err error) {
	if l.train, err = data.NewSampler(rows, c.sampler()); err != nil {
		return l, err
	}
	if l.steps = c.MaxSteps; l.steps <= 0 {
		l.steps = l.train.Steps(c.NumTrainEpochs)
	}
	l.text = textOf(rows, evalRows)
	if c.Evaluates() {
		l.eval, err = evalSampler(evalRows, c.PerDeviceEvalBatchSize)
	}
	return l, err
}

func textOf(sets ...[]data.Example) Text {
	var text Text
	seen := map[int32]bool{}
	for _, examples := range sets {
		for i := range examples {
			text.Tokens += len(examples[i].Tokens)
			for _, token := range examples[i].Tokens {
				seen[token] = true
			}
		}
	}
	text.Different = len(seen)
	return text
}

// graphConfig has room for the largest micro-batch that there will be.
func (l layout) graphConfig(c Config) model.GraphConfig {
	g := model.GraphConfig{
		Tokens: l.train.MostTokens(l.steps), Dropout: c.LoraDropout, Recompute: c.GradientCheckpointing,
	}
	if l.eval != nil {
		g.EvalTokens = l.eval.MostTokensInOrder()
	}
	return g
}
