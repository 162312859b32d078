package train

import (
	"fmt"
	"slices"
	"strings"

	"bdlora/bdlora"
	"bdlora/data"
	"bdlora/model"
)

// Fit is what a run takes of the memory that there is.
type Fit struct {
	Memory    Memory
	Available int64    // this process's share of [AvailableMemory]; 0 if the system does not say
	Savings   []Saving // what would take less, where not all fits
}

// Slow reports whether the weights do not fit beside all else: they will be read from
// disk again and again. The parts of a tensor-parallel model add up on a machine, while
// replicas read one and the same part: for them it errs on the side of too little.
func (f Fit) Slow() bool { return f.Available > 0 && f.Memory.Total() > f.Available }

// check is an [ErrMemory] if the run takes more memory of its own than there is. The
// system would end it, after hours maybe, where without weights it only waits.
func (f Fit) check() error {
	if f.Available == 0 || f.Memory.Private() <= f.Available {
		return nil
	}
	lines := []string{fmt.Sprintf("the run takes %s beside the weights, want at most the %s that are available",
		gibibytes(f.Memory.Private()), gibibytes(f.Available))}
	for _, s := range f.Savings {
		lines = append(lines, s.String())
	}
	return fmt.Errorf("%w: %s", ErrMemory, strings.Join(lines, "\n  "))
}

// Saving is a change of settings that takes less memory, on top of those before it.
type Saving struct {
	Change string
	Memory Memory // with all changes so far
	config Config
}

// String is the change and what it leads to.
func (s Saving) String() string {
	return fmt.Sprintf("%s: %s, %s with the weights", s.Change, gibibytes(s.Memory.Private()), gibibytes(s.Memory.Total()))
}

// fit measures the run on these rows.
func (t *trainer) fit(plan *bdlora.Plan, rows, evalRows []data.Example) (f Fit, err error) {
	f.Available = availableMemory() / int64(t.grid.Neighbours)
	if f.Memory, err = t.measure(t.cfg, plan, rows, evalRows); err != nil || !f.Slow() {
		return f, err
	}
	f.Savings = t.cfg.savings()
	for i := range f.Savings {
		s := &f.Savings[i]
		if s.Memory, err = t.measure(s.config, plan, rows, evalRows); err != nil {
			return f, err
		}
	}
	return f, nil
}

// measure is what the run would take under other settings.
func (t *trainer) measure(c Config, plan *bdlora.Plan, rows, evalRows []data.Example) (Memory, error) {
	l, err := c.layout(shortened(rows, c.MaxLength), shortened(evalRows, c.MaxLength))
	if err != nil {
		return Memory{}, err
	}
	t.model.HoldAs(model.BaseDtype(c.BaseDtype))
	defer t.model.HoldAs(model.BaseDtype(t.cfg.BaseDtype))
	return MeasureMemory(t.be, t.model, plan, l.graphConfig(c), l.text, t.grid.World.Procs()), nil
}

// savings are the changes that a run could make, one after another, the least harmful
// first.
func (c Config) savings() []Saving {
	var list []Saving
	and := "with"
	add := func(format string, args ...any) {
		list = append(list, Saving{Change: and + " " + fmt.Sprintf(format, args...), config: c})
		and = "and"
	}
	if !c.GradientCheckpointing {
		c.GradientCheckpointing = true
		add("gradient_checkpointing=true")
	}
	if c.Evaluates() && c.PerDeviceEvalBatchSize > 1 {
		c.PerDeviceEvalBatchSize = 1
		add("per_device_eval_batch_size=1")
	}
	if c.PerDeviceTrainBatchSize > 1 {
		c.GradientAccumulationSteps *= c.PerDeviceTrainBatchSize
		c.PerDeviceTrainBatchSize = 1
		add("per_device_train_batch_size=1 gradient_accumulation_steps=%d", c.GradientAccumulationSteps)
	}
	if c.BaseDtype == string(model.BaseAuto) {
		c.BaseDtype = string(model.BaseNF4)
		add("base_dtype=%s", c.BaseDtype)
	}
	if c.MaxLength > 1 {
		c.MaxLength /= 2
		add("max_length=%d", c.MaxLength)
	}
	return list
}

// shortened are the examples as truncating them would leave them.
func shortened(examples []data.Example, maxLength int) []data.Example {
	short := slices.Clone(examples)
	for i := range short {
		if e := &short[i]; len(e.Tokens) > maxLength {
			e.Tokens, e.Trained = e.Tokens[:maxLength], e.Trained[:maxLength]
		}
	}
	return short
}

func gibibytes(bytes int64) string { return fmt.Sprintf("%.2f GiB", float64(bytes)/(1<<30)) }
