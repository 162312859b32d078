package job

import (
	"testing"

	"bdlora/kernels/comm"
)

func TestPlaceIsWhatTheLauncherSays(t *testing.T) {
	for name, c := range map[string]struct {
		environment map[string]string
		want        Place
	}{
		"no launcher": {nil, Place{Procs: 1}},
		"Open MPI": {map[string]string{"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "3"},
			Place{Launcher: "Open MPI's mpirun", Kind: comm.OpenMPI, Proc: 3, Procs: 4}},
		"MPICH": {map[string]string{"PMI_SIZE": "2", "PMI_RANK": "0"},
			Place{Launcher: "a launcher of MPICH's family", Kind: comm.MPICH, Procs: 2}},
		"srun": {map[string]string{"SLURM_STEP_NUM_TASKS": "8", "SLURM_PROCID": "5", "SLURM_CPUS_PER_TASK": "3"},
			Place{Launcher: "Slurm's srun", Proc: 5, Procs: 8, CPUs: 3}},
		"Open MPI within a Slurm step": {map[string]string{"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0",
			"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1"},
			Place{Launcher: "Open MPI's mpirun", Kind: comm.OpenMPI, Proc: 1, Procs: 2}},
		"sbatch's own script": {map[string]string{"SLURM_NTASKS": "8", "SLURM_PROCID": "0"}, Place{Procs: 1}},
		"nonsense":            {map[string]string{"PMI_SIZE": "2", "PMI_RANK": "2"}, Place{Procs: 1}},
	} {
		if got := PlaceFrom(func(key string) string { return c.environment[key] }); got != c.want {
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
}
