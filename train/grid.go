package train

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"bdlora/kernels/comm"
)

// Grid is a process's place among the processes that train one adapter:
// tensor_parallel_size of them make up a replica, and hold its model and its shards
// together, and data_parallel_size replicas do the same thing to other micro-batches.
//
//	process = replica · tensor_parallel_size + part
type Grid struct {
	World  comm.Comm // all processes
	Tensor comm.Comm // those of this replica, by part
	Data   comm.Comm // those that hold the same part, by replica

	Part, Replica int
	// Neighbours are the processes on this machine, this one included.
	Neighbours int
}

// NewGrid makes the grid of all processes of world. It is an error that is [ErrGrid]
// if there are more or fewer of them than such a grid has.
func NewGrid(world comm.Comm, tensorParallelSize, dataParallelSize int) (*Grid, error) {
	if err := checkGrid(world.Procs(), tensorParallelSize, dataParallelSize); err != nil {
		return nil, err
	}
	g := &Grid{World: world, Part: world.Proc() % tensorParallelSize, Replica: world.Proc() / tensorParallelSize}
	var errTensor, errData error
	g.Tensor, errTensor = world.Split(g.Replica, g.Part)
	g.Data, errData = world.Split(g.Part, g.Replica)
	if err := errors.Join(errTensor, errData); err != nil {
		return nil, err
	}
	return g, g.countNeighbours()
}

// countNeighbours asks all processes for the names of their machines.
func (g *Grid) countNeighbours() error {
	mine, err := os.Hostname()
	if err := g.agree(err); err != nil {
		return err
	}
	names, err := gather(g.World, mine)
	for _, name := range names {
		if name == mine {
			g.Neighbours++
		}
	}
	return err
}

// checkGrid compares the number of processes with what the settings ask for.
func checkGrid(procs, tensorParallelSize, dataParallelSize int) error {
	if want := tensorParallelSize * dataParallelSize; procs != want {
		return fmt.Errorf("tensor_parallel_size %d × data_parallel_size %d: %w: got %d, want %d",
			tensorParallelSize, dataParallelSize, ErrGrid, procs, want)
	}
	return nil
}

// oneProcess is the grid of a process on its own.
func oneProcess() *Grid {
	alone := comm.Alone()
	return &Grid{World: alone, Tensor: alone, Data: alone, Neighbours: 1}
}

// first reports whether this is the process that speaks for all: it writes the log, and
// what the others do not hold a part of.
func (g *Grid) first() bool { return g.World.Proc() == 0 }

// shards is the range of an adapter's shards that the process holds.
func (g *Grid) shards(all int) (from, to int) {
	each := all / g.Tensor.Procs()
	return g.Part * each, (g.Part + 1) * each
}

// deals reports whether the i-th of the micro-batches that are dealt to the replicas is
// this one's.
func (g *Grid) deals(i int) bool { return i%g.Data.Procs() == g.Replica }

// share adds up numbers, each of which one process has and the others have 0 for: then
// all have them, with the same bits on any grid.
func (g *Grid) share(numbers []float64) error {
	return g.World.AllReduce(comm.Control, comm.Sum, numbers)
}

// meanwhile runs f, which may take some processes much longer than others: once a
// second those that are done hear that the others are not, so that no collective waits
// beyond its limit. An error of a collective ends f.
func (g *Grid) meanwhile(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	if g.World.Procs() == 1 {
		return <-done
	}
	var met error
	for busy := true; ; {
		if busy {
			select {
			case met = <-done:
				busy = false
			case <-time.After(time.Second):
			}
		}
		anyBusy, err := g.any(busy)
		if err != nil && busy {
			cancel()
			met = <-done
		}
		if err != nil || !anyBusy {
			return errors.Join(met, err)
		}
	}
}

// any reports whether a process says yes.
func (g *Grid) any(yes bool) (bool, error) {
	votes := []float64{0}
	if yes {
		votes[0] = 1
	}
	err := g.World.AllReduce(comm.Control, comm.Max, votes)
	return votes[0] > 0, err
}
