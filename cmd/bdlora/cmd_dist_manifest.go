package main

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"

	"github.com/urfave/cli/v2"

	"bdlora/train"
)

func distManifestCommand() *cli.Command {
	return &cli.Command{
		Name:  "manifest",
		Usage: "print what starts a training with many processes",
		Subcommands: []*cli.Command{
			manifestKind("mpirun", "a shell script with Open MPI's mpirun", "mpirun.sh"),
			manifestKind("slurm", "a script for sbatch", "slurm.sbatch", nameFlag),
			manifestKind("mpijob", "an MPIJob for Kubeflow's MPI Operator on Kubernetes", "mpijob.yaml", podFlags...),
			manifestKind("trainjob", "a runtime and a TrainJob for Kubeflow's Trainer on Kubernetes", "trainjob.yaml", podFlags...),
		},
		Action: noSubcommand,
	}
}

var (
	nameFlag = &cli.StringFlag{Name: "name", Value: "bdlora-run", Usage: "of the job"}
	podFlags = []cli.Flag{
		nameFlag,
		&cli.StringFlag{Name: "image", Usage: "with bdlora, Open MPI 4.1 and sshd; see examples/cluster"},
		&cli.StringFlag{Name: "claim", Value: "bdlora-data", Usage: "volume with the model, the rows and room for output_dir; all nodes write to it"},
		&cli.StringFlag{Name: "memory", Usage: "limit of a node, such as 64Gi; see bdlora plan"},
	}
)

// manifestKind is the command for one launcher.
func manifestKind(name, usage, template string, own ...cli.Flag) *cli.Command {
	flags := []cli.Flag{
		&cli.StringFlag{Name: "config", Aliases: []string{"c"}, Value: "run.yaml", Usage: "settings of the run"},
		&cli.IntFlag{Name: "nodes", Value: 1, Usage: "`M` machines"},
		&cli.IntFlag{Name: "tensor_parallel_size", Value: 1, Usage: "`N` processes share a model, on one node"},
		&cli.IntFlag{Name: "data_parallel_size", Value: 1, Usage: "`R` copies of the model share a step's rows"},
		&cli.IntFlag{Name: "cpus", Value: 4, Usage: "cores a process computes on"},
		&cli.IntFlag{Name: "max-restarts", Value: 3, Usage: "`K` restarts after a failure, from the newest checkpoint"},
	}
	return &cli.Command{
		Name: name, Usage: usage, Flags: append(flags, own...),
		Action: func(c *cli.Context) error {
			if err := arguments(c, 0, 0); err != nil {
				return err
			}
			m, err := newManifest(c)
			if err != nil {
				return err
			}
			text, err := manifestText(template, m)
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(c.App.Writer, text)
			return err
		},
	}
}

// manifest is what the templates in manifests are filled with.
type manifest struct {
	Name, Config, Image, Claim, Memory string
	Nodes, Shards, Replicas, CPUs      int
	MaxRestarts                        int
	ConfigText                         string // of the file, for Kubernetes
}

// Where pods find the settings and the volume.
const (
	podConfigDir = "/etc/bdlora"
	podDataDir   = "/data"
)

// newManifest reads the flags, and the settings where they become part of the manifest.
func newManifest(c *cli.Context) (m manifest, err error) {
	m = manifest{
		Name: c.String("name"), Config: c.String("config"), Image: c.String("image"), Claim: c.String("claim"),
		Memory: c.String("memory"), Nodes: c.Int("nodes"), Shards: c.Int("tensor_parallel_size"),
		Replicas: c.Int("data_parallel_size"), CPUs: c.Int("cpus"), MaxRestarts: c.Int("max-restarts"),
	}
	named, inPods := takes(c, nameFlag.Name), takes(c, "claim")
	if err := m.validate(named, inPods); err != nil {
		return m, usageError{err}
	}
	if inPods {
		var text []byte
		text, err = os.ReadFile(m.Config)
		m.ConfigText, m.Config = string(text), podConfigDir+"/run.yaml"
	}
	return m, err
}

