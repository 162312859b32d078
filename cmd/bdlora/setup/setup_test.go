package setup

import (
	"slices"
	"strings"
	"testing"

	"bdlora/cmd/bdlora/job"
	"bdlora/kernels/comm"
)

// jobOf is a set-up of processes on hosts, seen by one that stands for all.
func jobOf(shards, replicas int, processes ...job.Process) *Setup {
	procs := comm.NewLocal(len(processes))
	return &Setup{World: &job.World{Comm: procs[0], Processes: processes}, Shards: shards, Replicas: replicas}
}

// on is a process on a host of 8 cores.
func on(host string, threads int, cores ...int) job.Process {
	return job.Process{Host: host, HostCores: 8, Cores: cores, Threads: threads}
}

// expectProblems compares what a check has found.
func expectProblems(t *testing.T, name string, s *Setup, wants ...string) {
	t.Helper()
	ok := len(s.Problems) == len(wants)
	for _, want := range wants {
		ok = ok && slices.ContainsFunc(s.Problems, func(p Problem) bool {
			return strings.Contains(p.What, want) && p.Hint != ""
		})
	}
	if !ok {
		t.Errorf("%s: got %q, want %q with hints", name, s.Problems, wants)
	}
}

func TestCheckComparesTheGrid(t *testing.T) {
	a, b := on("a", 1, 0, 1), on("b", 1, 0, 1)
	for name, c := range map[string]struct {
		shards, replicas int
		processes        []job.Process
		wants            []string
	}{
		"not asked":                {0, 0, []job.Process{a, b}, nil},
		"fits":                     {2, 2, []job.Process{a, a, b, b}, nil},
		"replicas alone":           {0, 2, []job.Process{a, b}, nil},
		"too few":                  {2, 2, []job.Process{a, a}, []string{"the grid of 2 shards × 2 replicas has 4 places, the job 2 processes"}},
		"too many":                 {2, 0, []job.Process{a, a, a}, []string{"has 2 places, the job 3"}},
		"a model across two hosts": {2, 2, []job.Process{a, b, b, b}, []string{"processes 0 to 1 share a model but no host"}},
	} {
		s := jobOf(c.shards, c.replicas, c.processes...)
		s.checkGrid()
		expectProblems(t, name, s, c.wants...)
	}
}

func TestCheckComparesThreadsAndCores(t *testing.T) {
	for name, c := range map[string]struct {
		threads   int
		processes []job.Process
		wants     []string
	}{
		"fits":           {0, []job.Process{on("a", 4, 0, 1, 2, 3), on("a", 4, 4, 5, 6, 7)}, nil},
		"shared cores":   {0, []job.Process{on("a", 2, 0, 1, 2, 3), on("a", 2, 0, 1, 2, 3)}, nil},
		"bound to one":   {0, []job.Process{on("a", 1, 3), on("a", 1, 4)}, []string{"process 0 is bound to core 3, one of 8 on a for 2", "process 1"}},
		"one is wanted":  {1, []job.Process{on("a", 1, 3), on("a", 1, 4)}, nil},
		"more than has":  {2, []job.Process{on("a", 2, 3)}, []string{"process 0 has 2 threads, and is bound to cores 3", "host a has 2 threads on 1 cores"}},
		"oversubscribed": {2, []job.Process{on("a", 2, 0, 1, 2), on("a", 2, 0, 1, 2), on("b", 2, 0, 1)}, []string{"host a has 4 threads on 3 cores"}},
	} {
		s := jobOf(0, 0, c.processes...)
		s.Threads = c.threads
		s.checkCores()
		expectProblems(t, name, s, c.wants...)
	}
}
