package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write examples/cluster anew")

// clusterExamples are the files of examples/cluster and the commands that write them.
var clusterExamples = []struct{ file, command string }{
	{"mpirun.sh", "mpirun --nodes 2 --tensor_parallel_size 4 --data_parallel_size 2"},
	{"slurm.sbatch", "slurm --nodes 2 --tensor_parallel_size 4 --data_parallel_size 2"},
	{"mpijob.yaml", "mpijob --nodes 2 --tensor_parallel_size 4 --data_parallel_size 2 --image registry.example/bdlora:1"},
	{"trainjob.yaml", "trainjob --nodes 2 --tensor_parallel_size 4 --data_parallel_size 2 --image registry.example/bdlora:1"},
}

// Law: the examples are what dist manifest prints, by the commands in their README.
func TestClusterExamplesAreManifests(t *testing.T) {
	t.Chdir(filepath.Join("..", "..", "examples", "cluster"))
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range clusterExamples {
		got := must(t, append([]string{"dist", "manifest"}, strings.Fields(e.command)...)...).stdout
		if *update {
			if err := os.WriteFile(e.file, []byte(got), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(e.file)
		if err != nil || got != string(want) {
			t.Errorf("%s: error %v, or not what dist manifest prints, which is\n%s", e.file, err, got)
		}
		if command := "bdlora dist manifest " + e.command + " > " + e.file; !bytes.Contains(readme, []byte(command)) {
			t.Errorf("README.md: want the command %s", command)
		}
	}
}

// manifestOf is what dist manifest prints.
func manifestOf(t *testing.T, args ...string) string {
	t.Helper()
	config := filepath.Join(t.TempDir(), "run.yaml")
	if err := os.WriteFile(config, []byte("output_dir: x\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	return must(t, append([]string{"dist", "manifest", args[0], "--config", config}, args[1:]...)...).stdout
}

func TestManifestsPlaceTheProcesses(t *testing.T) {
	expectIn(t, manifestOf(t, "mpirun", "--tensor_parallel_size", "2", "--cpus", "1"),
		`mpirun -n 2 --bind-to none `, `tensor_parallel_size=2 data_parallel_size=1 threads=1 resume_from_checkpoint=auto "\$@"`)
	expectIn(t, manifestOf(t, "mpirun", "--nodes", "3", "--data_parallel_size", "6", "--tensor_parallel_size", "2"),
		`mpirun -n 12 --hostfile hosts --map-by ppr:4:node:PE=4 --bind-to core `, `a line a node: node1 slots=4`)
	expectIn(t, manifestOf(t, "slurm", "--nodes", "3", "--data_parallel_size", "6", "--cpus", "8", "--max-restarts", "7", "--name", "mine"),
		`--job-name=mine\n`, `--nodes=3\n`, `--ntasks-per-node=2\n`, `--cpus-per-task=8\n`, `-lt 7 \]`)
	for _, kind := range []string{"mpijob", "trainjob"} {
		expectIn(t, manifestOf(t, kind, "--image", "x", "--nodes", "2", "--data_parallel_size", "4", "--cpus", "2", "--memory", "8Gi", "--claim", "disk"),
			`output_dir: x\n`, `cpu: 4\n`, `memory: "8Gi"\n`, `claimName: "disk"\n`, `- "-n"\n +- "4"\n`)
	}
}

func TestManifestsRefuseWhatCannotRun(t *testing.T) {
	for _, row := range []struct{ args, want string }{
		{"mpirun --nodes 0", `--nodes: got 0, want at least 1`},
		{"mpirun --cpus 0 --max-restarts -1", `(?s)--cpus: got 0, want at least 1.*--max-restarts: got -1`},
		{"slurm --nodes 2 --tensor_parallel_size 8", `--data_parallel_size: got 1 on 2 nodes, want a multiple of the nodes`},
		{"mpijob --name No", `(?s)--image: got nothing.*--name: got "No"`},
		{"trainjob", `--image: got nothing`},
		{"mpirun --image x", `flag provided but not defined`},
		{"slurm --name=", `--name: got "", want letters`},
		{"slurm --name=x#SBATCH", `--name: got "x#SBATCH", want letters`},
		{"mpijob --image x --claim=", `--claim: got "", want small letters`},
		{"trainjob --image x --claim=a:b --memory 64GB", `(?s)--claim: got "a:b".*--memory: got "64GB", want .* such as 64Gi`},
		{"nomad", `no command "nomad"; see bdlora dist manifest --help`},
		{"slurm more", `argument "more": want flags only`},
	} {
		r := bdloraWith("", append([]string{"dist", "manifest"}, strings.Fields(row.args)...)...)
		if r.code != exitUsage {
			t.Errorf("%s: got exit code %d, want %d", row.args, r.code, exitUsage)
		}
		expectIn(t, r.stderr, row.want)
	}
}
