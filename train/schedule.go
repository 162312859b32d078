package train

import "math"

// The shapes of a schedule: the values of lr_scheduler_type.
const (
	ScheduleCosine             = "cosine"               // warm-up, then half a cosine to 0
	ScheduleLinear             = "linear"               // warm-up, then a line to 0
	ScheduleConstant           = "constant"             // no warm-up
	ScheduleConstantWithWarmup = "constant_with_warmup" // warm-up, then the peak
)

// Schedule is the learning rate as a function of the step alone, so that a resumed
// run needs no state for it.
type Schedule struct {
	Type   string  // one of the Schedule names
	Peak   float64 // the rate after warm-up
	Warmup int     // steps of warm-up
	Total  int     // steps of the whole run
}

// Schedule is the schedule of a run of total optimizer steps. Warm-up takes
// WarmupSteps of them, or ⌈total·WarmupRatio⌉ if that is 0.
//
// Source: TrainingArguments.get_warmup_steps of transformers.
func (c Config) Schedule(total int) Schedule {
	warmup := c.WarmupSteps
	if warmup == 0 {
		warmup = int(math.Ceil(float64(total) * c.WarmupRatio))
	}
	return Schedule{Type: c.LRSchedulerType, Peak: c.LearningRate, Warmup: warmup, Total: total}
}

// At is the learning rate of the optimizer step with so many steps done before it:
// 0 for the first one, Total-1 for the last. With w = Warmup,
//
//	done < w   Peak · done/w                            but for constant
//	cosine     Peak · (1 + cos(π·(done-w)/(Total-w)))/2
//	linear     Peak · (Total-done)/(Total-w)
//	constant   Peak
//
// and never below 0. The first step of a warm-up has the rate 0.
//
// Source: optimization.py of transformers. Oracle: testdata/schedule.json.
func (s Schedule) At(done int) float64 {
	return s.Peak * s.factor(float64(done), float64(s.Warmup), float64(s.Total))
}

func (s Schedule) factor(done, warmup, total float64) float64 {
	if s.Type == ScheduleConstant {
		return 1
	}
	if done < warmup {
		return done / warmup
	}
	decaying := max(1, total-warmup) // steps after warm-up
	switch s.Type {
	case ScheduleCosine:
		return max(0, 0.5*(1+math.Cos(math.Pi*((done-warmup)/decaying))))
	case ScheduleLinear:
		return max(0, (total-done)/decaying)
	case ScheduleConstantWithWarmup:
		return 1
	}
	panic("train: schedule of unknown type")
}
