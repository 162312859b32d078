// Package manifest writes what starts a training with many processes: scripts for mpirun
// and Slurm, objects for operators on Kubernetes.
package manifest

import (
	"errors"
	"fmt"
	"regexp"

	"bdlora/train"
)

// Job is what the templates are filled with.
type Job struct {
	Name, Config, Image, Claim, Memory string // Claim is the volume of pods
	Nodes, Shards, Replicas, CPUs      int    // CPUs are those of a process
	MaxRestarts                        int
	ConfigText                         string // of the file Config, for pods
}

// Where pods find the settings and the volume.
const (
	podConfigDir = "/etc/bdlora"
	podDataDir   = "/data"
)

// PutInPods makes the settings part of the manifest, where pods find them.
func (j *Job) PutInPods(settings string) {
	j.ConfigText, j.Config = settings, podConfigDir+"/run.yaml"
}

var (
	// jobName is what Slurm takes for one without quotes.
	jobName = regexp.MustCompile(`^[\w.-]+$`)
	// podsName is what Kubernetes takes for one, with room for what operators append.
	podsName = regexp.MustCompile(`^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$`)
	// claimName is what Kubernetes takes for a volume's.
	claimName = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`)
	// quantity is what Kubernetes takes for one.
	quantity = regexp.MustCompile(`^\d+(\.\d+)?([KMGTPE]i|[kMGTPE]|e\d+)?$`)
)

// Validate names all that is wrong with the flags of a job that is named, and of one that
// runs in pods.
func (j Job) Validate(named, inPods bool) error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for _, f := range []struct {
		name         string
		value, least int
	}{
		{"nodes", j.Nodes, 1}, {"tensor_parallel_size", j.Shards, 1}, {"data_parallel_size", j.Replicas, 1},
		{"cpus", j.CPUs, 1}, {"max-restarts", j.MaxRestarts, 0},
	} {
		if f.value < f.least {
			wrong("--%s: got %d, want at least %d", f.name, f.value, f.least)
		}
	}
	if j.Nodes > 0 && j.Replicas > 0 && j.Replicas%j.Nodes != 0 {
		wrong("--data_parallel_size: got %d on %d nodes, want a multiple of the nodes: "+
			"those that share a model share a node too", j.Replicas, j.Nodes)
	}
	if j.Config == "" {
		wrong("--config: got nothing, want a file of settings")
	}
	switch {
	case inPods:
		errs = append(errs, j.validatePods())
	case named && !jobName.MatchString(j.Name):
		wrong("--name: got %q, want letters, digits, '_', '.' and hyphens", j.Name)
	}
	return errors.Join(errs...)
}

// validatePods names all that is wrong with the flags for Kubernetes.
func (j Job) validatePods() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if j.Image == "" {
		wrong("--image: got nothing, want a container image with bdlora in it")
	}
	if !podsName.MatchString(j.Name) {
		wrong("--name: got %q, want small letters, digits and hyphens, at most 40 in all, a letter first", j.Name)
	}
	if !claimName.MatchString(j.Claim) {
		wrong("--claim: got %q, want small letters, digits, hyphens and dots", j.Claim)
	}
	if j.Memory != "" && !quantity.MatchString(j.Memory) {
		wrong("--memory: got %q, want a number with a unit, such as 64Gi", j.Memory)
	}
	return errors.Join(errs...)
}

// Procs is the number of processes.
func (j Job) Procs() int { return j.Shards * j.Replicas }

// ProcsPerNode is the number of processes on a node.
func (j Job) ProcsPerNode() int { return j.Procs() / j.Nodes }

// CoresPerNode is what they compute on.
func (j Job) CoresPerNode() int { return j.ProcsPerNode() * j.CPUs }

// ConfigDir is where pods find the settings.
func (j Job) ConfigDir() string { return podConfigDir }

// DataDir is where pods find the volume.
func (j Job) DataDir() string { return podDataDir }

// Train is the command of every process.
func (j Job) Train() []string {
	return []string{
		"bdlora", "train", "--config", j.Config,
		fmt.Sprintf("tensor_parallel_size=%d", j.Shards), fmt.Sprintf("data_parallel_size=%d", j.Replicas),
		fmt.Sprintf("threads=%d", j.CPUs), "resume_from_checkpoint=" + train.ResumeAuto,
	}
}

// Launcher is the command of the pod that starts the others. The host file is named:
// Open MPI 5 does not look at the variable by which operators name it, and would start
// every process in the launcher's own pod.
func (j Job) Launcher() []string {
	return append([]string{
		"bdlora", "launch", "--max-restarts", "0", "--",
		"mpirun", "-n", fmt.Sprint(j.Procs()), "--hostfile", "/etc/mpi/hostfile",
		"--map-by", fmt.Sprintf("ppr:%d:node", j.ProcsPerNode()), "--bind-to", "none", "--wdir", podDataDir,
	}, j.Train()...)
}

// Placement is where mpirun puts processes, and on which cores.
func (j Job) Placement() string {
	if j.Nodes == 1 {
		return "--bind-to none"
	}
	return fmt.Sprintf("--hostfile hosts --map-by ppr:%d:node:PE=%d --bind-to core", j.ProcsPerNode(), j.CPUs)
}
