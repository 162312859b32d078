// Package job is the processes that a launcher has started together: which of them this
// one is, what they know of each other, and what they have in common to say.
package job

import (
	"strconv"

	"bdlora/kernels/comm"
)

// Place is where a launcher has put this process, by what it says in the environment.
type Place struct {
	Launcher string // empty without one
	Kind     comm.Launcher
	Proc     int // from 0
	Procs    int // 1 without a launcher
	CPUs     int // that it gives to each process; 0 if it does not say
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

// PlaceFrom reads the environment.
func PlaceFrom(getenv func(string) string) Place {
	p := Place{Procs: 1}
	p.CPUs, _ = strconv.Atoi(getenv("SLURM_CPUS_PER_TASK"))
	for _, v := range launcherVariables {
		procs, err := strconv.Atoi(getenv(v.procs))
		proc, errProc := strconv.Atoi(getenv(v.proc))
		if err == nil && errProc == nil && procs > 0 && proc >= 0 && proc < procs {
			p.Launcher, p.Kind, p.Procs, p.Proc = v.launcher, v.kind, procs, proc
			break
		}
	}
	return p
}
