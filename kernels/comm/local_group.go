package comm

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// localJob is what all groups that were split from one another share.
type localJob struct {
	sync.Mutex
	timeout time.Duration
	closed  []bool        // the processes that make no more calls
	failed  *PeerLost     // why nobody does
	changed chan struct{} // closed, and made anew, when one of the two has changed
}

func newLocalJob(procs int, timeout time.Duration) *localJob {
	return &localJob{timeout: timeout, closed: make([]bool, procs), changed: make(chan struct{})}
}

// leave says that a process will make no more calls.
func (j *localJob) leave(proc int) {
	j.Lock()
	defer j.Unlock()
	j.closed[proc] = true
	j.tell()
}

// fail ends the job.
func (j *localJob) fail(err *PeerLost) {
	j.Lock()
	defer j.Unlock()
	j.failed = cmp.Or(j.failed, err)
	j.tell()
}

// tell wakes those that wait.
func (j *localJob) tell() {
	close(j.changed)
	j.changed = make(chan struct{})
}

// localGroup is processes that meet, once a call.
type localGroup struct {
	*localJob
	members []int // their places in the job
	now     *meeting
}

func newLocalGroup(job *localJob, members []int) *localGroup {
	return &localGroup{job, members, newMeeting(len(members))}
}

// meeting is one call of all members.
type meeting struct {
	calls []*localCall // nil of those who have not come
	done  chan struct{}
	err   error // for all; set before done is closed
}

func newMeeting(procs int) *meeting {
	return &meeting{calls: make([]*localCall, procs), done: make(chan struct{})}
}

// meet waits until all members have come with their calls. The last one carries them
// out for all.
func (g *localGroup) meet(proc int, call *localCall) error {
	began := time.Now()
	limit := time.NewTimer(g.timeout)
	defer limit.Stop()
	g.Lock()
	defer g.Unlock()
	m := g.now
	m.calls[proc] = call
	if g.failed == nil && !slices.Contains(m.calls, nil) {
		g.now = newMeeting(len(g.members))
		m.err = g.all(m.calls)
		close(m.done)
		return m.err
	}
	late := false
	for g.now == m {
		if err := g.loss(m, call, time.Since(began), late); err != nil {
			return err
		}
		late = g.wait(m, limit)
	}
	return m.err
}

// wait lets go of the group until something happens, or the time is over.
func (g *localGroup) wait(m *meeting, limit *time.Timer) (late bool) {
	changed := g.changed
	g.Unlock()
	defer g.Lock()
	select {
	case <-m.done:
	case <-changed:
	case <-limit.C:
		late = true
	}
	return late
}

// loss is the error of a call that will not be carried out: nil if it still may be.
func (g *localGroup) loss(m *meeting, call *localCall, waited time.Duration, late bool) error {
	lost := PeerLost{Call: call.String(), Waited: waited}
	for i, proc := range g.members {
		if m.calls[i] == nil && (late || g.closed[proc]) {
			lost.Missing = append(lost.Missing, Peer{Proc: proc})
		}
	}
	switch {
	case g.failed != nil:
		lost.Missing, lost.Cause = g.failed.Missing, g.failed.Cause
	case late:
		g.failed = &lost
		g.tell()
	case len(lost.Missing) > 0:
		lost.Cause = errors.New("it has called Close")
	default:
		return nil
	}
	return &lost
}

// all carries out what all members have come with.
func (g *localGroup) all(calls []*localCall) error {
	for proc, call := range calls {
		if first := calls[0]; call.split != first.split || !call.Fits(first.Call) {
			return fmt.Errorf("comm: calls differ: process %d makes %s, process %d %s",
				g.members[0], first, g.members[proc], call)
		}
	}
	if calls[0].split {
		g.split(calls)
	} else {
		carryOut(calls)
	}
	return nil
}

// split deals the members out to new groups.
func (g *localGroup) split(calls []*localCall) {
	byKey := make([]int, len(calls))
	for proc := range byKey {
		byKey[proc] = proc
	}
	slices.SortStableFunc(byKey, func(a, b int) int { return cmp.Compare(calls[a].key, calls[b].key) })
	members := map[int][]int{}
	for _, proc := range byKey {
		call := calls[proc]
		call.part = &local{proc: len(members[call.color])}
		members[call.color] = append(members[call.color], g.members[proc])
	}
	groups := map[int]*localGroup{}
	for _, call := range calls {
		if groups[call.color] == nil {
			groups[call.color] = newLocalGroup(g.localJob, members[call.color])
		}
		call.part.group = groups[call.color]
	}
}
