//go:build mpi && (linux || darwin)

package mpi

import "time"

// beatEvery is how often processes tell how far they are, and look at their calls.
func beatEvery(timeout time.Duration) time.Duration {
	return max(time.Millisecond, min(time.Second, timeout/8))
}

// silentAfter is how long one may say nothing before it counts as missing.
func silentAfter(timeout time.Duration) time.Duration { return 4 * beatEvery(timeout) }

// heard is what is known of a process.
type heard struct {
	Progress progress
	Silence  time.Duration // since it said so
}

// missing is who, of the members of a group, keeps a call from ending: those who have
// not begun it and do not wait elsewhere, and those who say nothing. If all who have not
// begun it wait elsewhere it is they. Of process 0's silence nothing else can be known,
// since all comes from it.
func missing(all []heard, of group, call int, members []int, silent time.Duration) []int {
	if all[0].Silence > silent {
		return []int{0}
	}
	var behind, waiting []int
	for _, proc := range members {
		switch h := all[proc]; {
		case h.Silence > silent, h.Progress.Begun[of] < call && !h.Progress.Inside:
			behind = append(behind, proc)
		case h.Progress.Begun[of] < call:
			waiting = append(waiting, proc)
		}
	}
	if behind != nil {
		return behind
	}
	return waiting
}
