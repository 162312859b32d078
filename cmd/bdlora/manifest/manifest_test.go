package manifest_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"bdlora/cmd/bdlora/manifest"
)

// text is the manifest of that name, of a job on two nodes.
func text(t *testing.T, name string, job manifest.Job) string {
	t.Helper()
	job.Nodes, job.Shards, job.Replicas, job.CPUs = 2, 1, 2, 4
	if err := job.Validate(true, job.Claim != ""); err != nil {
		t.Fatal(err)
	}
	text, err := job.Text(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// inPods is the manifest of that name, with a name and settings that YAML gives another
// meaning to.
func inPods(t *testing.T, name, settings string) string {
	t.Helper()
	job := manifest.Job{Name: "true", Config: "run.yaml", Image: "x", Claim: "1e3", Memory: "8Gi"}
	job.PutInPods(settings)
	return text(t, name, job)
}

func TestManifestsKeepEveryCharacterOfTheSettings(t *testing.T) {
	for _, name := range []string{"mpijob.yaml", "trainjob.yaml"} {
		for _, settings := range []string{
			"dataset: \"rows: {a}.jsonl\"\n\noutput_dir: 'x'   # why\n", "  dataset: x\n  output_dir: y\n",
		} {
			data, _ := yamlObjects(t, inPods(t, name, settings))[0]["data"].(map[string]any)
			if data["run.yaml"] != settings {
				t.Errorf("%s: got settings %q, want %q", name, data["run.yaml"], settings)
			}
		}
	}
	for _, name := range []string{"mpirun.sh", "slurm.sbatch"} {
		const want = `--config '/o'\''run one.yaml' tensor_parallel_size=1`
		if got := text(t, name, manifest.Job{Name: "one", Config: "/o'run one.yaml"}); !strings.Contains(got, want) {
			t.Errorf("%s: want %s in\n%s", name, want, got)
		}
	}
}

func TestManifestsKeepNamesThatYAMLHasAnotherMeaningFor(t *testing.T) {
	for _, name := range []string{"mpijob.yaml", "trainjob.yaml"} {
		text := inPods(t, name, "dataset: x\n")
		for _, object := range yamlObjects(t, text) {
			if got := object["metadata"].(map[string]any)["name"]; got != "true" {
				t.Errorf("%s: got name %v of %T, want a text", name, got, got)
			}
		}
		if want := `claimName: "1e3"`; !strings.Contains(text, want) {
			t.Errorf("%s: want %s in\n%s", name, want, text)
		}
	}
}

func yamlObjects(t *testing.T, text string) (objects []map[string]any) {
	t.Helper()
	for decoder := yaml.NewDecoder(strings.NewReader(text)); ; {
		var object map[string]any
		err := decoder.Decode(&object)
		if errors.Is(err, io.EOF) {
			return objects
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		objects = append(objects, object)
	}
}
