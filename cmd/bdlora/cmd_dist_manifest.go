package main

import (
	"fmt"
	"os"
	"slices"

	"github.com/urfave/cli/v2"

	"bdlora/cmd/bdlora/manifest"
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
			job, err := newJob(c)
			if err != nil {
				return err
			}
			text, err := job.Text(template)
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(c.App.Writer, text)
			return err
		},
	}
}

// newJob reads the flags, and the settings where they become part of the manifest.
func newJob(c *cli.Context) (job manifest.Job, err error) {
	job = manifest.Job{
		Name: c.String("name"), Config: c.String("config"), Image: c.String("image"), Claim: c.String("claim"),
		Memory: c.String("memory"), Nodes: c.Int("nodes"), Shards: c.Int("tensor_parallel_size"),
		Replicas: c.Int("data_parallel_size"), CPUs: c.Int("cpus"), MaxRestarts: c.Int("max-restarts"),
	}
	named, inPods := takes(c, nameFlag.Name), takes(c, "claim")
	if err := job.Validate(named, inPods); err != nil {
		return job, usageError{err}
	}
	if inPods {
		var text []byte
		text, err = os.ReadFile(job.Config)
		job.PutInPods(string(text))
	}
	return job, err
}

// takes reports whether the command has a flag of that name.
func takes(c *cli.Context, name string) bool {
	return slices.ContainsFunc(c.Command.Flags, func(f cli.Flag) bool { return slices.Contains(f.Names(), name) })
}
