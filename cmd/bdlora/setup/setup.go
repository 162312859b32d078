// Package setup looks for what is wrong with a set-up of many processes.
package setup

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	"bdlora/cmd/bdlora/job"
	"bdlora/cmd/bdlora/numbers"
	"bdlora/kernels/comm"
)

// Setup is a job, what the user wants of it and what [Setup.Check] finds.
type Setup struct {
	*job.World
	Shards, Replicas int // that the user wants; 0 is anything
	Threads          int // of each process that the user wants; 0 is its share of the cores
	Sums             []Sum
	Problems         []Problem
}

// Problem is something wrong, and what to do about it.
type Problem struct{ What, Hint string }

// Wrong adds a problem.
func (s *Setup) Wrong(hint, format string, args ...any) {
	s.Problems = append(s.Problems, Problem{fmt.Sprintf(format, args...), hint})
}

// Check looks at the processes, and has them add up numbers. All of them have to call it;
// its error is one of that adding.
func (s *Setup) Check() error {
	if s.Threads > 0 {
		for proc := range s.Processes {
			s.Processes[proc].Threads = s.Threads
		}
	}
	s.checkGrid()
	s.checkCores()
	return s.checkSums()
}

// checkGrid compares the processes with the grid that the user wants.
func (s *Setup) checkGrid() {
	procs, shards, replicas := s.Procs(), s.Shards, s.Replicas
	if shards == 0 && replicas == 0 {
		return
	}
	shards, replicas = max(shards, 1), max(replicas, 1)
	if places := shards * replicas; places != procs {
		s.Wrong(fmt.Sprintf("start as many: mpirun -n %d", places),
			"the grid of %d shards × %d replicas has %d places, the job %d processes", shards, replicas, places, procs)
		return
	}
	for first := 0; first < procs; first += shards {
		hosts := map[string]bool{}
		for _, p := range s.Processes[first : first+shards] {
			hosts[p.Host] = true
		}
		if len(hosts) > 1 {
			s.Wrong(fmt.Sprintf("start a multiple of %[1]d on each host: mpirun --map-by ppr:%[1]d:node, "+
				"srun --ntasks-per-node=%[1]d", shards),
				"processes %d to %d share a model but no host: they are on %d", first, first+shards-1, len(hosts))
		}
	}
}

// checkCores compares threads with cores, process by process and host by host.
func (s *Setup) checkCores() {
	const bind = "mpirun --bind-to none, or --map-by ppr:R:node:PE=K with K cores for each of R processes on a host"
	for proc, p := range s.Processes {
		switch on := s.on(p.Host); {
		case p.Threads > len(p.Cores):
			s.Wrong(bind, "process %d has %d threads, and is bound to cores %s", proc, p.Threads, p.Cores)
		case s.Threads == 0 && len(p.Cores) == 1 && p.HostCores >= 2*len(on):
			s.Wrong(bind, "process %d is bound to core %s, one of %d on %s for %d processes",
				proc, p.Cores, p.HostCores, p.Host, len(on))
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
			s.Wrong("fewer processes on it, or fewer --threads",
				"host %s has %d threads on %d cores", host, threads, len(cores))
		}
	}
}

// hosts are those of the processes, in their order.
func (s *Setup) hosts() (hosts []string) {
	for _, p := range s.Processes {
		if !slices.Contains(hosts, p.Host) {
			hosts = append(hosts, p.Host)
		}
	}
	return hosts
}

// on are the processes of a host.
func (s *Setup) on(host string) (processes []job.Process) {
	for _, p := range s.Processes {
		if p.Host == host {
			processes = append(processes, p)
		}
	}
	return processes
}

// Sum is an all-reduce among all processes.
type Sum struct {
	Bytes   int
	Seconds float64 // the median of several
	Same    bool    // bits, on all processes
}

// checkSums adds up among all processes, and compares what they get.
func (s *Setup) checkSums() error {
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
		hashes, err := job.Gather(s, hash.Sum64())
		if err != nil {
			return err
		}
		same := true
		for proc, h := range hashes {
			if h != hashes[0] {
				same = false
				s.Wrong("another MPI library, or another algorithm of it",
					"process %d got other bits than process 0 for a sum of %d numbers", proc, length)
			}
		}
		s.Sums = append(s.Sums, Sum{4 * length, numbers.Median(seconds), same})
	}
	return nil
}
