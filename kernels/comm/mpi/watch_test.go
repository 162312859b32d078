//go:build mpi && (linux || darwin)

package mpi

import (
	"slices"
	"testing"
	"time"

	"bdlora/kernels/comm"
)

func TestMissingAreThoseWhoKeepACallFromEnding(t *testing.T) {
	const world, row, call, silent = group(0), group(7), 5, time.Second
	at := func(world, row int, inside bool, silence time.Duration) heard {
		return heard{progress{map[group]int{0: world, 7: row}, inside}, silence}
	}
	there, behind, elsewhere := at(5, 0, true, 0), at(4, 0, false, 0), at(4, 3, true, 0)
	for name, c := range map[string]struct {
		all  []heard
		want []int
	}{
		"one has not begun":                     {[]heard{there, behind, there}, []int{1}},
		"two have not":                          {[]heard{behind, there, behind}, []int{0, 2}},
		"one waits for the one that has not":    {[]heard{there, behind, elsewhere}, []int{1}},
		"all wait for each other":               {[]heard{there, there, elsewhere}, []int{2}},
		"one has begun, and says nothing since": {[]heard{there, there, at(5, 0, true, 2*silent)}, []int{2}},
		"one has said nothing at all":           {[]heard{there, {Silence: 2 * silent}, there}, []int{1}},
		"process 0 is silent, so all seem to be": {[]heard{at(5, 0, true, 2*silent), at(5, 0, true, 2*silent), there},
			[]int{0}},
		"all have begun, and speak": {[]heard{there, there, there}, nil},
	} {
		if got := missing(c.all, world, call, []int{0, 1, 2}, silent); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
	if got := missing([]heard{there, behind, behind}, world, call, []int{0, 2}, silent); !slices.Equal(got, []int{2}) {
		t.Errorf("a group without process 1: got %v, want 2 alone", got)
	}
	if got := missing([]heard{elsewhere, elsewhere, behind}, row, 3, []int{0, 1}, silent); got != nil {
		t.Errorf("another group: got %v, want nobody", got)
	}
}

// A call costs microseconds; the watchdog has to cost less than one.
func BenchmarkWatch(b *testing.B) {
	w := watch{progress: progress{Begun: map[group]int{}}}
	call := comm.Call{Kind: comm.AllReduce, Type: comm.Float32, Len: 1000, Dst: make([]float32, 1000)}
	members := []int{0, 1}
	for b.Loop() {
		w.begin(0, members, call)
		w.end()
	}
}
