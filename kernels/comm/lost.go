package comm

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrPeerLost is the error of a collective that not all processes have come to in time.
// [PeerLost] says which.
var ErrPeerLost = errors.New("a process is lost")

// PeerLost names the processes that did not come to a collective.
type PeerLost struct {
	Missing []Peer // empty if nobody can tell
	Call    string // which collective: "all-reduce (sum) of 1024 float32"
	Waited  time.Duration
	Cause   error // why they are lost, if they have said so
}

// Error names the call and who is missing.
func (e *PeerLost) Error() string {
	missing := make([]string, len(e.Missing))
	for i, p := range e.Missing {
		missing[i] = p.String()
	}
	who := strings.Join(missing, ", ")
	if who == "" {
		who = "a process that nobody can name"
	}
	if e.Cause != nil {
		return fmt.Sprintf("comm: %s: %v: %s has ended the job: %v", e.Call, ErrPeerLost, who, e.Cause)
	}
	return fmt.Sprintf("comm: %s: %v: waited %s for %s", e.Call, ErrPeerLost, e.Waited.Round(time.Millisecond), who)
}

// Unwrap makes it an [ErrPeerLost].
func (e *PeerLost) Unwrap() error { return ErrPeerLost }

// Peer is a process as people know it.
type Peer struct {
	Proc int // in the whole job
	Host string
	PID  int // 0 if it is a goroutine
	// Silence is the time since it was last heard of; 0 if it runs, or nobody can tell.
	Silence time.Duration
}

// String is "process 2 (pid 4711 on node7), silent for 12s".
func (p Peer) String() string {
	switch {
	case p.PID == 0:
		return fmt.Sprintf("process %d", p.Proc)
	case p.Silence == 0:
		return fmt.Sprintf("process %d (pid %d on %s)", p.Proc, p.PID, p.Host)
	}
	return fmt.Sprintf("process %d (pid %d on %s), silent for %v", p.Proc, p.PID, p.Host, p.Silence.Round(time.Second))
}
