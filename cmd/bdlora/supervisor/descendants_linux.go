package supervisor

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/shirou/gopsutil/v4/process"
	"golang.org/x/sys/unix"
)

// adoptOrphans makes processes whose parent has ended children of this one, where they
// are found whatever process group they are in: mpirun gives each of its own one.
func adoptOrphans() error { return unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }

// descendants are the processes below this one.
func descendants() []int {
	parents := []int32{int32(os.Getpid())}
	var all []int
	for len(parents) > 0 {
		p := process.Process{Pid: parents[0]}
		parents = parents[1:]
		children, err := p.Children()
		if err != nil {
			continue // it has none
		}
		for _, child := range children {
			parents = append(parents, child.Pid)
			all = append(all, int(child.Pid))
		}
	}
	return all
}

// signalTrainings sends sig to processes of bdlora that a launcher keeps in groups of
// their own, and reports whether there are any on this machine. One that stops has all
// of its job stop at the same step and save it; mpirun would give them a second.
func signalTrainings(leader int, sig os.Signal) (any bool) {
	for _, pid := range descendants() {
		name, err := (&process.Process{Pid: int32(pid)}).Name()
		if err != nil || !strings.HasPrefix(name, "bdlora") {
			continue
		}
		if group, err := unix.Getpgid(pid); err == nil && group != leader {
			any = unix.Kill(pid, sig.(syscall.Signal)) == nil || any
		}
	}
	return any
}

func killDescendants() {
	for _, pid := range descendants() {
		_ = unix.Kill(pid, unix.SIGKILL) // it may have ended by now
	}
}

// awaitDescendants returns when there are none, for the next start to find its files
// and locks free.
func awaitDescendants() error {
	const most = time.Minute
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		left := descendants()
		if len(left) == 0 {
			return nil
		}
		if time.Since(began) > most {
			return fmt.Errorf("launch: processes %v: killed %v ago and still there: want them gone before another start", left, most)
		}
		for _, pid := range left {
			_ = unix.Kill(pid, unix.SIGKILL)
			_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil) // not ours yet, or not ended: the next time
		}
	}
}