// takes reports whether the command has a flag of that name.
func takes(c *cli.Context, name string) bool {
	return slices.ContainsFunc(c.Command.Flags, func(f cli.Flag) bool { return slices.Contains(f.Names(), name) })
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

// validate names all that is wrong with the flags.
func (m manifest) validate(named, inPods bool) error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for _, f := range []struct {
		name         string
		value, least int
	}{
		{"nodes", m.Nodes, 1}, {"tensor_parallel_size", m.Shards, 1}, {"data_parallel_size", m.Replicas, 1},
		{"cpus", m.CPUs, 1}, {"max-restarts", m.MaxRestarts, 0},
	} {
		if f.value < f.least {
			wrong("--%s: got %d, want at least %d", f.name, f.value, f.least)
		}
	}
	if m.Nodes > 0 && m.Replicas > 0 && m.Replicas%m.Nodes != 0 {
		wrong("--data_parallel_size: got %d on %d nodes, want a multiple of the nodes: "+
			"those that share a model share a node too", m.Replicas, m.Nodes)
	}
	if m.Config == "" {
		wrong("--config: got nothing, want a file of settings")
	}
	switch {
	case inPods:
		errs = append(errs, m.validatePods())
	case named && !jobName.MatchString(m.Name):
		wrong("--name: got %q, want letters, digits, '_', '.' and hyphens", m.Name)
	}
	return errors.Join(errs...)
}

// validatePods names all that is wrong with the flags for Kubernetes.
func (m manifest) validatePods() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if m.Image == "" {
		wrong("--image: got nothing, want a container image with bdlora in it")
	}
	if !podsName.MatchString(m.Name) {
		wrong("--name: got %q, want small letters, digits and hyphens, at most 40 in all, a letter first", m.Name)
	}
	if !claimName.MatchString(m.Claim) {
		wrong("--claim: got %q, want small letters, digits, hyphens and dots", m.Claim)
	}
	if m.Memory != "" && !quantity.MatchString(m.Memory) {
		wrong("--memory: got %q, want a number with a unit, such as 64Gi", m.Memory)
	}
	return errors.Join(errs...)
}

// Procs is the number of processes.
func (m manifest) Procs() int { return m.Shards * m.Replicas }

// ProcsPerNode is the number of processes on a node.
func (m manifest) ProcsPerNode() int { return m.Procs() / m.Nodes }

// CoresPerNode is what they compute on.
func (m manifest) CoresPerNode() int { return m.ProcsPerNode() * m.CPUs }

// ConfigDir is where pods find the settings.
func (m manifest) ConfigDir() string { return podConfigDir }

// DataDir is where pods find the volume.
func (m manifest) DataDir() string { return podDataDir }

// Train is the command of every process.
func (m manifest) Train() []string {
	return []string{
		"bdlora", "train", "--config", m.Config,
		fmt.Sprintf("tensor_parallel_size=%d", m.Shards), fmt.Sprintf("data_parallel_size=%d", m.Replicas),
		fmt.Sprintf("threads=%d", m.CPUs), resumeKey + "=" + train.ResumeAuto,
	}
}

// Launcher is the command of the pod that starts the others. The host file is named:
// Open MPI 5 does not look at the variable by which operators name it, and would start
// every process in the launcher's own pod.
func (m manifest) Launcher() []string {
	return append([]string{
		"bdlora", "launch", "--max-restarts", "0", "--",
		"mpirun", "-n", fmt.Sprint(m.Procs()), "--hostfile", "/etc/mpi/hostfile",
		"--map-by", fmt.Sprintf("ppr:%d:node", m.ProcsPerNode()), "--bind-to", "none", "--wdir", podDataDir,
	}, m.Train()...)
}

// Placement is where mpirun puts processes, and on which cores.
func (m manifest) Placement() string {
	if m.Nodes == 1 {
		return "--bind-to none"
	}
	return fmt.Sprintf("--hostfile hosts --map-by ppr:%d:node:PE=%d --bind-to core", m.ProcsPerNode(), m.CPUs)
}
