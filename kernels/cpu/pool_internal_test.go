package cpu

import (
	"runtime"
	"testing"
)

// Law: every unit of every job runs once, and is done when the job is. One job follows
// the other, so that threads come late to the first and early to the second; the race
// detector looks on.
func TestEveryUnitRunsOnce(t *testing.T) {
	p := newPool(4, generic().pause)
	defer p.close()
	for job := range 3000 {
		ran := make([]int, 2+job%7)
		p.each(len(ran), func(_ *worker, unit int) {
			runtime.Gosched() // so that others get some
			ran[unit]++
		})
		for unit, times := range ran {
			if times != 1 {
				t.Fatalf("job %d: unit %d of %d ran %d times, want once", job, unit, len(ran), times)
			}
		}
	}
}
