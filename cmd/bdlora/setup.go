package main

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"os"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"bdlora/cmd/bdlora/numbers"
	"bdlora/kernels/comm"
)

// setup is what dist check finds.
type setup struct {
	*world
	shards, replicas int  // that the user wants; 0 is anything
	threadsGiven     bool // by the user, not by the cores
	sums             []timedSum
	problems         []problem
}

// problem is something wrong, and what to do about it.
type problem struct{ what, hint string }

func (s *setup) wrong(hint, format string, args ...any) {
	s.problems = append(s.problems, problem{fmt.Sprintf(format, args...), hint})
}

// newSetup joins the processes and looks at them.
func newSetup(c *cli.Context) (*setup, error) {
	s := &setup{shards: c.Int("tensor_parallel_size"), replicas: c.Int("data_parallel_size")}
	procs := placeFrom(os.Getenv).procs
	var err error
	if s.world, err = openWorld(procs, c.Duration("timeout"), c.String("library"), c.App.ErrWriter); err != nil {
		return nil, err
	}
	if procs == 1 {
		s.findLibrary(c.String("library"))
	}
	if threads := c.Int(threadsFlag.Name); threads > 0 {
		s.threadsGiven = true
		for proc := range s.processes {
			s.processes[proc].Threads = threads
		}
	}
	s.checkGrid()
	s.checkCores()
	return s, s.checkSums()
}

// findLibrary looks for the library that would be taken.
func (s *setup) findLibrary(file string) {
	var err error
	if s.library, err = findLibrary(s.place.options(file)); err != nil {
		s.wrong(hintFor(err), "%v", err)
	}
}

// checkGrid compares the processes with the grid that the user wants.
func (s *setup) checkGrid() {
	procs, shards, replicas := s.Procs(), s.shards, s.replicas
	if shards == 0 && replicas == 0 {
		return
	}
	shards, replicas = max(shards, 1), max(replicas, 1)
	if places := shards * replicas; places != procs {
		s.wrong(fmt.Sprintf("start as many: mpirun -n %d", places),
			"the grid of %d shards × %d replicas has %d places, the job %d processes", shards, replicas, places, procs)
		return
	}
	for first := 0; first < procs; first += shards {
		hosts := map[string]bool{}
		for _, p := range s.processes[first : first+shards] {
			hosts[p.Host] = true
		}
		if len(hosts) > 1 {
			s.wrong(fmt.Sprintf("start a multiple of %[1]d on each host: mpirun --map-by ppr:%[1]d:node, "+
				"srun --ntasks-per-node=%[1]d", shards),
				"processes %d to %d share a model but no host: they are on %d", first, first+shards-1, len(hosts))
		}
	}
}

// checkCores compares threads with cores, process by process and host by host.
func (s *setup) checkCores() {
	const bind = "mpirun --bind-to none, or --map-by ppr:R:node:PE=K with K cores for each of R processes on a host"
	for proc, p := range s.processes {
		switch on := s.on(p.Host); {
		case p.Threads > len(p.Cores):
			s.wrong(bind, "process %d has %d threads, and is bound to cores %s", proc, p.Threads, coreList(p.Cores))
		case !s.threadsGiven && len(p.Cores) == 1 && p.HostCores >= 2*len(on):
			s.wrong(bind, "process %d is bound to core %s, one of %d on %s for %d processes",
				proc, coreList(p.Cores), p.HostCores, p.Host, len(on))
		}
	}
	for _, host := range s.hosts() {
		threads, cores := 0, map[int]bool{}
		for _, p := range s.on(host) {
			threads += p.Threads
			for _, core := range p.Cores {
				cores[core] = true
			}
		}
		if threads > len(cores) {
			s.wrong("fewer processes on it, or fewer --threads",
				"host %s has %d threads on %d cores", host, threads, len(cores))
		}
	}
}

// hosts are those of the processes, in their order.
func (s *setup) hosts() (hosts []string) {
	for _, p := range s.processes {
		if !slices.Contains(hosts, p.Host) {
			hosts = append(hosts, p.Host)
		}
	}
	return hosts
}

// on are the processes of a host.
func (s *setup) on(host string) (processes []member) {
	for _, p := range s.processes {
		if p.Host == host {
			processes = append(processes, p)
		}
	}
	return processes
}

// timedSum is an all-reduce among all processes.
type timedSum struct {
	bytes   int
	seconds float64 // the median of several
	same    bool    // bits, on all processes
}

// checkSums adds up among all processes, and compares what they get.
func (s *setup) checkSums() error {
	const runs = 21
	for _, length := range []int{1 << 10, 1 << 18} {
		sum := make([]float32, length)
		seconds := make([]float64, runs)
		for i := range seconds {
			for j := range sum {
				sum[j] = 1 / float32(1+j+s.Proc()*length)
			}
			began := time.Now()
			if err := s.AllReduce(comm.Control, comm.Sum, sum); err != nil {
				return err
			}
			seconds[i] = time.Since(began).Seconds()
		}
		hash := fnv.New64a()
		if err := binary.Write(hash, binary.LittleEndian, sum); err != nil {
			return err
		}
		hashes, err := gather(s, hash.Sum64())
		if err != nil {
			return err
		}
		same := true
		for proc, h := range hashes {
			if h != hashes[0] {
				same = false
				s.wrong("another MPI library, or another algorithm of it",
					"process %d got other bits than process 0 for a sum of %d numbers", proc, length)
			}
		}
		s.sums = append(s.sums, timedSum{4 * length, numbers.Median(seconds), same})
	}
	return nil
}
