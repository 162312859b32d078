package train_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"testing"

	"bdlora/train"
)

type scheduleGolden struct {
	Cases []struct {
		Type        string
		Total       int
		Warmup      float64 // below 1 a ratio, else steps
		WarmupSteps int     `json:"warmup_steps"`
		Peak        float64
		Rates       []float64
	}
}

func TestScheduleIsThatOfTransformers(t *testing.T) {
	text, err := os.ReadFile("testdata/schedule.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden scheduleGolden
	if err := json.Unmarshal(text, &golden); err != nil {
		t.Fatal(err)
	}
	for _, c := range golden.Cases {
		t.Run(fmt.Sprintf("%s/total=%d/warmup=%g", c.Type, c.Total, c.Warmup), func(t *testing.T) {
			cfg := train.DefaultConfig()
			cfg.LRSchedulerType, cfg.LearningRate = c.Type, c.Peak
			if c.Warmup < 1 {
				cfg.WarmupRatio = c.Warmup
			} else {
				cfg.WarmupSteps = int(c.Warmup)
			}
			s := cfg.Schedule(c.Total)
			if s.Warmup != c.WarmupSteps {
				t.Errorf("got %d steps of warm-up, want %d", s.Warmup, c.WarmupSteps)
			}
			for done, want := range c.Rates {
				// One rounding of the cosine, and one of the product.
				if got := s.At(done); math.Abs(got-want) > 4e-16*c.Peak {
					t.Errorf("step %d: got %v, want %v", done, got, want)
				}
			}
		})
	}
}

// A run of Total steps never gets there, but one step more would have no rate left.
func TestScheduleEndsAtZero(t *testing.T) {
	for _, kind := range []string{train.ScheduleCosine, train.ScheduleLinear} {
		s := train.Schedule{Type: kind, Peak: 1, Warmup: 2, Total: 10}
		if got := s.At(9); got <= 0 {
			t.Errorf("%s: last step: got %v, want more than 0", kind, got)
		}
		if got := s.At(10); got != 0 {
			t.Errorf("%s: after it: got %v, want 0", kind, got)
		}
	}
}
