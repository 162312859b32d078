package main

import (
	"testing"

	"bdlora/kernels/comm"
)

func TestPlaceIsWhatTheLauncherSays(t *testing.T) {
	for name, c := range map[string]struct {
		environment map[string]string
		want        place
	}{
		"no launcher": {nil, place{procs: 1}},
		"Open MPI": {map[string]string{"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "3"},
			place{launcher: "Open MPI's mpirun", kind: comm.OpenMPI, proc: 3, procs: 4}},
		"MPICH": {map[string]string{"PMI_SIZE": "2", "PMI_RANK": "0"},
			place{launcher: "a launcher of MPICH's family", kind: comm.MPICH, procs: 2}},
		"srun": {map[string]string{"SLURM_STEP_NUM_TASKS": "8", "SLURM_PROCID": "5", "SLURM_CPUS_PER_TASK": "3"},
			place{launcher: "Slurm's srun", proc: 5, procs: 8, cpus: 3}},
		"Open MPI within a Slurm step": {map[string]string{"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0",
			"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1"},
			place{launcher: "Open MPI's mpirun", kind: comm.OpenMPI, proc: 1, procs: 2}},
		"sbatch's own script": {map[string]string{"SLURM_NTASKS": "8", "SLURM_PROCID": "0"}, place{procs: 1}},
		"nonsense":            {map[string]string{"PMI_SIZE": "2", "PMI_RANK": "2"}, place{procs: 1}},
	} {
		if got := placeFrom(func(key string) string { return c.environment[key] }); got != c.want {
			t.Errorf("%s: got %+v, want %+v", name, got, c.want)
		}
	}
}

func TestProcessesShareTheCoresTheyHaveInCommon(t *testing.T) {
	for _, c := range []struct{ usable, sharing, cpus, want int }{
		{64, 1, 0, 64}, {64, 4, 0, 16}, {7, 2, 0, 3}, {2, 4, 0, 1}, {1, 1, 0, 1}, {64, 4, 8, 8}, {2, 1, 8, 2},
	} {
		if got := shareOfCores(c.usable, c.sharing, c.cpus); got != c.want {
			t.Errorf("%+v: got %d threads", c, got)
		}
	}
	if overlap([]int{0, 1}, []int{2, 3}) || !overlap([]int{0, 1, 2}, []int{2, 3}) {
		t.Error("0-1 and 2-3 overlap, or 0-2 and 2-3 do not")
	}
}

func TestCoreListJoinsNeighbours(t *testing.T) {
	for want, cores := range map[string][]int{"": nil, "3": {3}, "0-3": {0, 1, 2, 3}, "0-1,4,6-8": {0, 1, 4, 6, 7, 8}} {
		if got := coreList(cores); got != want {
			t.Errorf("%v: got %q, want %q", cores, got, want)
		}
	}
}
