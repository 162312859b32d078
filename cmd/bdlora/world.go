package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"github.com/shirou/gopsutil/v4/cpu"

	"bdlora/cmd/bdlora/machine"
	"bdlora/kernels/comm"
	"bdlora/train"
)

// mpiLibraryVariable names the MPI library to load, where no flag does.
const mpiLibraryVariable = "BDLORA_MPI_LIB"

// joined is a group of processes that knows who they are and what carries its calls.
type joined interface {
	comm.Comm
	Library() comm.Library
	Peers() []comm.Peer
}

// member is a process of a job, as it sees itself.
type member struct {
	Host      string
	HostCores int // of the host, whoever may use them
	PID       int
	Cores     []int // that it may run on
	Usable    int   // how many of them at a time
	Threads   int   // that it computes on, where nothing else is said
}

// world is all processes of a job.
type world struct {
	comm.Comm
	place     place
	library   comm.Library // of a job of more than one
	processes []member
}

// openWorld joins the processes that the launcher has started, of which there have to
// be procs, or is this process alone if that is 1. A collective that lasts longer than
// timeout ends the process with exitLost, after it has said on stderr who is missing.
func openWorld(procs int, timeout time.Duration, library string, stderr io.Writer) (*world, error) {
	w := &world{place: placeFrom(os.Getenv)}
	if started := w.place.procs; started != procs {
		return nil, w.place.other(fmt.Errorf("number of processes is %d, want %d: %w", started, procs, errOtherWorld))
	}
	if procs == 1 {
		w.Comm = comm.Alone()
		return w, w.introduce()
	}
	options := w.place.options(library)
	options.Timeout = timeout
	options.Lost = func(err error) {
		fmt.Fprintln(stderr, "bdlora:", err)
		os.Exit(exitLost)
	}
	group, err := openProcs(options)
	if err != nil {
		return nil, w.place.other(err)
	}
	w.Comm, w.library = group, group.Library()
	return w, w.introduce()
}

// errOtherWorld is a job of another number of processes than its settings ask for.
var errOtherWorld = errors.New("one for each place of tensor_parallel_size × data_parallel_size")

// errWithoutMPI is what this program says of many processes without -tags mpi.
var errWithoutMPI = errors.New("this bdlora is built without MPI, want one with it")

// options are those of a group at this place.
func (p place) options(library string) comm.Options {
	if library == "" {
		library = os.Getenv(mpiLibraryVariable)
	}
	return comm.Options{Library: library, Launcher: p.kind, Procs: p.procs}
}

// introduce makes the processes known to each other.
func (w *world) introduce() (err error) {
	me := member{PID: os.Getpid(), Cores: machine.BoundCores()}
	me.Usable = min(len(me.Cores), runtime.GOMAXPROCS(0)) // which knows of a container's limit
	if me.Host, err = os.Hostname(); err != nil {
		return err
	}
	if me.HostCores, err = cpu.Counts(true); err != nil {
		return err
	}
	if w.processes, err = gather(w, me); err != nil {
		return err
	}
	for i := range w.processes {
		p := &w.processes[i]
		sharing := 0
		for _, other := range w.processes {
			if other.Host == p.Host && overlap(other.Cores, p.Cores) {
				sharing++
			}
		}
		p.Threads = shareOfCores(p.Usable, sharing, w.place.cpus)
	}
	return nil
}

// gather is what every process says, in their order.
func gather[T any](c comm.Comm, mine T) ([]T, error) {
	text, err := json.Marshal(mine)
	if err != nil {
		return nil, err
	}
	longest := []float64{float64(len(text))}
	if err := c.AllReduce(comm.Control, comm.Max, longest); err != nil {
		return nil, err
	}
	room := int(longest[0])
	text = append(text, bytes.Repeat([]byte(" "), room-len(text))...)
	texts := make([]byte, room*c.Procs())
	if err := c.AllGather(comm.Control, texts, text); err != nil {
		return nil, err
	}
	all := make([]T, c.Procs())
	for proc := range all {
		if err := json.Unmarshal(texts[proc*room:(proc+1)*room], &all[proc]); err != nil {
			return nil, fmt.Errorf("process %d: %w", proc, err)
		}
	}
	return all, nil
}

// oneVoice is an error that all processes of a job have, and that process 0 alone says.
type oneVoice struct {
	error
	proc int
}

func (e oneVoice) Unwrap() error { return e.error }

// other is an error that other processes have, too.
func (p place) other(err error) error { return oneVoice{err, p.proc} }

// leave ends this process's part in a job. Of an error that it alone has met it tells
// nobody: when it ends without having left, the launcher ends the others.
func (w *world) leave(err error) error {
	if err == nil {
		return w.Close()
	}
	if !errors.As(err, new(*train.SharedError)) {
		return err
	}
	return w.place.other(errors.Join(err, w.Close()))
}

// waitForFirst gives process 0 the time to say the same, after which the launcher ends the
// others. It says what all have met before they have joined, such as a wrong setting.
func waitForFirst() {
	if placeFrom(os.Getenv).proc > 0 {
		time.Sleep(time.Second)
	}
}

// said reports whether another process says the error. It waits a little then, since
// the launcher may end that one as soon as this one has ended.
func said(err error) bool {
	var voice oneVoice
	if !errors.As(err, &voice) || voice.proc == 0 {
		return false
	}
	time.Sleep(time.Second)
	return true
}
