//go:build mpi && (linux || darwin)

package mpi

import (
	"fmt"
	"hash/fnv"
	"maps"
	"sync"
	"time"

	"bdlora/kernels/comm"
)

// group names a communicator, alike on all its members.
type group uint64

// part is the group of those that named color in its splits-th split.
func (g group) part(splits, color int) group {
	hash := fnv.New64a()
	fmt.Fprint(hash, uint64(g), splits, color)
	return group(hash.Sum64())
}

// step is a call that is not one of package comm.
type step string

func (s step) String() string { return string(s) }

// watch is the watchdog: it sees each call begin and end, and tells when one lasts too
// long. A call cannot be taken back, so that is the end of the process.
type watch struct {
	timeout time.Duration
	lost    func(error)
	missing func(of group, call int, members []int) []comm.Peer // of whom a call waits for
	stop    chan struct{}

	sync.Mutex
	progress progress
	group    group
	members  []int
	call     fmt.Stringer
	since    time.Time
}

// progress is how far a process has come.
type progress struct {
	Begun  map[group]int // calls, of each group
	Inside bool          // of one that has not ended
}

// begin and end enclose each call.
func (w *watch) begin(of group, members []int, call fmt.Stringer) {
	w.Lock()
	defer w.Unlock()
	w.progress.Begun[of]++
	w.progress.Inside = true
	w.group, w.members, w.call, w.since = of, members, call, time.Now()
}

func (w *watch) end() {
	w.Lock()
	defer w.Unlock()
	w.progress.Inside, w.call = false, nil // and lets go of its buffers
}

// now is the progress so far.
func (w *watch) now() progress {
	w.Lock()
	defer w.Unlock()
	return progress{maps.Clone(w.progress.Begun), w.progress.Inside}
}

// run looks after the calls until the watch is stopped, or has told of one.
func (w *watch) run() {
	every := beatEvery(w.timeout) / 2
	tick := time.NewTicker(every)
	defer tick.Stop()
	for last := time.Now(); ; {
		select {
		case <-w.stop:
			return
		case <-tick.C:
		}
		looked := last
		last = time.Now()
		if stopped := last.Sub(looked) - 2*every; stopped > 0 {
			w.pardon(stopped)
		}
		if err := w.late(); err != nil {
			w.lost(err)
			return
		}
	}
}

// pardon takes time in which the process was stopped off that of the call under way:
// schedulers suspend whole jobs, and nobody has waited meanwhile.
func (w *watch) pardon(stopped time.Duration) {
	w.Lock()
	defer w.Unlock()
	w.since = w.since.Add(stopped)
}

// late is the error of the call under way: nil if there is none or it has time left.
func (w *watch) late() error {
	w.Lock()
	waited, of, members, call := time.Since(w.since), w.group, w.members, w.call
	number, late := w.progress.Begun[of], w.progress.Inside && waited >= w.timeout
	w.Unlock()
	if !late {
		return nil
	}
	return &comm.PeerLost{Missing: w.missing(of, number, members), Call: call.String(), Waited: waited}
}
