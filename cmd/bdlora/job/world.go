package job

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/shirou/gopsutil/v4/cpu"

	"bdlora/cmd/bdlora/machine"
	"bdlora/kernels/comm"
)

// World is all processes of a job.
type World struct {
	comm.Comm
	Place     Place
	Library   comm.Library // of a job of more than one
	Processes []Process
}

// Process is a process of a job, as it sees itself.
type Process struct {
	Host      string
	HostCores int // of the host, whoever may use them
	PID       int
	Cores     machine.Cores // that it may run on
	Usable    int           // how many of them at a time
	Threads   int           // that it computes on, where nothing else is said
}

// Options are those of a job's exchanges.
type Options struct {
	Library string          // file of the MPI library; empty is the launcher's
	Timeout time.Duration   // longest exchange
	Lost    func(err error) // called when one took longer, which does not return then
}

// ErrOtherSize is a job of another number of processes than its settings ask for.
var ErrOtherSize = errors.New("one for each place of tensor_parallel_size × data_parallel_size")

// ErrWithoutMPI is what this program says of many processes without -tags mpi.
var ErrWithoutMPI = errors.New("this bdlora is built without MPI, want one with it")

// Join joins the processes that the launcher has started, of which there have to be
// procs, or is this process alone if that is 1. Its errors are those of all processes.
func (p Place) Join(procs int, o Options) (*World, error) {
	w := &World{Place: p}
	if p.Procs != procs {
		return nil, p.Shared(fmt.Errorf("number of processes is %d, want %d: %w", p.Procs, procs, ErrOtherSize))
	}
	if procs == 1 {
		w.Comm = comm.Alone()
		return w, w.introduce()
	}
	options := p.options(o.Library)
	options.Timeout, options.Lost = o.Timeout, o.Lost
	group, err := openProcs(options)
	if err != nil {
		return nil, p.Shared(err)
	}
	w.Comm, w.Library = group, group.Library()
	return w, w.introduce()
}

// FindLibrary is the MPI library that Join would take.
func (p Place) FindLibrary(file string) (comm.Library, error) { return findLibrary(p.options(file)) }

func (p Place) options(library string) comm.Options {
	return comm.Options{Library: library, Launcher: p.Kind, Procs: p.Procs}
}

// joined is a group of processes that knows what carries its calls.
type joined interface {
	comm.Comm
	Library() comm.Library
}

// introduce makes the processes known to each other.
func (w *World) introduce() (err error) {
	me := Process{PID: os.Getpid(), Cores: machine.BoundCores()}
	me.Usable = min(len(me.Cores), runtime.GOMAXPROCS(0)) // which knows of a container's limit
	if me.Host, err = os.Hostname(); err != nil {
		return err
	}
	if me.HostCores, err = cpu.Counts(true); err != nil {
		return err
	}
	if w.Processes, err = Gather(w, me); err != nil {
		return err
	}
	for i := range w.Processes {
		p := &w.Processes[i]
		sharing := 0
		for _, other := range w.Processes {
			if other.Host == p.Host && p.Cores.Overlap(other.Cores) {
				sharing++
			}
		}
		p.Threads = shareOfCores(p.Usable, sharing, w.Place.CPUs)
	}
	return nil
}

// shareOfCores is how many threads a process computes on that may use so many cores,
// where so many processes may, itself included. The launcher gives cpus to each; 0 is
// no limit.
func shareOfCores(usable, sharing, cpus int) int {
	threads := usable / sharing
	if cpus > 0 {
		threads = min(threads, cpus)
	}
	return max(threads, 1)
}
