package main

import (
	"slices"
	"strconv"

	"bdlora/kernels/comm"
)

// place is where a launcher has put this process, by what it says in the environment.
type place struct {
	launcher string // empty without one
	kind     comm.Launcher
	proc     int // from 0
	procs    int // 1 without a launcher
	cpus     int // that it gives to each process; 0 if it does not say
}

// launcherVariables are what launchers call the number of processes, and a process's
// place. One started within another has both: the first in the list is the inner one.
var launcherVariables = []struct {
	launcher    string
	kind        comm.Launcher
	procs, proc string
}{
	{"Open MPI's mpirun", comm.OpenMPI, "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"},
	{"a launcher of MPICH's family", comm.MPICH, "PMI_SIZE", "PMI_RANK"},
	{"Slurm's srun", comm.AnyLauncher, "SLURM_STEP_NUM_TASKS", "SLURM_PROCID"}, // sbatch sets only the second
}

// placeFrom reads the environment.
func placeFrom(getenv func(string) string) place {
	p := place{procs: 1}
	p.cpus, _ = strconv.Atoi(getenv("SLURM_CPUS_PER_TASK"))
	for _, v := range launcherVariables {
		procs, err := strconv.Atoi(getenv(v.procs))
		proc, errProc := strconv.Atoi(getenv(v.proc))
		if err == nil && errProc == nil && procs > 0 && proc >= 0 && proc < procs {
			p.launcher, p.kind, p.procs, p.proc = v.launcher, v.kind, procs, proc
			break
		}
	}
	return p
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

// overlap reports whether two sets of cores have one in common.
func overlap(a, b []int) bool {
	return slices.ContainsFunc(a, func(core int) bool { return slices.Contains(b, core) })
}
